//! The command as people run it: which misfortune they leave on, how long it goes on, and what it
//! makes of a seed that fails.

use std::{
    collections::BTreeSet,
    process::{Command, Output},
    time::{Duration, Instant},
};
use vatic_verification::{Broken, Family, Level, Options, arguments};

/// Planted in the load itself: it needs no misfortune, and little time.
const BROKEN: &str = "LeakyTransfer";

#[test]
fn misfortune_of_an_unknown_name_is_refused_with_the_names_that_there_are() {
    let output = simulate(&["--seed", "1", "--faults", "clocks,rain"]);
    assert_eq!(output.status.code(), Some(2), "a mistake of usage");
    let stderr = text(&output.stderr);
    assert!(stderr.contains("rain"), "{stderr}");
    for family in Family::ALL {
        assert!(stderr.contains(family.name()), "{}: {stderr}", family.name());
    }
    assert!(output.stdout.is_empty(), "nothing was run");
}

#[test]
fn runs_of_nothing_and_times_that_are_none_are_refused() {
    let refused = [
        &["--minutes", "0"][..],
        &["--minutes=-1"],
        &["--minutes", "NaN"],
        &["--minutes", "1e19"],
        &["--seconds", "inf"],
        &["--seed", "18446744073709551615"],
        &["--seed", "7", "--minutes", "1"],
    ];
    for options in refused {
        let output = simulate(options);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{options:?}: nothing was run");
    }
}

#[test]
fn mistakes_of_usage_are_refused_before_anything_is_run() {
    let refused: [(&[&str], &str); 23] = [
        (&["simulate", "--level", "1", "--seed", "1", "--broken", "AckBeforeSync"], "--level 2"),
        (&["simulate", "--seed", "1", "--faults", "none,clocks"], "goes with no other"),
        (&["mutants", "--only", "NoReadLocks", "--first", "18446744073709551615"], "--first"),
        (&["mutants", "--only", "NoReadLocks", "--threads", "100000"], "1024"),
        (&["simulate", "--seeds", "abc"], "--seeds"),
        (&["simulate", "--seeds", "7..7"], "names no seed"),
        (&["simulate", "--seeds", "1", "--broken", "nope"], "NoReadLocks"),
        (&["simulate", "--seeds", "1", "--output", "xml"], "junit"),
        (&["mutants", "--only", "nope"], "NoReadLocks"),
        (&["mutants", "--only", "NoReadLocks", "--threads", "0"], "--threads"),
        (&["mutants", "--only", "NoReadLocks", "--seeds", "0"], "--seeds"),
        (&["mutants", "--only", "NoReadLocks", "--output", "junit"], "table, json"),
        (&["mutants", "--only", "NoReadLocks", "--by", "loom"], "--by models or --by simulation"),
        (&["mutants", "--only", "PauseIgnored,LostVote", "--by", "models"], "--by simulation,"),
        (&["mutants", "--only", "OfItsProcess"], "--twins 1"),
        (&["conform", "--seeds", "abc"], "--seeds"),
        (&["conform", "--seeds", "1", "--threads", "0"], "--threads"),
        (&["conform", "--seeds", "1", "--without", "nope"], "nope"),
        (&["conform", "--seeds", "1", "--output", "junit"], "table, json"),
        (&["paths", "--models", "nope"], "recovery"),
        (&["paths", "--models", "recovery", "--threads", "0"], "--threads"),
        (&["paths", "--models", "recovery", "--states", "0"], "--states"),
        (&["receipts", "--count", "0"], "--count"),
    ];
    for (arguments, told) in refused {
        let output = vatic_verification(arguments.iter().copied());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}: nothing was run");
    }
}

#[test]
fn misfortune_that_was_not_asked_for_does_not_occur() {
    let wanted = [
        ("none", &[][..]),
        ("clocks", &["clock_jump"]),
        ("repeats", &["message_repeated", "message_very_late"]),
        ("network", &["message_lost"]),
        ("clocks,network", &["clock_jump", "message_lost"]),
    ];
    for (families, expected) in wanted {
        let output = simulate(&["--seeds", "1..21", "--faults", families, "--output", "json"]);
        assert!(output.status.success(), "{families}: {}", text(&output.stderr));
        let faults = json(&output)["faults"].clone();
        let counts = faults.as_object().expect("a count of each kind");
        let met = counts.iter().filter(|(_, count)| **count != 0);
        let met: BTreeSet<&str> = met.map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(met, expected.iter().copied().collect(), "--faults {families}");
    }
}

