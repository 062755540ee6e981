//! What a build of the server is made of: nothing by which a test could break or stop it.
//!
//! Cargo gives crates that are built together the features that any of them asks for. So the
//! question is not who asks, which the manifests say, but what a build of the server alone has.

use std::process::Command;

/// Rules that can be broken, and places where a process can be stopped.
const FOR_TESTS: [&str; 2] = ["mutants", "failpoints"];

#[test]
fn no_build_of_the_server_has_what_tests_break_and_stop_it_with() {
    let tree = tree(&["-p", "vatic"]);
    for part in ["vatic-core", "vatic-server", "vatic-consensus", "vatic-store", "vatic-log"] {
        assert!(tree.contains(&format!("\n{part} ")), "{part} is not in it:\n{tree}");
    }
    assert_eq!(for_tests(&tree), Vec::<String>::new());
}

#[test]
fn build_that_has_what_tests_break_and_stop_it_with_is_caught() {
    let armed = for_tests(&tree(&["-p", "vatic", "--features", "failpoints"]));
    assert!(armed.iter().any(|fault| fault.starts_with("vatic-server ")), "{armed:?}");
    let broken = for_tests(&tree(&["-p", "vatic-verification"]));
    assert!(broken.iter().any(|fault| fault.starts_with("vatic-core ")), "{broken:?}");
    let together = for_tests(&tree(&["-p", "vatic", "-p", "vatic-verification"]));
    assert!(together.iter().any(|fault| fault.starts_with("vatic-core ")), "{together:?}");
}

/// Every package of a build with its features, a line each.
fn tree(selection: &[&str]) -> String {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut command = Command::new(cargo);
    command.current_dir(super::root()).args(["tree", "--frozen", "--prefix", "none"]);
    command.args(["--edges", "normal", "--format", "{p}|{f}"]).args(selection);
    let output = command.output().expect("cargo runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree {selection:?}: {stderr}");
    format!("\n{}", String::from_utf8_lossy(&output.stdout))
}

/// The packages of ours that have a feature for tests.
fn for_tests(tree: &str) -> Vec<String> {
    let packages = tree.lines().filter_map(|line| line.split_once('|'));
    // The crate `fail` too, with which failpoints are made.
    let ours = packages.filter(|(package, _)| {
        package.starts_with("vatic-")
            || ["vatic ", "fail "].iter().any(|at| package.starts_with(at))
    });
    let has = |features: &str| {
        let mut features = features.split([',', ' ']);
        features.any(|feature| FOR_TESTS.contains(&feature))
    };
    let found = ours.filter(|(_, features)| has(features));
    found.map(|(package, features)| format!("{package} has {features}")).collect()
}
