//! Scripts read as written, or not at all.

use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Timestamp;
use vatic_core::key::KeyRange;
use vatic_core::value::{Scalar, Value};

use crate::script::{Step, parse};

fn ops(text: &str) -> Vec<Op> {
    let ops = parse(text).unwrap().into_iter().map(|step| match step {
        Step::Write(Delta { op, .. }) => op,
        other => panic!("a write was expected, not {other:?}"),
    });
    ops.collect()
}

fn fault(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn comments_and_blank_lines_are_skipped() {
    let steps = parse("# a\n\n  get c/p \n scan c/p").unwrap();
    assert_eq!(steps[0], Step::Get("c/p".parse().unwrap()));
    assert_eq!(steps[1], Step::Scan(KeyRange::partition("c", "p")));
}

#[test]
fn json_values_may_hold_blanks() {
    let ops = ops(r#"put c/p name="a = b c" tags=["x y", 2]  n=1"#);
    let Op::Put(fields) = &ops[0] else { panic!("{ops:?}") };
    assert_eq!(fields["name"], Value::from("a = b c"));
    assert_eq!(fields["tags"], Value::List(vec![Scalar::String("x y".into()), Scalar::I64(2)]));
    assert_eq!(fields["n"], Value::from(1));
}

#[test]
fn every_step_has_its_operation() {
    let text = "merge c/p a=1\nadd c/p a=-2 b=3\nappend c/p l=[1]\nunion c/p s=[2]\n\
                remove c/p a b\ndel c/p";
    let names: Vec<_> = ops(text).iter().map(Op::name).collect();
    assert_eq!(
        names,
        ["merge", "add", "add", "append", "union", "remove_field", "remove_field", "delete"]
    );
}

#[test]
fn every_expectation_reads() {
    let text = "expect c/p absent\nexpect c/p present\nexpect c/p version 7\n\
                expect c/p f=absent\nexpect c/p f=1 g=\"x\"";
    let expects: Vec<Expect> = ops(text)
        .into_iter()
        .map(|op| match op {
            Op::Expect(expect) => expect,
            other => panic!("{other:?}"),
        })
        .collect();
    let field = |name: &str, value| Expect::Field { field: name.into(), value };
    assert_eq!(
        expects,
        [
            Expect::Absent,
            Expect::Present,
            Expect::Version(Timestamp(7)),
            field("f", None),
            field("f", Some(Value::from(1))),
            field("g", Some(Value::from("x"))),
        ]
    );
}

#[test]
fn fault_names_its_line() {
    assert_eq!(fault("get c/p\nfly c/p"), "line 2: \"fly\" is no step");
    assert!(fault("get c/p\n\nput c/p n=").starts_with("line 3: "));
    assert!(fault("get nokey").contains("nokey"));
    assert!(fault("add c/p n=1.5").contains("whole number"));
    assert!(fault("append c/p n=1").contains("list"));
    assert!(fault("merge c/p").contains("FIELD=JSON"));
    assert!(fault("get c/p extra").contains("extra"));
    assert!(fault("expect c/p").contains("FIELD=JSON"));
    assert!(fault("# nothing").contains("no step"));
}

#[test]
fn key_with_blanks_is_written_as_a_json_string() {
    let steps = parse("get \"notes/my day\"\nput \"notes/a b/c\" n=1").unwrap();
    assert_eq!(steps[0], Step::Get("notes/my day".parse().unwrap()));
    let Step::Write(delta) = &steps[1] else { panic!("{steps:?}") };
    assert_eq!(delta.key, "notes/a b/c".parse().unwrap());
    assert!(parse("get \"notes/my day").unwrap_err().what.contains("JSON string"));
}
