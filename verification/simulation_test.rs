//! The batch of seeds that every change must pass, played again by the core alone, and that one
//! seed means one run.

use std::{ops::Range, process::Command};
use vatic_core::rules::Rules;
use vatic_verification::{Batch, Family, Fault, Level, Options, Probe, again, conform_all};

/// Fixed, so that a change is judged on the same runs as the one before it.
const SEEDS: Range<u64> = 1..801;
/// So much of what the seeds record at the boundary of the core is played again, and no less.
const EVENTS_MIN: u64 = 1_000_000;
/// Of these, looks at queues and ends of attempts.
const QUEUE_EVENTS_MIN: u64 = 3_000;
/// So many transactions are followed through their groups: each move is one that the models make.
const PROJECTIONS_MIN: u64 = 40_000;
const THREADS: usize = 2;

#[test]
fn batch_of_seeds_violates_nothing_reaches_every_rare_path_and_is_the_cores_own_doing() {
    let options = Options::default();
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
    assert_eq!(batch.shortcomings(Level::Assumed), Vec::<String>::new());
    assert_eq!(conformance.differences, Vec::<String>::new());
    assert!(conformance.events() >= EVENTS_MIN, "{} events", conformance.events());
    assert!(conformance.queue_events >= QUEUE_EVENTS_MIN, "{}", conformance.queue_events);
    assert_eq!(conformance.projections.strange, Vec::<String>::new());
    let followed = conformance.projections.checked;
    assert!(followed >= PROJECTIONS_MIN, "{followed} transactions");
}

#[test]
fn every_tenth_seed_reports_the_same_bytes_in_three_processes() {
    let first = report("1..801");
    assert_eq!(first["twins"], 80);
    assert_ne!(first["trace_hash"], report("801..806")["trace_hash"]);
}

#[test]
fn seed_that_depends_on_its_process_is_found_out_by_its_twins() {
    let output = Command::new(env!("CARGO_BIN_EXE_vatic-verification"))
        .args(["simulate", "--seeds", "1..11", "--broken", "OfItsProcess"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("seed 10: repeats: byte "), "{stderr}");
    assert!(!stderr.contains("seed 9: "), "only twins can tell: {stderr}");
}

#[test]
fn broken_run_exits_with_five_and_says_how_to_repeat_it() {
    let arguments = ["simulate", "--seeds", "1..20", "--broken", "LeakyTransfer"];
    let output = Command::new(env!("CARGO_BIN_EXE_vatic-verification"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("money: "), "{stderr}");
    assert!(stderr.contains("simulate --seed "), "{stderr}");
    assert!(stderr.contains("--broken LeakyTransfer"), "{stderr}");
}

#[test]
fn tame_batch_is_judged_from_its_size_on_and_with_all_misfortune_alone() {
    let options = Options::default();
    let batch = |seeds| Batch { seeds, ..Batch::default() };
    let [short, full] = [399, 400].map(batch);
    assert!(full.is_judged(&options) && !short.is_judged(&options));
    let calm = Options { families: [Family::Clocks].into(), ..options };
    assert!(!full.is_judged(&calm));
    let found = full.shortcomings(Level::Assumed);
    let kinds = Fault::of(Level::Assumed).count() + Probe::of(Level::Assumed).count();
    assert_eq!(found.len(), kinds + 1, "each fault, each probe, and the commits: {found:?}");
}

#[test]
fn batch_in_which_too_little_happens_exits_with_five_and_says_what() {
    let tame = |output| {
        Command::new(env!("CARGO_BIN_EXE_vatic-verification"))
            .args(["simulate", "--seeds", "1..801", "--seconds", "0.001", "--twins", "0"])
            .args(["--output", output])
            .output()
            .expect("the binary runs")
    };
    let json = tame("json");
    assert_eq!(json.status.code(), Some(5));
    let said: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!(said["violations"], serde_json::json!([]), "nothing else is wrong");
    let shortcomings = said["shortcomings"].as_array().expect("a list");
    assert!(shortcomings.contains(&"clock_jump occurred 0 times".into()), "{shortcomings:?}");
    let junit = tame("junit");
    assert_eq!(junit.status.code(), Some(5));
    let text = String::from_utf8_lossy(&junit.stdout);
    assert!(text.contains("tests=\"801\" failures=\"1\""), "{text}");
    assert!(text.contains("message=\"clock_jump occurred 0 times\""), "{text}");
}

fn report(seeds: &str) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_vatic-verification"))
        .args(["simulate", "--seeds", seeds, "--output", "json"])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    serde_json::from_str(stdout.lines().last().expect("a line")).expect("the last line is JSON")
}
