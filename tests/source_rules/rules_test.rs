//! For each rule, a snippet that breaks it and one that comes close and does not.

use crate::rules;
use crate::text::{Fault, Source, functions};

fn lines(rule: fn(&Source) -> Vec<Fault>, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text)).into_iter().map(|fault| fault.line).collect()
}

#[test]
fn file_without_header_is_caught() {
    assert_eq!(lines(rules::header, "src/a.rs", "// a comment\n"), [1]);
    assert_eq!(lines(rules::header, "src/a.rs", "//!\nfn f() {}\n"), [1]);
    assert_eq!(lines(rules::header, "src/a.rs", ""), [1]);
    assert_eq!(lines(rules::header, "src/a.rs", "//! What it is.\n"), []);
}

#[test]
fn file_over_the_limit_is_caught() {
    assert_eq!(lines(rules::file_length, "src/a.rs", &"\n".repeat(501)), [0]);
    assert_eq!(lines(rules::file_length, "src/a.rs", &"\n".repeat(500)), []);
}

#[test]
fn line_over_the_limit_is_caught_by_characters_not_bytes() {
    assert_eq!(lines(rules::width, "src/a.rs", &format!("\n{}\n", "é".repeat(101))), [2]);
    assert_eq!(lines(rules::width, "src/a.rs", &"é".repeat(100)), []);
}

#[test]
fn function_over_the_limit_is_caught_whatever_braces_its_text_holds() {
    let body = |lines: usize| {
        let tricks = "let a = \"}\"; let b = '}'; let c = r#\"}\"\"#; // }\n/* } /* } */ */";
        format!("\nfn f<'a>(x: &'a [u8; 3]) -> u8 {{\n{tricks}{}\n}}\n", "\n".repeat(lines - 4))
    };
    assert_eq!(lines(rules::function_length, "src/a.rs", &body(71)), [2]);
    assert_eq!(lines(rules::function_length, "src/a.rs", &body(70)), []);
}

#[test]
fn functions_are_found_with_their_lines_and_declarations_are_not() {
    let code = "trait T {\n fn declared(&self) -> [u8; 2];\n fn given(&self) {\n }\n}\n\
                struct S { f: fn(u32) -> u32 }\nfn outer() { fn inner() {} }\n";
    let found: Vec<(String, usize, usize)> =
        functions(code).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
    let wanted = [("given", 3, 2), ("outer", 7, 1), ("inner", 7, 1)];
    assert_eq!(found, wanted.map(|(name, line, lines)| (name.to_owned(), line, lines)));
}

#[test]
fn name_that_says_nothing_is_caught_as_file_folder_and_module() {
    assert_eq!(lines(rules::names, "src/a/utils.rs", ""), [0]);
    assert_eq!(lines(rules::names, "src/helpers/a.rs", ""), [0]);
    assert_eq!(lines(rules::names, "src/a.rs", "\npub(crate) mod common;\n"), [2]);
    assert_eq!(lines(rules::names, "src/a.rs", "let common = 1; // mod common\n"), []);
}

#[test]
fn prefix_of_a_test_is_caught_and_that_of_other_functions_is_not() {
    let rule = rules::naming_of_tests;
    assert_eq!(lines(rule, "src/a.rs", "#[test]\nfn test_it() {}\n"), [2]);
    assert_eq!(lines(rule, "src/a.rs", "#[tokio::test]\nasync fn test_it() {}\n"), [2]);
    assert_eq!(lines(rule, "src/a.rs", "#[test]\nfn tested() {}\nfn test_limits() {}\n"), []);
}

#[test]
fn unfinished_code_is_caught_and_talk_of_it_is_not() {
    let text = "fn a() { todo!() }\nfn b() { dbg!(1); }\nfn c() { unimplemented!() }\n";
    assert_eq!(lines(rules::unfinished, "src/a.rs", text), [1, 2, 3]);
    assert_eq!(lines(rules::unfinished, "src/a.rs", "// todo!\nlet todo = \"dbg!\";\n"), []);
}

