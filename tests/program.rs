//! The program under test: `vatic` of this very build, with failpoints that nobody has armed; and
//! `vatic` as users have it, which is what is measured.
//!
//! Cargo builds a package's binary for the tests of that package alone, so for these tests it may
//! be missing or older than the sources; then it is built here, into the same target folder.
//! `VATIC_TEST_PROGRAM` names another one, such as a release build; tests that arm failpoints need
//! one that has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

/// A binary of the package `vatic`.
struct Binary {
    name: &'static str,
    features: &'static [&'static str],
}

/// The selection of packages, test crates included, in which a test is built. Features are unified
/// over a selection: with another one nearly every crate would be built a second time.
const AS_TESTS_ARE: &[&str] = &["--workspace", "--test", "crashes"];
const ALONE: &[&str] = &["--package", "vatic"];

/// Where the binary with failpoints is, fresh.
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        Binary { name: "vatic-failpoints", features: &["--features", "vatic/failpoints"] }.fresh()
    });
    &PROGRAM
}

/// Where the binary that users have is, fresh.
pub fn plain_program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> =
        LazyLock::new(|| Binary { name: "vatic", features: &[] }.fresh());
    &PROGRAM
}

impl Binary {
    fn fresh(&self) -> PathBuf {
        std::env::var_os("VATIC_TEST_PROGRAM").map_or_else(|| self.built(), PathBuf::from)
    }

    fn built(&self) -> PathBuf {
        let test = std::env::current_exe().expect("a process knows its program");
        // TARGET/PROFILE/deps/TEST, or TARGET/PROFILE/COMMAND
        let folder = test.parent().expect("a program lies in a folder");
        let (profile, selection) = match folder.ends_with("deps") {
            true => (folder.parent().expect("deps lies in a profile"), AS_TESTS_ARE),
            false => (folder, ALONE),
        };
        let binary = profile.join(self.name);
        if fs::metadata(&binary).and_then(|found| found.modified()).ok() < newest_source() {
            self.build(profile, selection);
        }
        assert!(binary.is_file(), "cargo built no {}", binary.display());
        binary
    }

    fn build(&self, profile: &Path, selection: &[&str]) {
        let name = profile.file_name().expect("a profile has a name").to_string_lossy();
        let name = if name == "debug" { "dev" } else { &name };
        let target = profile.parent().expect("a profile lies in a target folder");
        eprintln!("building the binary `{}` (profile {name})", self.name);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--bin", self.name])
            .args(selection)
            .args(self.features)
            .args(["--profile", name])
            .arg("--target-dir")
            .arg(target)
            .current_dir(root())
            .status()
            .expect("cargo can be started");
        assert!(status.success(), "`cargo build -p vatic` failed: {status}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository")
}

fn newest_source() -> Option<SystemTime> {
    ["src", "proto", "Cargo.lock"].into_iter().filter_map(|name| newest(&root().join(name))).max()
}

fn newest(path: &Path) -> Option<SystemTime> {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("the repository can be read");
        return entries.filter_map(|entry| newest(&entry.ok()?.path())).max();
    }
    fs::metadata(path).and_then(|found| found.modified()).ok()
}
