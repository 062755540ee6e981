//! Features: each rises by what it is named after, and memory stays within its limits.

use super::{
    contention::{Contention, Landing},
    features::{Feature, Features},
    fixed::{self, ONE},
    limits::Limits,
    mutation::{Mutation, Touch},
};
use crate::{
    delta::{Delta, Expect, Op},
    id::{GroupId, Tid, Timestamp},
    key::Key,
};
use alloc::{string::ToString, vec::Vec};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;
const WROTE: Landing = Landing { conflict: Some(false), blamed: None, wrote: true };
const FAILED: Landing = Landing { conflict: Some(true), blamed: None, wrote: false };

fn tid(nonce: u64) -> Tid {
    Tid { mint: Timestamp(nonce), home: GroupId(1), nonce }
}

fn of(user: u64, begun_us: u64, records: &[&str]) -> Mutation {
    let area = |record: &str| record.split('/').next().unwrap_or_default().to_string();
    let touches = records.iter().map(|record| Touch::of_names(record, &area(record), record));
    Mutation::new(user, begun_us, touches.collect(), &Limits::production())
}

fn at(features: &Features, feature: Feature) -> i32 {
    features.dense[feature as usize]
}

/// One that wrote `record` in one second, landed at `now_us`.
fn land(contention: &mut Contention, user: u64, record: &str, how: Landing, now_us: u64) {
    let id = tid(now_us);
    contention.arrive(id, of(user, now_us - SECOND, &[record]));
    contention.land(id, how, now_us);
}

#[test]
fn written_record_is_hot_and_its_area_warm() {
    let mut contention = Contention::new(Limits::production());
    for k in 1..=8 {
        land(&mut contention, 1, "a/x", WROTE, k * SECOND);
    }
    let now = 8 * SECOND;
    let hot = contention.features(&of(2, now, &["a/x"]), now);
    let warm = contention.features(&of(2, now, &["a/y"]), now);
    let cold = contention.features(&of(2, now, &["b/z"]), now);
    assert!(at(&hot, Feature::RecordHeatMax) > ONE);
    assert_eq!(at(&warm, Feature::RecordHeatMax), 0);
    assert_eq!(at(&warm, Feature::AreaHeatMax), at(&hot, Feature::AreaHeatMax));
    assert_eq!(at(&cold, Feature::AreaHeatMax), 0);
    assert!(at(&hot, Feature::Recency) < at(&cold, Feature::Recency));
    assert_eq!(contention.typical_duration_us(), Some(SECOND));
}

#[test]
fn rolled_back_writes_heat_nothing_and_count_as_conflicts_of_their_user() {
    let mut contention = Contention::new(Limits::production());
    for k in 1..=20 {
        land(&mut contention, 1, "a/x", FAILED, 2 * k * SECOND);
        land(&mut contention, 2, "b/y", WROTE, (2 * k + 1) * SECOND);
    }
    let now = 50 * SECOND;
    let unlucky = contention.features(&of(1, now, &["a/x"]), now);
    let lucky = contention.features(&of(2, now, &["b/y"]), now);
    let unknown = contention.features(&of(3, now, &["c/z"]), now);
    assert_eq!(at(&unlucky, Feature::RecordHeatMax), 0);
    for rate in [Feature::UserRate, Feature::AreaRate, Feature::FieldRate, Feature::UserAreaRate] {
        assert!(at(&unlucky, rate) > ONE, "{rate:?}");
        assert!(at(&lucky, rate) < -ONE, "{rate:?}");
        assert_eq!(at(&unknown, rate), 0, "{rate:?}");
    }
}

#[test]
fn conflict_with_a_known_record_blames_its_area_alone() {
    let mut contention = Contention::new(Limits::production());
    let mutation = of(1, 0, &["a/x", "b/y"]);
    let blamed = Some(fixed::name_id(b"a/x"));
    contention.arrive(tid(1), mutation);
    contention.land(tid(1), Landing { conflict: Some(true), blamed, wrote: false }, SECOND);
    let rate = |record| at(&contention.features(&of(2, 0, &[record]), 0), Feature::AreaRate);
    assert!(rate("a/other") > rate("b/other"));
}

#[test]
fn rivals_in_flight_count_and_oneself_does_not() {
    let mut contention = Contention::new(Limits::production());
    contention.arrive(tid(1), of(1, 0, &["a/x", "a/y"]));
    let alone = contention.features_in_flight(tid(1), 0).unwrap();
    contention.arrive(tid(2), of(2, 0, &["a/x", "b/z"]));
    contention.stage(tid(2));
    let beset = contention.features_in_flight(tid(1), 0).unwrap();
    for feature in [Feature::WritersMax, Feature::WritersSum, Feature::StagedSum] {
        assert_eq!((at(&alone, feature), at(&beset, feature)), (0, ONE), "{feature:?}");
    }
    assert_eq!(at(&beset, Feature::AreaWritersMax), ONE);
    assert_eq!(at(&beset, Feature::InFlight), ONE);
    contention.land(tid(2), Landing { conflict: None, blamed: None, wrote: false }, 5);
    assert_eq!(contention.features_in_flight(tid(1), 0).unwrap(), alone);
}

