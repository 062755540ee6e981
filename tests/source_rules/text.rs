//! Source files as the rules see them: the text, and the same text with everything that is not
//! code blanked out.
//!
//! Why a scanner of our own and no parser: the rules ask for words, braces and lines, and a parser
//! would refuse a file that is being written. Blanked characters become spaces and line breaks
//! stay, so that a line number in the code is one in the text.

use std::fs;
use std::path::Path;

/// One file of the repository.
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` without comments, strings and character literals.
    pub(crate) code: String,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) path: String,
    /// From 1; 0: the file as a whole.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: code_of(text) }
    }

    pub(crate) fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault { path: self.path.clone(), line, what: what.into() }
    }

    /// The lines of code, from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// All files below `root` with one of the endings, in order; build output and hidden folders apart.
pub(crate) fn sources(root: &Path, endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(root, root, endings, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(root: &Path, folder: &Path, endings: &[&str], found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("the repository can be read") {
        let path = entry.expect("the repository can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                walk(root, &path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let relative = path.strip_prefix(root).expect("it is below").to_string_lossy();
            let text = fs::read_to_string(&path).expect("sources are text");
            found.push(Source::new(&relative, &text));
        }
    }
}

/// Where `word` stands as a whole word.
pub(crate) fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).filter_map(move |(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(inside);
        let after = line[at + word.len()..].chars().next().is_some_and(inside);
        (!before && !after).then_some(at)
    })
}

/// A function's name, its first line, and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
    pub(crate) is_test: bool,
}

/// Every function with a body, nested ones too.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    words(code, "fn").filter_map(|at| function_at(code, at)).collect()
}

fn function_at(code: &str, at: usize) -> Option<Function> {
    let after = code[at + 2..].trim_start();
    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // A type such as `fn(u32)` has no name.
    if name.is_empty() {
        return None;
    }
    let open = body_start(code, at)?;
    let end = block_end(code, open)?;
    let line = code[..at].matches('\n').count() + 1;
    let lines = code[at..end].matches('\n').count() + 1;
    let start = code[..at].rfind(['{', '}', ';']).map_or(0, |before| before + 1);
    let is_test = words(&code[start..at], "test").next().is_some();
    Some(Function { name, line, lines, is_test })
}

/// The brace that opens the body; `None` for a declaration, which ends in a semicolon.
fn body_start(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at + offset),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn block_end(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0u32;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(open + offset),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word_before = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let blank = blank_length(rest, word_before);
        let taken = if blank > 0 { blank } else { rest.chars().next().map_or(1, char::len_utf8) };
        let (now, later) = rest.split_at(taken);
        if blank > 0 {
            code.extend(now.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push_str(now);
        }
        rest = later;
    }
    code
}

/// Bytes of the comment, string or character literal that `rest` starts with; 0: it is code.
fn blank_length(rest: &str, word_before: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_length(rest);
    }
    if let Some(inside) = rest.strip_prefix('"') {
        return 1 + quoted_length(inside, '"');
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    if word_before {
        return 0;
    }
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default();
        let raw = prefix.ends_with('r') && after.trim_start_matches('#').starts_with('"');
        raw || after.starts_with('"') || (*prefix == "b" && after.starts_with('\''))
    });
    let Some(prefix) = prefix else { return 0 };
    let after = &rest[prefix.len()..];
    let literal = match (prefix.ends_with('r'), after.starts_with('\'')) {
        (true, _) => raw_length(after),
        (false, true) => character_length(after),
        (false, false) => 1 + quoted_length(&after[1..], '"'),
    };
    if literal == 0 { 0 } else { prefix.len() + literal }
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0u32, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Up to and with the closing quote; the opening one is gone already.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `#"..."#` with any number of `#`.
fn raw_length(rest: &str) -> usize {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 1;
    rest[start..].find(&close).map_or(rest.len(), |at| start + at + close.len())
}

/// A character literal; 0 for a lifetime.
fn character_length(rest: &str) -> usize {
    let mut characters = rest[1..].chars();
    match characters.next() {
        Some('\\') => 1 + quoted_length(&rest[1..], '\''),
        Some(first) if characters.next() == Some('\'') => 2 + first.len_utf8(),
        _ => 0,
    }
}
