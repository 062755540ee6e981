//! The chain takes exactly what was sent: every gap, repeat, swap and changed byte is noticed.

use crate::{
    chain::{Segment, Transition, recompute, stitch},
    strategies_test::stream,
};
use alloc::vec::Vec;
use proptest::{prelude::*, sample::Index};

/// One way to alter a list; `false` where it came out the same.
fn alter<T: Clone + PartialEq>(list: &mut Vec<T>, kind: u8, at: Index, to: Index) -> bool {
    let before = list.clone();
    let (at, to) = (at.index(list.len()), to.index(list.len()));
    match kind {
        0 => drop(list.remove(at)),
        1 => list.insert(to, before[at].clone()),
        _ => list.swap(at, to),
    }
    *list != before
}

fn pairs(run: &[Transition]) -> impl Iterator<Item = (u64, &[u8])> {
    run.iter().map(|transition| (transition.seq, transition.delta.as_slice()))
}

proptest! {
    #[test]
    fn honest_segments_stitch_and_recompute(stream in stream()) {
        prop_assert_eq!(stitch(&stream.seal, &stream.segments), Ok(()));
        for segment in &stream.segments {
            prop_assert_eq!(recompute(segment, pairs(&stream.run(segment))), Ok(()));
        }
    }

    #[test]
    fn lost_repeated_or_moved_segments_do_not_stitch(
        mut stream in stream(), kind in 0u8..3, at in any::<Index>(), to in any::<Index>()
    ) {
        if alter(&mut stream.segments, kind, at, to) {
            prop_assert!(stitch(&stream.seal, &stream.segments).is_err());
        }
    }

    #[test]
    fn altered_segment_ends_do_not_stitch(
        mut stream in stream(), at in any::<Index>(),
        byte in 0usize..32, bit in 0u8..8, part in 0u8..4
    ) {
        let at = at.index(stream.segments.len());
        let segment: &mut Segment = &mut stream.segments[at];
        match part {
            0 => segment.before.0[byte] ^= 1 << bit,
            1 => segment.after.0[byte] ^= 1 << bit,
            2 => segment.first ^= 1 << (bit % 3),
            _ => segment.last ^= 1 << (bit % 3),
        }
        prop_assert!(stitch(&stream.seal, &stream.segments).is_err());
    }

    #[test]
    fn altered_seal_is_not_met(stream in stream(), byte in 0usize..32, bit in 0u8..8) {
        let mut head = stream.seal.clone();
        head.head.0[byte] ^= 1 << bit;
        prop_assert!(stitch(&head, &stream.segments).is_err());
        let mut seed = stream.seal.clone();
        seed.seed.0[byte] ^= 1 << bit;
        prop_assert!(stitch(&seed, &stream.segments).is_err());
        let mut count = stream.seal.clone();
        count.count ^= 1 << bit;
        prop_assert!(stitch(&count, &stream.segments).is_err());
    }

    #[test]
    fn lost_repeated_or_moved_transitions_are_noticed(
        stream in stream(), segment in any::<Index>(), kind in 0u8..3,
        at in any::<Index>(), to in any::<Index>()
    ) {
        let segment = segment.get(&stream.segments);
        let mut run = stream.run(segment);
        if alter(&mut run, kind, at, to) {
            prop_assert!(recompute(segment, pairs(&run)).is_err());
        }
    }

    #[test]
    fn contents_that_change_places_are_noticed(
        stream in stream(), segment in any::<Index>(), at in any::<Index>(), to in any::<Index>()
    ) {
        let segment = segment.get(&stream.segments);
        let mut run = stream.run(segment);
        let mut deltas: Vec<Vec<u8>> = run.iter().map(|held| held.delta.clone()).collect();
        if alter(&mut deltas, 2, at, to) {
            run.iter_mut().zip(deltas).for_each(|(held, delta)| held.delta = delta);
            prop_assert!(recompute(segment, pairs(&run)).is_err());
        }
    }

    #[test]
    fn changed_byte_is_noticed(
        stream in stream(), segment in any::<Index>(), at in any::<Index>(),
        byte in any::<Index>(), mask in 1u8..
    ) {
        let segment = segment.get(&stream.segments);
        let mut run: Vec<Transition> = stream.run(segment);
        let at = at.index(run.len());
        let delta = &mut run[at].delta;
        let place = byte.index(delta.len());
        delta[place] ^= mask;
        prop_assert!(recompute(segment, pairs(&run)).is_err());
    }
}