#[test]
fn flight_whose_end_nobody_told_is_forgotten_by_its_age() {
    let mut contention = Contention::new(Limits::production());
    for (nonce, mint) in [(1, 10), (2, 20)] {
        let tid = Tid { mint: Timestamp(mint), ..tid(nonce) };
        contention.arrive(tid, of(1, mint, &["a"]));
    }
    contention.forget_before(Timestamp(20));
    assert_eq!(contention.in_flight(), 1);
    contention.forget_before(Timestamp(21));
    assert_eq!(contention.in_flight(), 0);
    assert_eq!(contention.writers(Touch::of_names("a", "a", "f").record), 0);
}

#[test]
fn record_written_after_the_snapshot_shows_and_one_written_before_does_not() {
    let mut contention = Contention::new(Limits::production());
    land(&mut contention, 1, "a/x", WROTE, 5 * SECOND);
    let overwritten = |begun_us| {
        let features = contention.features(&of(2, begun_us, &["a/x", "a/y"]), 9 * SECOND);
        at(&features, Feature::Overwritten)
    };
    assert_eq!((overwritten(4 * SECOND), overwritten(5 * SECOND)), (ONE, 0));
}

#[test]
fn deltas_that_commute_and_those_that_only_read_are_told_apart() {
    let key = Key::new("account", "a", "").unwrap();
    let touch = |op| Touch::of_delta(&Delta { key: key.clone(), op }, 10);
    let add = touch(Op::Add { field: "n".into(), by: 1 });
    let delete = touch(Op::RemoveField("m".into()));
    let expect = touch(Op::Expect(Expect::Present));
    assert!(add.commutes && add.writes && delete.commutes);
    assert!(!expect.writes);
    assert_eq!((add.record, add.area), (expect.record, expect.area));
    assert_ne!(add.field, delete.field);
    let put = touch(Op::Put(Default::default()));
    let mutation = Mutation::new(1, 0, [put].into(), &Limits::production());
    let features = Contention::new(Limits::production()).features(&mutation, 0);
    assert_eq!(at(&features, Feature::Commuting), 0);
}

#[test]
fn hour_and_weekday_go_round() {
    let contention = Contention::new(Limits::production());
    let features = |us| contention.features(&of(1, us, &["a/x"]), us);
    // Noon of Monday, the fifth of January 1970.
    let noon = (4 * 24 + 12) * 3_600 * SECOND;
    assert_eq!(at(&features(noon), Feature::HourCosine), -ONE);
    assert_eq!(at(&features(noon), Feature::HourSine), 0);
    let week = 7 * 24 * 3_600 * SECOND;
    let same = |us: u64| features(us).dense[Feature::HourSine as usize..].to_vec();
    assert_eq!(same(noon), same(noon + week));
    assert_ne!(same(noon), same(noon + week / 7));
}

proptest! {
    /// Tiny limits, hostile ids and times: nothing overflows, and the same calls say the same.
    #[test]
    fn any_course_of_events_stays_in_bounds_and_repeats(
        steps in prop::collection::vec(
            (0u8..4, 0u64..9, any::<u64>(), prop::collection::vec(any::<u64>(), 0..7)), 0..60),
    ) {
        let run = || {
            let mut contention = Contention::new(Limits::simulation());
            let mut seen = Vec::new();
            for (what, nonce, us, ids) in &steps {
                let touch = |id: &u64| Touch {
                    record: id % 5, area: id % 3, field: *id, writes: id.is_multiple_of(2),
                    commutes: id.is_multiple_of(7), bytes: *id,
                };
                let touches = ids.iter().map(touch).collect();
                let mutation = Mutation::new(nonce % 3, us / 2, touches, contention.limits());
                match what {
                    0 => contention.arrive(tid(*nonce), mutation),
                    1 => contention.stage(tid(*nonce)),
                    2 if us.is_multiple_of(2) => contention.land(tid(*nonce), WROTE, *us),
                    2 => contention.land(tid(*nonce), FAILED, *us),
                    _ => seen.push(contention.features(&mutation, *us)),
                }
                seen.extend(contention.features_in_flight(tid(*nonce), *us));
                assert!(contention.in_flight() <= contention.limits().in_flight_max);
            }
            seen
        };
        prop_assert_eq!(run(), run());
    }
}
