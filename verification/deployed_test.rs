//! The batch of whole clusters that every change must pass: openraft, our log and our store.

use std::{ops::Range, process::Command};
use vatic_core::rules::Rules;
use vatic_verification::{Batch, Level, Options, again, conform_all};

/// Fixed, so that a change is judged on the same runs as the one before it.
const SEEDS: Range<u64> = 1..51;
const THREADS: usize = 2;
/// So much of what the seeds record at the boundary of the core is played again, and no less.
const EVENTS_MIN: u64 = 50_000;
/// So many transactions are followed through their groups: each move is one that the models make.
const PROJECTIONS_MIN: u64 = 2_000;

/// Each of these is run twice more, in processes of their own.
const REPEATED: [&str; 4] = ["10..11", "20..21", "30..31", "40..41"];

#[test]
fn batch_of_clusters_violates_nothing_and_reaches_every_rare_path() {
    let options = Options::of(Level::Deployed);
    let (runs, conformance) = conform_all(SEEDS, &options, Rules::default(), THREADS);
    let mut batch = Batch::default();
    runs.into_iter().for_each(|run| batch.add(run));
    for failed in &batch.failed {
        for violation in &failed.violations {
            eprintln!("seed {}: {violation}", failed.seed);
        }
        eprintln!("run it again: {}", again(failed.seed, &options));
    }
    assert!(batch.failed.is_empty(), "{} seeds failed", batch.failed.len());
    assert_eq!(batch.shortcomings(Level::Deployed), Vec::<String>::new());
    assert_eq!(conformance.differences, Vec::<String>::new());
    assert!(conformance.events() >= EVENTS_MIN, "{} events", conformance.events());
    assert_eq!(conformance.projections.strange, Vec::<String>::new());
    let followed = conformance.projections.checked;
    assert!(followed >= PROJECTIONS_MIN, "{followed} transactions");
}

/// Where nobody is disturbed clients leave more tickets behind than happen in a minute.
#[test]
fn tickets_that_take_longer_than_a_minute_are_no_violation_while_they_go() {
    let output = simulate(&["--level", "2", "--seed", "4", "--faults", "none", "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let report: serde_json::Value =
        serde_json::from_str(stdout.lines().last().expect("a report")).expect("JSON");
    assert!(report["simulated_seconds"].as_f64() > Some(70.0), "{report}");
}

#[test]
fn same_cluster_in_two_processes_gives_the_same_report() {
    let reports = REPEATED.map(|seeds| {
        let (first, second) = (report(seeds), report(seeds));
        assert_eq!(first, second, "seeds {seeds}");
        first
    });
    assert_ne!(reports[0]["trace_hash"], reports[1]["trace_hash"]);
    assert_ne!(reports[1]["trace_hash"], reports[2]["trace_hash"]);
}

#[test]
fn broken_cluster_exits_with_five_and_says_how_to_repeat_it() {
    let arguments = ["--level", "2", "--seed", "1", "--broken", "MarkWithoutState"];
    let output = simulate(&arguments);
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--seed 1 --level 2 --broken MarkWithoutState"), "{stderr}");
}

/// The last line, but for how fast it was.
fn report(seeds: &str) -> serde_json::Value {
    let output = simulate(&["--level", "2", "--seeds", seeds, "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let last = stdout.lines().last().expect("a line");
    let mut report: serde_json::Value = serde_json::from_str(last).expect("it is JSON");
    report.as_object_mut().expect("an object").remove("seeds_per_minute");
    report
}

fn simulate(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vatic-verification"));
    command.arg("simulate").args(arguments).output().expect("the binary runs")
}
