//! The source rules as a test: what the conventions say of files, names and imports, read off the
//! repository itself.
//!
//! Each rule has beside it a snippet that breaks it, which it must catch: a rule that has never
//! been red proves little.

#[path = "source_rules/builds.rs"]
mod builds;
#[path = "source_rules/layout.rs"]
mod layout;
#[path = "source_rules/rules.rs"]
mod rules;
#[path = "source_rules/rules_test.rs"]
mod rules_test;
#[path = "source_rules/text.rs"]
mod text;
#[path = "source_rules/workflow.rs"]
mod workflow;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use text::{Fault, Source};

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests lie in the repository").to_owned()
}

/// Applies a rule to every file of a kind and prints all faults before it fails.
fn hold(endings: &[&str], rule: fn(&Source) -> Vec<Fault>) {
    static SOURCES: LazyLock<Vec<Source>> =
        LazyLock::new(|| text::sources(&root(), &[".rs", ".proto", ".toml", ".md"]));
    assert!(SOURCES.len() > 100, "the sources are not where they should be: {}", root().display());
    let concerned = |source: &&Source| endings.iter().any(|ending| source.path.ends_with(ending));
    let faults: Vec<Fault> = SOURCES.iter().filter(concerned).flat_map(rule).collect();
    let lines = faults.iter().map(|Fault { path, line, what }| format!("{path}:{line}: {what}\n"));
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), lines.collect::<String>());
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    hold(&[".rs"], rules::header);
}

#[test]
fn no_file_is_longer_than_the_limit() {
    hold(&[".rs", ".proto"], rules::file_length);
}

#[test]
fn no_function_is_longer_than_the_limit() {
    hold(&[".rs"], rules::function_length);
}

#[test]
fn no_line_is_wider_than_the_limit() {
    hold(&[".rs", ".proto"], rules::width);
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    hold(&[".rs"], rules::names);
}

#[test]
fn no_test_is_named_after_being_one() {
    hold(&[".rs"], rules::naming_of_tests);
}

#[test]
fn nothing_is_left_to_be_done() {
    hold(&[".rs"], rules::unfinished);
}

#[test]
fn core_names_no_clock_no_chance_and_no_float() {
    hold(&[".rs"], rules::pure_core);
}

#[test]
fn foreign_types_stop_at_their_seams() {
    hold(&[".rs"], rules::seams);
}

#[test]
fn what_threads_share_without_a_lock_is_in_one_crate() {
    hold(&[".rs"], rules::shared_state);
}

#[test]
fn every_status_is_made_in_one_file() {
    hold(&[".rs"], rules::statuses);
}

#[test]
fn crate_roots_hold_no_logic() {
    hold(&[".rs"], rules::bare_roots);
}

#[test]
fn no_file_points_outside_of_the_repository() {
    hold(&[".rs", ".proto", ".toml", ".md"], rules::workplace);
}

#[test]
fn top_of_the_repository_holds_what_belongs_there() {
    let faults = layout::top_level(&layout::names_at(&root()));
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn dependencies_point_one_way() {
    let manifests = layout::manifests(&root());
    assert!(manifests.len() > 10, "{manifests:?}");
    let faults: Vec<String> =
        manifests.iter().flat_map(|(at, text)| layout::dependencies(at, text)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn bugs_can_be_planted_in_the_simulations_own_build_and_rules_broken_in_the_checkers_alone() {
    let manifests = layout::manifests(&root()).into_iter().chain([layout::workspace(&root())]);
    let faults: Vec<String> =
        manifests.flat_map(|(at, text)| layout::planted(&at, &text)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
