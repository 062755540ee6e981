//! Playing a recorded run again shows a difference where there is one: the runs here are those of
//! the whole core, and what plays them again lacks a rule. That there is none otherwise is seen on
//! the batches of `simulation_test.rs` and `deployed_test.rs`.

use std::ops::Range;
use vatic_core::rules::{Mutant, Rules};
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
