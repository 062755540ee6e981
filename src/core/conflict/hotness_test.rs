//! Decay, the clock that it goes by, and what is in flight: counts are never too low.

use super::{
    fixed::ONE,
    flight::{InFlight, Writers},
    hotness::Hotness,
    limits::Limits,
    mutation::{Mutation, Touch},
    tempo::Tempo,
};
use crate::id::{GroupId, Tid, Timestamp};
use alloc::{format, vec, vec::Vec};
use proptest::prelude::*;

const MEDIAN: u64 = ONE as u64;

#[test]
fn count_of_a_write_halves_at_each_half_life() {
    let mut hotness = Hotness::new(64);
    for _ in 0..8 {
        hotness.write(1, 0, 5);
    }
    assert_eq!(hotness.heat(1, 0).counts, [8 * MEDIAN; 3]);
    let later = hotness.heat(1, 128 * MEDIAN).counts;
    assert_eq!(later[0], 0, "64 half-lives leave nothing");
    assert!(later[1].abs_diff((8 * MEDIAN) >> 8) <= 16, "8 half-lives: {later:?}");
    assert!(later[2].abs_diff(4 * MEDIAN) <= 16, "one half-life: {later:?}");
    assert_eq!(hotness.heat(1, 128 * MEDIAN).last_us, 5);
}

#[test]
fn id_that_was_never_written_is_cold_in_a_sketch_with_room() {
    let mut hotness = Hotness::new(1 << 12);
    (0..100).for_each(|id| hotness.write(id, 0, 1));
    let cold = (1_000..2_000).filter(|id| hotness.heat(*id, 0).counts == [0; 3]);
    assert!(cold.count() > 995);
}

#[test]
fn estimate_that_moves_leaves_counts_decayed_as_they_were() {
    let mut tempo = Tempo::new(1);
    let mut hotness = Hotness::new(64);
    assert_eq!(tempo.clock(u64::MAX), 0, "without a duration the clock stands");
    tempo.observe(100, 1_000);
    hotness.write(1, tempo.clock(1_000), 1_000);
    let before = hotness.heat(1, tempo.clock(1_200));
    // From now on transactions take a thousand times as long: nothing that was decayed comes back.
    tempo.observe(100_000, 1_200);
    assert_eq!(hotness.heat(1, tempo.clock(1_200)), before);
    let after = hotness.heat(1, tempo.clock(201_200)).counts;
    assert!(after[0].abs_diff(before.counts[0] / 2) <= 16, "{after:?} of {before:?}");
}

#[test]
fn median_follows_the_durations_of_late() {
    let mut tempo = Tempo::new(5);
    assert_eq!(tempo.median_us(), None);
    [7, 9, 8].into_iter().for_each(|us| tempo.observe(us, 0));
    assert_eq!(tempo.median_us(), Some(8));
    [50, 51, 52, 53].into_iter().for_each(|us| tempo.observe(us, 0));
    assert_eq!(tempo.median_us(), Some(51));
    tempo.observe(0, 0);
    assert!(tempo.in_medians(51) > 0, "an instant counts as a microsecond");
}

proptest! {
    /// Of what the sketch is told, against an exact count that is decayed at each step alike.
    #[test]
    fn sketch_is_never_below_what_was_written(
        writes in prop::collection::vec((0u64..40, 0u64..(4 * MEDIAN)), 1..200),
    ) {
        let mut hotness = Hotness::new(16);
        let (mut clock, mut written) = (0, Vec::new());
        for (id, passed) in writes {
            clock += passed;
            hotness.write(id, clock, clock);
            written.push((id, clock));
        }
        for id in 0..40 {
            let since = |at: u64| (clock - at) / MEDIAN;
            // Each write counts at least 2^-(medians/128 + 1) at the long half-life.
            let least = written.iter().filter(|(of, _)| *of == id);
            let least: u64 = least.map(|(_, at)| MEDIAN >> (since(*at) / 128 + 1)).sum();
            let heat = hotness.heat(id, clock);
            prop_assert!(heat.counts[2] >= least, "{id}: {heat:?}, at least {least}");
            prop_assert!(heat.counts[0] <= heat.counts[1] && heat.counts[1] <= heat.counts[2]);
        }
    }

    /// Whatever comes and goes in whatever order, forgotten ones included.
    #[test]
    fn writers_in_flight_are_those_of_the_kept_transactions(
        steps in prop::collection::vec((0u64..8, 0u8..3, 0u64..6), 0..100),
    ) {
        let limits = Limits::simulation();
        let mut flights = InFlight::default();
        for (nonce, what, record) in steps {
            match what {
                0 => flights.arrive(tid(nonce), writing(&[record]), limits.in_flight_max),
                1 => flights.stage(tid(nonce)),
                _ => drop(flights.leave(tid(nonce))),
            }
            prop_assert!(flights.len() <= limits.in_flight_max);
            let kept = || (0..8).filter_map(|nonce| flights.flight(tid(nonce)));
            for record in 0..6 {
                let on = || kept().filter(|f| f.mutation.touches[0].record == record);
                let all = on().count() as u32;
                let staged = on().filter(|flight| flight.staged).count() as u32;
                prop_assert_eq!(flights.on_record(record), Writers { all, staged });
            }
        }
    }
}

#[test]
fn oldest_in_flight_is_forgotten_where_there_is_no_room() {
    let mut flights = InFlight::default();
    for nonce in 0..3 {
        flights.arrive(tid(nonce), writing(&[nonce]), 2);
    }
    assert_eq!(flights.len(), 2);
    assert!(flights.flight(tid(0)).is_none());
    assert_eq!(flights.on_record(0), Writers::default());
    assert!(flights.leave(tid(0)).is_none());
}

fn tid(nonce: u64) -> Tid {
    Tid { mint: Timestamp(nonce), home: GroupId(1), nonce }
}

fn writing(records: &[u64]) -> Mutation {
    let touch = |record: &u64| Touch {
        record: *record,
        area: 1,
        field: 1,
        writes: true,
        commutes: false,
        bytes: 1,
    };
    Mutation::new(0, 0, records.iter().map(touch).collect(), &Limits::simulation())
}

#[test]
fn touches_of_one_record_are_merged_and_cut_to_the_limit() {
    let mut touches = vec![];
    for record in 0..10 {
        let touch = Touch::of_names(&format!("r{record}"), "a", "f");
        touches.push(Touch { commutes: true, ..touch });
        touches.push(Touch { writes: false, ..touch });
    }
    let mutation = Mutation::new(0, 0, touches, &Limits::simulation());
    assert_eq!((mutation.records, mutation.touches.len(), mutation.commuting), (10, 4, 0));
    assert!(mutation.touches.iter().all(|touch| touch.writes));
    assert_eq!(mutation.areas.len(), 1);
}
