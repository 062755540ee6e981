//! Which of the votes that wait at a group's leader goes into the log first.
//!
//! Of two votes in one log entry that want the same record the first one has it. Left to chance,
//! two transactions of several groups may each win where the other loses, and both are rolled
//! back; and whoever was rolled back often is no likelier to get through than who just came. So the
//! leaders of all participants put votes in one and the same order: by [`Urgency`], which whoever
//! coordinates the transaction sends along, then the older transaction first.
//!
//! It is a number, so that a queue of bytes can keep to it without knowing what it means.
//!
//! Invariant: it orders what waits, and decides nothing. Nothing starves by it as long as the queue
//! puts what an entry had no room for before all that came later.

use crate::{id::Tid, lane::Urgency};

/// A predicted probability is below 2^20 parts per million.
const SCORE_BITS: u32 = 20;
const MINT_BITS: u32 = 64;
const CLASS_BITS: u32 = 8;
const COUNT_BITS: u32 = 16;

/// The larger goes first. Below `u128::MAX`, which is for what is no vote.
pub fn of_vote(urgency: Urgency, tid: Tid) -> u128 {
    let Urgency { turns, rollbacks, class, score_ppm } = urgency;
    let parts = [
        (u128::from(turns.min(u32::from(u8::MAX))), CLASS_BITS),
        (u128::from(rollbacks.min(u32::from(u16::MAX))), COUNT_BITS),
        (u128::from(class), CLASS_BITS),
        (u128::from(score_ppm.min((1 << SCORE_BITS) - 1)), SCORE_BITS),
        (u128::from(u64::MAX - tid.mint.0), MINT_BITS),
    ];
    parts.into_iter().fold(0, |rank, (part, bits)| rank << bits | part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{GroupId, Timestamp};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn tid(mint: u64) -> Tid {
        Tid { mint: Timestamp(mint), home: GroupId(1), nonce: 0 }
    }

    fn urgency(turns: u32, rollbacks: u32, class: u8, score_ppm: u32) -> Urgency {
        Urgency { turns, rollbacks, class, score_ppm }
    }

    proptest! {
        /// The order of lanes, and then age.
        #[test]
        fn order_is_that_of_urgency_then_of_age(
            one in (0u32..4, 0u32..4, 0u8..4, 0u32..1_000_001, any::<u64>()),
            other in (0u32..4, 0u32..4, 0u8..4, 0u32..1_000_001, any::<u64>()),
        ) {
            let key = |(turns, rollbacks, class, score, mint): (u32, u32, u8, u32, u64)| {
                (urgency(turns, rollbacks, class, score), core::cmp::Reverse(mint))
            };
            let rank = |it| {
                let (urgency, core::cmp::Reverse(mint)) = key(it);
                of_vote(urgency, tid(mint))
            };
            prop_assert_eq!(key(one).cmp(&key(other)), rank(one).cmp(&rank(other)));
        }
    }

    #[test]
    fn counts_beyond_their_bits_are_the_most_there_is_and_no_more() {
        let most = urgency(u32::MAX, u32::MAX, u8::MAX, u32::MAX);
        assert!(of_vote(most, tid(0)) < u128::MAX);
        assert!(of_vote(urgency(0, u32::MAX, 0, 0), tid(9)) < of_vote(urgency(1, 0, 0, 0), tid(9)));
        assert!(of_vote(urgency(0, 0, 0, u32::MAX), tid(9)) < of_vote(urgency(0, 0, 1, 0), tid(9)));
    }

    #[test]
    fn who_was_rolled_back_more_often_goes_first_whatever_its_class() {
        let mut waiting = [(0, 9, 1), (3, 0, 5), (3, 1, 7), (3, 1, 6), (0, 9, 0)];
        waiting.sort_by_key(|&(rollbacks, class, mint)| {
            core::cmp::Reverse(of_vote(urgency(0, rollbacks, class, 0), tid(mint)))
        });
        let mints: Vec<u64> = waiting.iter().map(|(_, _, mint)| *mint).collect();
        assert_eq!(mints, [6, 7, 5, 0, 1]);
    }
}
