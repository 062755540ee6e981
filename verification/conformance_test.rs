//! Playing a recorded run again shows a difference where there is one: the runs here are those of
//! the whole core, and what plays them again lacks a rule. That there is none otherwise is seen on
//! the batches of `simulation_test.rs` and `deployed_test.rs`.

use std::{fs, ops::Range, path::Path, process::Command};
use vatic_core::{
    codec, command,
    diary::Page,
    group::Group,
    id::{GroupId, Timestamp},
    memory::MemoryState,
    rules::{Mutant, Rules},
};
use vatic_verification::{Options, conform_all};

const SEEDS: Range<u64> = 1..31;

fn differs_without(rule: Mutant) {
    let (_, conformance) = conform_all(SEEDS, &Options::default(), Rules::without(rule), 1);
    assert!(!conformance.differences.is_empty(), "{rule:?} makes no difference");
}

#[test]
fn group_that_lacks_a_rule_answers_differently() {
    differs_without(Mutant::NoReadLocks);
    differs_without(Mutant::ForgetWithoutWatermark);
}

#[test]
fn coordinator_that_lacks_a_rule_acts_differently() {
    differs_without(Mutant::RollBackWithoutNo);
}

#[test]
fn read_that_lacks_a_rule_acts_differently() {
    differs_without(Mutant::SinglePassRead);
    differs_without(Mutant::ReadSkipsUndecided);
}

#[test]
fn queue_that_lacks_a_rule_begins_other_tickets() {
    differs_without(Mutant::TicketNotWokenUp);
}

/// So many transactions are followed through their groups, and no fewer.
const PROJECTIONS_MIN: u64 = 5_000;

#[test]
fn every_transaction_goes_as_one_does_in_the_models() {
    let options = Options::default();
    let (_, conformance) = conform_all(1..101, &options, Rules::default(), 2);
    let found = conformance.projections;
    println!("{found:?}");
    assert_eq!(found.strange, Vec::<String>::new());
    assert!(found.checked >= PROJECTIONS_MIN, "{}", found.checked);
    assert!(found.wide > 0, "none of more groups than the models have");
    assert!(found.twins > 0, "none that shares its id");
}

/// The run itself is broken here, and what plays it again is broken alike: nothing differs, but
/// some transaction goes as none does in a model.
#[test]
fn transaction_that_goes_as_none_in_the_models_is_named() {
    let rules = [
        Mutant::CommitsBeforeLastVote,
        Mutant::ForceTakesBackYes,
        Mutant::RollBackWithoutNo,
        Mutant::ForgetUnsettled,
    ];
    for rule in rules {
        let rules = Rules::without(rule);
        let options = Options { rules, ..Options::default() };
        let (_, conformance) = conform_all(SEEDS, &options, rules, 2);
        let found = conformance.projections.strange;
        println!("{rule:?}: {} moves, such as {:?}", found.len(), found.first());
        assert!(!found.is_empty(), "{rule:?} makes no difference");
    }
}

/// What a node would write down of a group whose clock is raised a few times.
fn diary() -> Vec<u8> {
    let (id, mut state) = (GroupId(1), MemoryState::default());
    let mut group = Group::open(id, &state, Rules::default());
    let mut diary = Page::opened(id, []).to_bytes();
    for index in 1..=3 {
        let command = codec::encode(&command::Command::Advance { to: Timestamp(index * 10) });
        let replies = group.apply_entry(&mut state, index, [command.as_slice()]);
        let replies: Vec<Vec<u8>> =
            replies.expect("no contradiction").iter().map(codec::encode).collect();
        diary.extend(Page::entry(index, &[command], group.chain(), Some(&replies)).to_bytes());
    }
    diary
}

fn conform(folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vatic-verification"))
        .args(["conform", "--output", "json", "--recorded"])
        .arg(folder)
        .output()
        .expect("the binary runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(String::from_utf8);
    (output.status.code(), stdout.expect("UTF-8") + &stderr.expect("UTF-8"))
}

#[test]
fn diaries_of_a_node_are_played_again_and_an_altered_one_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_ne!(conform(folder.path()).0, Some(0), "an empty folder shows nothing");
    let (sound, altered) =
        (folder.path().join("group-1-1.diary"), folder.path().join("group-1-2.diary"));
    let mut diary = diary();
    fs::write(sound, &diary).expect("it is written");
    let (code, told) = conform(folder.path());
    assert!(code == Some(0) && told.contains("\"entries\":3"), "{told}");
    *diary.last_mut().expect("it is not empty") ^= 1;
    fs::write(altered, &diary).expect("it is written");
    let (code, told) = conform(folder.path());
    assert!(code == Some(5) && told.contains("\"differences\":1"), "{told}");
    assert!(told.contains("group-1-2.diary: page 4 at byte "), "{told}");
}
