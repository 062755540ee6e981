//! The rules about the repository as a whole: what lies at its top, and which crate knows which.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The folders and the manifest: all of them, and no other.
const REQUIRED: [&str; 8] =
    ["Cargo.lock", "Cargo.toml", "benches", "models", "proto", "src", "tests", "verification"];

/// Documents and the settings of tools; names that start with a dot are free.
const ALLOWED: [&str; 7] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    // Build output; git ignores it.
    "target",
];

/// Which of our crates each of our crates may depend on, tests apart. Dependencies point one way.
const KNOWS: [(&str, &[&str]); 23] = [
    ("src/core", &[]),
    ("src/sync", &[]),
    ("src/learn", &["vatic-core"]),
    ("src/log", &["vatic-sync"]),
    ("proto", &[]),
    ("src/store", &["vatic-core", "vatic-sync"]),
    ("src/consensus", &["vatic-log", "vatic-proto", "vatic-store", "vatic-sync"]),
    ("src/client", &["vatic-core", "vatic-proto"]),
    (
        "src/server",
        &[
            "vatic-consensus",
            "vatic-core",
            "vatic-learn",
            "vatic-log",
            "vatic-proto",
            "vatic-store",
            "vatic-sync",
        ],
    ),
    ("src/cli", &["vatic-client", "vatic-core", "vatic-learn", "vatic-server"]),
    ("models", &["vatic-core"]),
    // What is simulated is named as what it stands in for.
    (
        "verification",
        // The store twice: over LMDB, and over what stands in for it.
        &[
            "vatic-consensus",
            "vatic-core",
            "vatic-lmdb-store",
            "vatic-log",
            "vatic-models",
            "vatic-store",
        ],
    ),
    (
        "verification/simulated/consensus",
        &["vatic-log", "vatic-proto", "vatic-store", "vatic-sync"],
    ),
    ("verification/simulated/log", &["vatic-sync"]),
    ("verification/simulated/store", &["vatic-core", "vatic-sync"]),
    ("verification/stand_in/heed", &[]),
    (
        "verification/stand_in/proto",
        &["vatic-proto", "vatic-stand-in-tokio", "vatic-stand-in-tonic"],
    ),
    ("verification/stand_in/raft_rt", &["vatic-stand-in-tokio"]),
    ("verification/stand_in/tokio", &[]),
    ("verification/stand_in/tonic", &["vatic-stand-in-tokio"]),
    ("tests", &["vatic-client", "vatic-core", "vatic-proto", "vatic-store"]),
    // It sees every decoder.
    (
        "tests/fuzz",
        &[
            "vatic-client",
            "vatic-consensus",
            "vatic-core",
            "vatic-log",
            "vatic-proto",
            "vatic-server",
            "vatic-store",
        ],
    ),
    ("benches", &["vatic-core", "vatic-tests"]),
];

/// What is missing at the top of a repository, and what does not belong there.
pub(crate) fn top_level(names: &BTreeSet<String>) -> Vec<String> {
    let missing = REQUIRED.iter().filter(|name| !names.contains(**name));
    let missing = missing.map(|name| format!("{name} is missing at the top"));
    let foreign = names.iter().filter(|name| {
        let name = name.as_str();
        !name.starts_with('.') && !REQUIRED.contains(&name) && !ALLOWED.contains(&name)
    });
    missing.chain(foreign.map(|name| format!("{name} does not belong at the top"))).collect()
}

pub(crate) fn names_at(root: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(root).expect("the repository can be read");
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Our crates that a crate depends on against the table, and crates that the table lacks.
pub(crate) fn dependencies(folder: &str, manifest: &str) -> Vec<String> {
    let Some((_, known)) = KNOWS.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{folder}: what it may depend on is not written down")];
    };
    let ours = named_dependencies(manifest).filter(|name| name.starts_with("vatic-"));
    let foreign = ours.filter(|name| !known.contains(name));
    foreign.map(|name| format!("{folder} must not depend on {name}")).collect()
}

