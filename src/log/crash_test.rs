//! Crashes at every write and sync, against the reference model of the drill; and scripts that
//! proptest makes and shrinks.

use proptest::prelude::*;

use crate::drill::{Command, World};
use crate::{Drill, Limits, Summary};

fn drill(drill: &Drill, seeds: std::ops::Range<u64>) -> Summary {
    let mut summary = Summary::default();
    seeds.for_each(|seed| drill.run(seed, &mut summary));
    println!("{summary:?}");
    summary
}

#[test]
fn crash_at_every_operation_loses_nothing_acknowledged_and_damage_is_named() {
    let found = drill(&Drill::short(), 0..4);
    assert_eq!(found.violations, 0, "{:#?}", found.examples);
    assert!(found.operations > 500, "the scripts are too short to mean anything");
    assert!(found.segments > 4 * 5, "segments were hardly recycled");
    assert_eq!(found.damages_like_a_tear, 0, "the scripts end with a clean stop");
    assert!(found.damages_refused > 150, "damage was hardly ever met");
}

#[test]
fn drill_on_a_disk_whose_sync_does_nothing_finds_losses() {
    let lying = Drill { sync_is_stubbed: true, damages: 0, ..Drill::short() };
    let found = drill(&lying, 0..1);
    assert!(found.violations * 4 > found.crashes / 2, "only {} found", found.violations);
}

/// Mostly appends and steps, over few groups, so that segments roll and are recycled.
fn command() -> impl Strategy<Value = Command> {
    let group = || 0..4_u32;
    prop_oneof![
        8 => (group(), 1..6_u64, 0..200_usize)
            .prop_map(|(group, count, bytes)| Command::Append { group, count, bytes }),
        2 => group().prop_map(|group| Command::Vote { group }),
        2 => group().prop_map(|group| Command::Committed { group }),
        2 => (group(), 0..5_u64).prop_map(|(group, back)| Command::Truncate { group, back }),
        3 => (group(), 0..6_u64).prop_map(|(group, keep)| Command::Purge { group, keep }),
        1 => (group(), 0..4_u64).prop_map(|(group, ahead)| Command::PurgeBeyond { group, ahead }),
        1 => group().prop_map(|group| Command::Remove { group }),
        8 => (1..4_u8).prop_map(|times| Command::Step { times }),
        1 => Just(Command::Close),
        1 => Just(Command::DiskFull),
        1 => Just(Command::DiskRoom),
    ]
}

fn script(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Command>> {
    proptest::collection::vec(command(), length)
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
        let mut world = World::new(Limits::simulation(), true).unwrap();
        world.disk.cut_power_at(cut);
        let outcome = world
            .run(&script)
            .and_then(|_| world.crash(seed))
            .and_then(|()| world.run(&script[..script.len() / 2]))
            .and_then(|_| world.crash(seed.wrapping_add(1)))
            .and_then(|()| world.close());
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }

    #[test]
    fn crash_after_crash_keeps_recovering(
        scripts in proptest::collection::vec((script(1..40), 1..60_u64, any::<u64>()), 1..12),
    ) {
        let mut world = World::new(Limits::simulation(), true).unwrap();
        for (script, cut, seed) in scripts {
            world.disk.cut_power_at(world.disk.operations() + cut);
            let outcome = world.run(&script).and_then(|_| world.crash(seed));
            prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
        }
    }
}
