//! What loom says of the broken variants of what threads share: its models are built with a flag of
//! their own, so they run as a command.

use crate::mutant_table::Row;
use anyhow::{Context, bail};
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// How the loom models begin the line of a broken variant, below the one of its model.
const INDENT: &str = "    ";

/// Runs them all; one row for each broken variant.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "-p", "vatic-sync", "--release", "--test", "loom"]);
    command.args(["--target-dir", "target/loom"]).current_dir(&root).env_remove("CARGO_TARGET_DIR");
    // The other one would win.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("RUSTFLAGS", "--cfg vatic_loom").stderr(Stdio::inherit());
    let ran = command.output().context("cargo cannot be run, which builds the loom models")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let rows = read(&said);
    // What is not run, or fails by itself, has no row.
    if rows.is_empty() || (!ran.status.success() && rows.iter().all(Row::is_caught)) {
        bail!("the loom models fail: {said}");
    }
    Ok(rows)
}

/// Their report, as rows: models are named at the margin, and what is broken in them below.
fn read(said: &str) -> Vec<Row> {
    let (mut rows, mut model) = (Vec::new(), "");
    for line in said.lines() {
        let Some((what, came_of_it)) = line.split_once(": ") else { continue };
        match what.strip_prefix(INDENT) {
            None => model = what,
            Some(what) => rows.push(row(model, what, came_of_it.starts_with("caught"))),
        }
    }
    rows
}

fn row(model: &str, what: &str, caught: bool) -> Row {
    let loom = Some((model.to_owned(), caught));
    let (models, hunts, broken) = Default::default();
    Row { name: what.to_owned(), part: "threads", broken, models, hunts, loom }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn report_of_the_loom_models_is_read_line_by_line() {
        let said = "claim has one holder: 7 interleavings, 1.2ms\n    \
                    ReleaseRelaxed: caught (Causality violation: x)\n\
                    marker tells: 3 interleavings (at most 2 preemptions), 4ms\n    \
                    put together wrongly: NOT CAUGHT\n\
                    2 models, 2 twins, 1 failed, 0.1 s\n";
        let rows = read(said);
        let told = rows.iter().map(|row| {
            let (model, caught) = row.loom.as_ref().expect("loom was asked");
            (row.name.as_str(), model.as_str(), *caught)
        });
        let expected = [
            ("ReleaseRelaxed", "claim has one holder", true),
            ("put together wrongly", "marker tells", false),
        ];
        assert!(told.eq(expected));
        assert!(rows[0].is_caught() && !rows[1].is_caught());
    }
}
