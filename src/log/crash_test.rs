//! Crashes at every write and sync, against the reference model of the harness.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::Limits;
use crate::harness_test::{Command, World, script};

/// Runs a script with the power cut at one operation, crashes, and goes on after it.
fn run_with_cut(script: &[Command], cut: u64, seed: u64, lying: bool) -> Result<(), String> {
    let mut world = World::new(Limits::simulation());
    world.disk.stub_sync(lying);
    world.disk.cut_power_at(cut);
    world.run(script)?;
    world.crash(seed)?;
    world.run(&script[..script.len() / 2])?;
    world.crash(seed.wrapping_add(1))?;
    world.close().map(|_| ())
}

/// Operations of the disk that a script makes undisturbed.
fn operations(script: &[Command]) -> u64 {
    let mut world = World::new(Limits::simulation());
    assert!(world.run(script).unwrap());
    world.disk.operations()
}

/// A script from a seed.
fn fixed_script(seed: u8, length: usize) -> Vec<Command> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    script(length..length + 1).new_tree(&mut runner).unwrap().current()
}

#[test]
fn crash_at_every_operation_loses_nothing_acknowledged() {
    let (mut cuts, mut rounds) = (0, 0);
    for seed in 0..4 {
        let script = fixed_script(seed, 120);
        let count = operations(&script);
        for cut in 1..=count + 1 {
            for variant in 0..2 {
                let outcome = run_with_cut(&script, cut, cut * 31 + variant, false);
                assert_eq!(outcome, Ok(()), "script {seed}, cut {cut}, variant {variant}");
                rounds += 1;
            }
        }
        cuts += count;
    }
    assert!(cuts > 200, "the scripts are too short to mean anything: {cuts} operations");
    println!("{rounds} crashes at {cuts} operations");
}

#[test]
fn disk_that_lies_about_syncs_is_caught_by_the_checker() {
    let mut caught = 0;
    for seed in 0..6 {
        let script = fixed_script(seed, 120);
        for cut in 20..40 {
            caught += u32::from(run_with_cut(&script, cut, cut, true).is_err());
        }
    }
    assert!(caught > 50, "only {caught} of 120 lying disks were caught");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 96,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_script_cut_anywhere_recovers_a_state_since_the_acknowledged_one(
        script in script(1..200),
        cut in 1..400_u64,
        seed in any::<u64>(),
    ) {
        let outcome = run_with_cut(&script, cut, seed, false);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }

    #[test]
    fn crash_after_crash_keeps_recovering(
        scripts in proptest::collection::vec((script(1..40), 1..60_u64, any::<u64>()), 1..12),
    ) {
        let mut world = World::new(Limits::simulation());
        for (script, cut, seed) in scripts {
            world.disk.cut_power_at(world.disk.operations() + cut);
            let outcome = world.run(&script).and_then(|_| world.crash(seed));
            prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
        }
    }
}
