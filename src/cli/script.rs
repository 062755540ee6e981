//! The script of `vatic txn -f`: one step a line, all of them one transaction.
//!
//! ```text
//! # move ten from alice to bob, if alice is still there
//! expect checking/alice present
//! get    checking/alice
//! add    checking/alice balance=-10
//! add    checking/bob   balance=10
//! append ledger/alice   notes=["to bob", 10]
//! ```
//!
//! Steps: `get KEY`, `scan COLLECTION/PARTITION`, `put|merge KEY FIELD=JSON...`,
//! `add KEY FIELD=AMOUNT...`, `append|union KEY FIELD=[...]`, `remove KEY FIELD...`, `del KEY`,
//! `expect KEY absent | present | version N | FIELD=JSON... | FIELD=absent`. A key with blanks is
//! written as a JSON string: `get "notes/my day"`.
//!
//! A whole script is read before any of it is run: a fault names its line and nothing is done.

use std::fmt;

use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Timestamp;
use vatic_core::key::{Key, KeyRange};
use vatic_core::value::{Fields, Scalar, Value};

use crate::json;

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Get(Key),
    Scan(KeyRange),
    Write(Delta),
}

/// What is wrong, and in which line (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScriptFault {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for ScriptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads a whole script.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>, ScriptFault> {
    let mut steps = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        steps.extend(parse_line(text).map_err(|what| ScriptFault { line, what })?);
    }
    if steps.is_empty() {
        return Err(ScriptFault { line: 1, what: "the script has no step".to_owned() });
    }
    Ok(steps)
}

fn parse_line(text: &str) -> Result<Vec<Step>, String> {
    let (verb, rest) = word(text);
    let (key_text, rest) = quoted_or_word(rest)?;
    if key_text.is_empty() {
        return Err(format!("{verb:?} needs a key"));
    }
    let key: Key = key_text.parse().map_err(|error| format!("{error}"))?;
    let ops = match verb {
        "get" => return nothing_after(rest).map(|()| vec![Step::Get(key)]),
        "scan" => {
            nothing_after(rest)?;
            return Ok(vec![Step::Scan(KeyRange::partition(&key.collection, &key.partition))]);
        }
        "del" => nothing_after(rest).map(|()| vec![Op::Delete])?,
        "put" => vec![Op::Put(some_fields(verb, rest)?)],
        "merge" => vec![Op::Merge(some_fields(verb, rest)?)],
        "add" => each(verb, rest, |field, value| match value {
            Value::One(Scalar::I64(by)) => Ok(Op::Add { field, by }),
            _ => Err(format!("field {field:?}: the amount must be a whole number")),
        })?,
        "append" => {
            each(verb, rest, |field, value| Ok(Op::Append { values: list(&field, value)?, field }))?
        }
        "union" => {
            each(verb, rest, |field, value| Ok(Op::Union { values: list(&field, value)?, field }))?
        }
        "remove" => removals(rest)?,
        "expect" => expectations(rest)?,
        other => return Err(format!("{other:?} is no step")),
    };
    Ok(ops.into_iter().map(|op| Step::Write(Delta { key: key.clone(), op })).collect())
}

fn expectations(rest: &str) -> Result<Vec<Op>, String> {
    let (first, after) = word(rest);
    let expect = match first {
        "absent" => nothing_after(after).map(|()| Expect::Absent)?,
        "present" => nothing_after(after).map(|()| Expect::Present)?,
        "version" => {
            let version = after.trim().parse().map_err(|_| format!("{after:?} is no version"))?;
            Expect::Version(Timestamp(version))
        }
        _ => match first.strip_suffix("=absent") {
            Some(field) => {
                nothing_after(after)?;
                Expect::Field { field: field.to_owned(), value: None }
            }
            None => {
                return each("expect", rest, |field, value| {
                    Ok(Op::Expect(Expect::Field { field, value: Some(value) }))
                });
            }
        },
    };
    Ok(vec![Op::Expect(expect)])
}

fn removals(rest: &str) -> Result<Vec<Op>, String> {
    let ops: Vec<Op> = rest.split_whitespace().map(|field| Op::RemoveField(field.into())).collect();
    if ops.is_empty() { Err("\"remove\" needs a field".to_owned()) } else { Ok(ops) }
}

fn some_fields(verb: &str, rest: &str) -> Result<Fields, String> {
    let fields = assignments(rest)?;
    if fields.is_empty() && verb == "merge" {
        return Err("\"merge\" needs FIELD=JSON".to_owned());
    }
    Ok(fields.into_iter().collect())
}

fn each(
    verb: &str,
    rest: &str,
    op: impl Fn(String, Value) -> Result<Op, String>,
) -> Result<Vec<Op>, String> {
    let assignments = assignments(rest)?;
    if assignments.is_empty() {
        return Err(format!("{verb:?} needs FIELD=JSON"));
    }
    assignments.into_iter().map(|(field, value)| op(field, value)).collect()
}

/// `FIELD=JSON FIELD=JSON ...`, where the JSON may hold blanks.
fn assignments(mut rest: &str) -> Result<Vec<(String, Value)>, String> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        let (field, after) =
            rest.split_once('=').ok_or_else(|| format!("{rest:?} is not FIELD=JSON"))?;
        if field.is_empty() || field.contains(char::is_whitespace) {
            return Err(format!("{field:?} is no field name"));
        }
        let mut values = serde_json::Deserializer::from_str(after).into_iter();
        let parsed: serde_json::Value = values
            .next()
            .ok_or_else(|| format!("field {field:?} has no value"))?
            .map_err(|error| format!("field {field:?}: {after:?} is not JSON ({error})"))?;
        rest = &after[values.byte_offset()..];
        let value = json::value(&parsed).map_err(|error| format!("field {field:?}: {error}"))?;
        found.push((field.to_owned(), value));
    }
}

fn list(field: &str, value: Value) -> Result<Vec<Scalar>, String> {
    match value {
        Value::List(values) => Ok(values),
        Value::One(_) => Err(format!("field {field:?}: a list is needed, such as [1, 2]")),
    }
}

fn nothing_after(rest: &str) -> Result<(), String> {
    let rest = rest.trim();
    if rest.is_empty() { Ok(()) } else { Err(format!("{rest:?} is too much")) }
}

/// The first word, or what is in quotes as a JSON string, and the rest.
fn quoted_or_word(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start();
    if !text.starts_with('"') {
        let (first, rest) = word(text);
        return Ok((first.to_owned(), rest));
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match values.next() {
        Some(Ok(quoted)) => Ok((quoted, &text[values.byte_offset()..])),
        _ => Err(format!("{text:?} does not begin with a JSON string")),
    }
}

/// The first word, and the rest.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

#[cfg(test)]
#[path = "script_test.rs"]
mod script_test;