/// The manifests of the workspace's crates, each with its folder.
pub(crate) fn manifests(root: &Path) -> Vec<(String, String)> {
    let workspace = fs::read_to_string(root.join("Cargo.toml")).expect("there is a workspace");
    let list = workspace.split_once("\nmembers = [").expect("it has members").1;
    let list = list.split_once(']').expect("the list ends").0;
    let folders = list.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    let folders = folders.filter(|name| !name.is_empty());
    folders
        .map(|folder| {
            let manifest = fs::read_to_string(root.join(&folder).join("Cargo.toml"));
            (folder, manifest.expect("each member has a manifest"))
        })
        .collect()
}

/// The manifest of the workspace: what it says of a dependency holds for every crate.
pub(crate) fn workspace(root: &Path) -> (String, String) {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("there is a workspace");
    ("the workspace".into(), manifest)
}

/// Who asks for the feature by which bugs can be planted or rules broken: of log, store and
/// consensus the simulation's own build alone may have it, of the core the checkers.
pub(crate) fn planted(folder: &str, manifest: &str) -> Vec<String> {
    if folder.starts_with("verification/simulated/") {
        return Vec::new();
    }
    let checks = ["models", "verification"].contains(&folder);
    let asks = |line: &&str| {
        let asks = line.contains("\"mutants\"") || line.contains("/mutants\"");
        // A test may be called that.
        let free = line.starts_with("name =") || (checks && line.starts_with("vatic-core ="));
        asks && !free
    };
    let lines = manifest.lines().filter(asks);
    lines.map(|line| format!("{folder} plants bugs: {line}")).collect()
}

/// The keys of `[dependencies]`.
fn named_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
}

#[test]
fn foreign_or_missing_name_at_the_top_is_caught() {
    let mut names: BTreeSet<String> = REQUIRED.iter().map(ToString::to_string).collect();
    names.extend([".ci".to_owned(), "README.md".to_owned()]);
    assert_eq!(top_level(&names), Vec::<String>::new());
    names.insert("docs".to_owned());
    names.remove("models");
    let faults = top_level(&names);
    assert_eq!(faults, ["models is missing at the top", "docs does not belong at the top"]);
}

#[test]
fn dependency_against_the_direction_is_caught() {
    let manifest = "[dependencies]\nserde.workspace = true\nvatic-store = { path = \"x\" }\n\n\
                    [dev-dependencies]\nvatic-server.workspace = true\n";
    assert_eq!(dependencies("src/core", manifest), ["src/core must not depend on vatic-store"]);
    assert_eq!(dependencies("src/consensus", manifest), Vec::<String>::new());
    assert_eq!(dependencies("src/new", manifest).len(), 1);
}

#[test]
fn build_that_could_plant_bugs_is_caught() {
    let asks = "[dependencies]\nvatic-log = { workspace = true, features = [\"mutants\"] }\n";
    assert_eq!(planted("src/server", asks).len(), 1);
    assert_eq!(planted("verification", asks).len(), 1);
    assert_eq!(planted("src/log", "[features]\ndefault = [\"mutants\"]\n").len(), 1);
    assert_eq!(planted("src/log", "[features]\nmutants = []\n"), Vec::<String>::new());
    assert_eq!(planted("verification/simulated/store", asks), Vec::<String>::new());
}

#[test]
fn build_of_the_core_that_could_break_rules_is_caught() {
    let asks = "[dependencies]\nvatic-core = { workspace = true, features = [\"mutants\"] }\n";
    assert_eq!(planted("src/server", asks).len(), 1);
    assert_eq!(planted("the workspace", asks).len(), 1);
    assert_eq!(planted("src/core", "[features]\ndefault = [\"mutants\"]\n").len(), 1);
    assert_eq!(planted("src/cli", "[features]\nfuzz = [\"vatic-core/mutants\"]\n").len(), 1);
    let table = "[dependencies.vatic-core]\nfeatures = [\n    \"mutants\",\n]\n";
    assert_eq!(planted("src/cli", table).len(), 1);
    assert_eq!(planted("models", asks), Vec::<String>::new());
    let test = "[[test]]\nname = \"mutants\"\n";
    assert_eq!(planted("verification", test), Vec::<String>::new());
}
