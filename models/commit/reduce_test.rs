//! The states that stand for others are those that the reduced model reaches, no more and no fewer,
//! and it catches the mutants that the whole one does.

use crate::{
    check::{self, Effort, check},
    commit::{
        model::Spine,
        plan::{Plan, Scenario},
        property::{ACKNOWLEDGED, FINAL, INVARIANTS},
        reduce::reduce,
        scenarios::{self, transfer},
        world::World,
    },
    shared::fingerprint,
};
use stateright::Model;
use std::collections::{HashSet, VecDeque};
use vatic_core::rules::{Mutant, Rules};

fn recovery() -> Scenario {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == "recovery");
    Scenario { witnesses: Vec::new(), ..scenario.expect("it is there") }
}

/// Another attempt, and a recoverer of whatever it meets: a part of `three-attempts`.
fn two_attempts() -> Scenario {
    Scenario {
        name: "two-attempts",
        plans: vec![transfer(1), Plan { retries: Some(0), ..transfer(2) }],
        recoverers: vec![0],
        recovers_any: true,
        gives_up: false,
        stops: vec![0],
        ..recovery()
    }
}

fn reached(spine: &Spine, mut visit: impl FnMut(&World)) {
    let mut met: VecDeque<World> = spine.init_states().into();
    let mut known: HashSet<u64> = met.iter().map(fingerprint).collect();
    let mut steps = Vec::new();
    while let Some(world) = met.pop_front() {
        visit(&world);
        spine.actions(&world, &mut steps);
        let next = steps.drain(..).filter_map(|step| spine.next_state(&world, step));
        met.extend(next.filter(|next| known.insert(fingerprint(next))));
    }
}

fn stand_for_all(scenario: Scenario) {
    let name = scenario.name;
    let whole = Spine::new(Scenario { reduced: false, ..scenario.clone() }, Rules::default());
    let reduced = Spine::new(Scenario { reduced: true, ..scenario }, Rules::default());
    let (mut standing, mut all) = (HashSet::new(), 0);
    reached(&whole, |world| {
        let mut short = world.clone();
        reduce(&mut short);
        all += 1;
        standing.insert(fingerprint(&short));
    });
    let mut reaches = HashSet::new();
    reached(&reduced, |world| {
        reaches.insert(fingerprint(world));
    });
    println!("{name}: {all} states, {} stand for them", reaches.len());
    let (lacks, invents) = (standing.difference(&reaches), reaches.difference(&standing));
    assert_eq!((lacks.count(), invents.count()), (0, 0), "{name}");
    assert!(reaches.len() < all, "{name}");
}

#[test]
fn states_of_a_recovery_have_those_that_stand_for_them() {
    stand_for_all(recovery());
}

#[test]
fn states_of_two_attempts_have_those_that_stand_for_them() {
    stand_for_all(two_attempts());
}

#[test]
fn reduced_model_catches_what_the_whole_one_does() {
    check::silence_caught_panics();
    let catches = [
        (Mutant::RollBackWithoutNo, FINAL),
        (Mutant::ForceTakesBackYes, ACKNOWLEDGED),
        (Mutant::CommitsBeforeLastVote, ACKNOWLEDGED),
        (Mutant::RollbackKeepsLocks, INVARIANTS),
    ];
    for (mutant, property) in catches {
        let scenario = Scenario { reduced: true, ..recovery() };
        let model = Spine::new(scenario, Rules::without(mutant));
        let report = check(model, Effort::exhaustive(1), Some(property));
        assert!(report.violated().contains(&property), "{mutant:?}: {:?}", report.violated());
    }
}
