//! The batch of whole clusters that every change must pass: openraft, our log and our store.

use std::process::Command;
use vatic_verification::{Batch, Level, Options, again, run};

/// Fixed, so that a change is judged on the same runs as the one before it. Seed 5 is where virtual
/// time once stood still: a leader tried to introduce itself to a peer that refused at once.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=30;

/// Each of these is run twice more, in processes of their own.
const REPEATED: [&str; 3] = ["10..11", "20..21", "30..31"];

#[test]
fn batch_of_clusters_violates_nothing_and_reaches_every_rare_path() {
    let options = Options::of(Level::Deployed);
    let mut batch = Batch::default();
    for seed in SEEDS {
        batch.add(run(seed, &options));
    }
    for failed in &batch.failed {
        for violation in &failed.violations {
            eprintln!("seed {}: {violation}", failed.seed);
        }
        eprintln!("run it again: {}", again(failed.seed, &options));
    }
    assert!(batch.failed.is_empty(), "{} seeds failed", batch.failed.len());
    assert_eq!(batch.shortcomings(Level::Deployed), Vec::<String>::new());
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
fn cluster_on_an_acknowledging_disk_that_lies_is_found_out() {
    let arguments = ["--level", "2", "--seeds", "1..41", "--broken", "AckBeforeSync"];
    let output = simulate(&arguments);
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--level 2"), "{stderr}");
    assert!(stderr.contains("--broken AckBeforeSync"), "{stderr}");
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