#[test]
fn impure_core_is_caught() {
    let text = "use std::time::Instant;\nfn mean() -> f64 { 0.0 }\nuse rand::random;\n";
    assert_eq!(lines(rules::pure_core, "src/core/vote.rs", text), [1, 2, 3]);
    assert_eq!(lines(rules::pure_core, "src/log/log.rs", text), []);
    assert_eq!(lines(rules::pure_core, "src/core/vote.rs", "// no std, no f64\n"), []);
    assert_eq!(lines(rules::pure_core, "src/core/lib.rs", "extern crate alloc;\n"), [1, 1]);
}

#[test]
fn foreign_type_beyond_its_seam_is_caught() {
    let raft = "use openraft::Vote;\n";
    assert_eq!(lines(rules::seams, "src/server/node.rs", raft), [1]);
    assert_eq!(lines(rules::seams, "src/consensus/node.rs", raft), []);
    let lmdb = "//! heed\nuse heed::Env;\n";
    assert_eq!(lines(rules::seams, "src/store/flush.rs", lmdb), [2]);
    assert_eq!(lines(rules::seams, "src/store/lmdb.rs", lmdb), []);
    let wire = "use vatic_proto::v1;\n";
    assert_eq!(lines(rules::seams, "src/server/drive.rs", wire), [1]);
    assert_eq!(lines(rules::seams, "src/core/vote.rs", wire), [1]);
    assert_eq!(lines(rules::seams, "src/server/convert.rs", wire), []);
    assert_eq!(lines(rules::seams, "src/server/sweep.rs", "SystemTime::now();\n"), [1]);
}

#[test]
fn shared_state_beside_its_crate_is_caught() {
    let rule = rules::shared_state;
    let text = "use std::sync::Arc;\nuse std::sync::atomic::AtomicU64;\n";
    assert_eq!(lines(rule, "src/store/room.rs", text), [2]);
    assert_eq!(lines(rule, "src/store/full_test.rs", text), []);
    assert_eq!(lines(rule, "tests/load.rs", text), []);
    assert_eq!(lines(rule, "src/sync/gate.rs", text), [1, 2]);
    assert_eq!(lines(rule, "src/sync/gate.rs", "use loom::sync::Arc;\n"), [1]);
    assert_eq!(lines(rule, "src/sync/shim.rs", text), []);
}

#[test]
fn status_made_elsewhere_is_caught() {
    let text = "fn f() -> Status {\n Status::unavailable(\"\")\n}\n";
    assert_eq!(lines(rules::statuses, "src/server/submit.rs", text), [2]);
    assert_eq!(lines(rules::statuses, "src/server/status.rs", text), []);
    assert_eq!(lines(rules::statuses, "src/server/peer.rs", "PeerReply::Status(status)\n"), []);
    assert_eq!(lines(rules::statuses, "src/server/peer.rs", "PeerRequest::Status { a }\n"), []);
}

#[test]
fn logic_in_a_crate_root_is_caught() {
    assert_eq!(lines(rules::bare_roots, "src/a/lib.rs", "mod a;\nfn f() {}\n"), [2]);
    assert_eq!(lines(rules::bare_roots, "src/a/lib.rs", "mod a;\npub use a::f;\n"), []);
}

#[test]
fn pointer_to_the_outside_is_caught() {
    let pointers = [
        concat!("// see ..", "/shared/design.md"),
        concat!("// in /work", "/main"),
        concat!("// fixes issue", " 12"),
        concat!("// Issue", " #3 says"),
    ];
    for pointer in pointers {
        assert!(!lines(rules::workplace, "src/a.rs", pointer).is_empty(), "{pointer}");
    }
    assert_eq!(lines(rules::workplace, "src/a.rs", "// votes issue two reads\n"), []);
}