#[test]
fn run_that_is_given_time_goes_on_beyond_its_range_stops_and_reports() {
    let began = Instant::now();
    let limits = ["--minutes", "0.02", "--faults", "network", "--output", "json"];
    let output = simulate(&[&["--seeds", "7..8"][..], &limits].concat());
    let took = began.elapsed();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let seeds = json(&output)["seeds"].as_u64();
    assert!(seeds > Some(1), "further seeds after the one that was named: {seeds:?}");
    assert!(took >= Duration::from_millis(1_200), "{took:?}");
    // The last seed is finished first; on a busy machine that takes a while.
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn run_that_is_given_next_to_no_time_runs_a_seed_and_the_last_of_all_seeds_ends_it() {
    let hardly = ["--minutes", "0.0000001", "--faults", "network", "--output", "json"];
    let output = simulate(&[&["--seeds", "7..9"][..], &hardly].concat());
    assert_eq!(json(&output)["seeds"].as_u64(), Some(1));
    let last = ["--seeds", "18446744073709551613..18446744073709551615", "--minutes", "1"];
    let began = Instant::now();
    let output = simulate(&[&last[..], &["--faults", "network", "--output", "json"]].concat());
    assert_eq!(json(&output)["seeds"].as_u64(), Some(2));
    assert!(began.elapsed() < Duration::from_secs(60), "none was run again");
}

#[test]
fn seed_that_fails_shrinks_to_less_that_fails_as_well_when_it_is_run_again() {
    let found = simulate(&["--seeds", "1..20", "--broken", BROKEN]);
    assert_eq!(found.status.code(), Some(5));
    let found = replay(&found, "run it again: ");
    let output = vatic_verification(found.iter().map(String::as_str).chain(["--shrink"]));
    assert_eq!(output.status.code(), Some(5));
    let less = replay(&output, "with less: ");
    assert_eq!(option(&less, "--seed"), option(&found, "--seed"));
    assert_eq!(option(&less, "--broken"), Some(BROKEN));
    let seconds: f64 = option(&less, "--seconds").expect("a load").parse().expect("a number");
    let usual = Options::default().load_us as f64 / 1e6;
    assert!(0.0 < seconds && seconds < usual, "{seconds} of {usual} s");
    let families = option(&less, "--faults").expect("some were left out").split(',');
    assert!(families.count() < Family::ALL.len(), "{less:?}");
    let again = vatic_verification(less.iter().map(String::as_str));
    assert_eq!(again.status.code(), Some(5), "{less:?} does not fail");
    assert!(text(&again.stderr).contains("money: "), "{}", text(&again.stderr));
}

#[test]
fn what_is_broken_below_the_core_keeps_the_load_and_the_misfortune_that_were_chosen() {
    let broken = Broken::named("MarkWithoutState").expect("it is one");
    let deployed = Options::of(Level::Deployed);
    let chosen = Options { load_us: 5_000, families: [Family::Disks].into(), ..deployed.clone() };
    let options = broken.options(&chosen);
    assert_eq!((options.load_us, &options.families), (chosen.load_us, &chosen.families));
    let said = arguments(3, &options).join(" ");
    let all = "--seed 3 --level 2 --seconds 0.005 --faults disks --broken MarkWithoutState";
    assert_eq!(said, all, "and says so to whoever runs it again");
    let usual = broken.options(&Options::default());
    assert_eq!((usual.level, usual.load_us), (deployed.level, deployed.load_us));
}

/// The arguments of the command that a run says after these words.
fn replay(output: &Output, words: &str) -> Vec<String> {
    let stderr = text(&output.stderr);
    let said = stderr.lines().find_map(|line| line.strip_prefix(words));
    let said = said.unwrap_or_else(|| panic!("no {words:?} in {stderr}"));
    let (_, arguments) = said.split_once(" -- ").expect("a command of cargo");
    arguments.split(' ').map(str::to_owned).collect()
}

/// The value of an option.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut rest = arguments.iter().skip_while(|argument| *argument != name).skip(1);
    rest.next().map(String::as_str)
}

fn simulate(arguments: &[&str]) -> Output {
    vatic_verification(["simulate", "--twins", "0"].iter().chain(arguments).copied())
}

fn vatic_verification<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vatic-verification"));
    command.args(arguments).output().expect("the binary runs")
}

fn json(output: &Output) -> serde_json::Value {
    let stdout = text(&output.stdout);
    serde_json::from_str(stdout.lines().last().expect("a line")).expect("the last line is JSON")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
