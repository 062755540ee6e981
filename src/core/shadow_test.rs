//! What is staged has no record in common, and ends.

use crate::{
    command::Why,
    delta::Rejection,
    id::Tid,
    key::Key,
    shadow::{ShadowLimits, Shadows, waits},
};
use alloc::{collections::BTreeSet, format, string::String};
use proptest::prelude::*;

const LIMITS: ShadowLimits = ShadowLimits { staged_max: 3, lease_us: 100 };

fn key(number: u8) -> Key {
    Key::new("c", &format!("p{number}"), "").unwrap()
}

fn keys(numbers: &[u8]) -> BTreeSet<Key> {
    numbers.iter().copied().map(key).collect()
}

#[test]
fn shadow_waits_for_those_with_a_record_in_common_and_no_others() {
    let mut shadows = Shadows::new(LIMITS);
    assert!(shadows.stage(1, keys(&[1, 2]), 0));
    assert!(!shadows.stage(2, keys(&[2, 3]), 0));
    assert!(shadows.stage(3, keys(&[3]), 0), "the second is nowhere");
    assert!(shadows.stage(1, keys(&[2]), 1), "it is its own");
    assert!(shadows.stage(4, keys(&[1]), 1), "the first has moved");
    shadows.leave(1);
    shadows.leave(3);
    assert!(shadows.stage(2, keys(&[2, 3]), 2));
}

#[test]
fn stage_ends_with_its_lease() {
    let mut shadows = Shadows::new(LIMITS);
    assert!(shadows.stage(1, keys(&[1, 2]), 0));
    assert!(!shadows.stage(2, keys(&[1]), 99));
    assert!(shadows.stage(2, keys(&[1]), 100));
    shadows.leave(1);
    assert!(!shadows.stage(3, keys(&[1]), 101), "who is past its lease frees nothing of others");
}

#[test]
fn no_more_are_staged_than_may_be() {
    let mut shadows = Shadows::new(LIMITS);
    for id in 0..3 {
        assert!(shadows.stage(id, keys(&[id as u8]), 0));
    }
    assert!(!shadows.stage(9, keys(&[9]), 99));
    assert!(shadows.stage(9, keys(&[9]), 100), "the others are gone");
    assert_eq!(shadows.count(), 1);
}

#[test]
fn who_is_refused_whatever_others_do_does_not_wait() {
    let locked = Why::Locked { key: key(1), by: Tid::from_bytes(&[0; 20]).unwrap() };
    assert!(waits(&locked));
    let rejection = Rejection::Expectation { what: String::new() };
    assert!(!waits(&Why::Rejected { key: key(1), seq: 1, rejection }));
}

proptest! {
    #[test]
    fn no_two_that_are_staged_have_a_record_in_common(
        steps in prop::collection::vec(
            (0u64..6, prop::collection::vec(0u8..5, 0..4), 0u64..60),
            0..60,
        )
    ) {
        let mut shadows = Shadows::new(LIMITS);
        let mut now_us = 0;
        // Said once more: who has which record until when.
        let mut known: alloc::vec::Vec<(u64, BTreeSet<Key>, u64)> = alloc::vec::Vec::new();
        for (id, numbers, later) in steps {
            now_us += later;
            let keys = keys(&numbers);
            known.retain(|(_, _, until)| *until > now_us);
            let free = known.iter().all(|(own, theirs, _)| *own == id || theirs.is_disjoint(&keys));
            let staged = shadows.stage(id, keys.clone(), now_us);
            prop_assert!(!staged || free);
            let others = known.iter().filter(|(own, ..)| *own != id).count();
            prop_assert!(staged || !free || others >= LIMITS.staged_max);
            prop_assert!(shadows.count() <= LIMITS.staged_max);
            if staged {
                known.retain(|(own, ..)| *own != id);
                known.push((id, keys, now_us + LIMITS.lease_us));
            }
        }
    }
}
