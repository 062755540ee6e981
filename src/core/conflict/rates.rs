//! How often whom conflicted, and how long whom takes: smoothed, with bounded memory.
//!
//! A table of pairs of slots: an id owns one of its pair, and a newcomer takes the weaker one, at a
//! cost to the stronger, so that what no longer comes gives way in the end. An id that was pushed
//! out is like one that was never seen: its rate is the prior.

use super::fixed;
use alloc::{vec, vec::Vec};

/// One trial: tallies are in Q8.
const TRIAL: u32 = 1 << 8;
/// Trials after which a tally is halved: what was long ago counts less.
const TRIALS_MAX: u32 = 64 * TRIAL;
/// The same for the tally of everybody.
const OVERALL_MAX: u32 = 512 * TRIAL;
/// How many trials at the prior rate each id starts with.
const PRIOR_TRIALS: u64 = 4;

/// What is known of one id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    trials: u32,
    conflicts: u32,
    /// Mean log2 of its durations, Q16.
    log_duration: i32,
}

/// The tally of everybody and of each id.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    overall: Tally,
    /// log2 odds of everybody, Q16.
    overall_odds: i32,
    slots: Vec<[(u32, Tally); 2]>,
}

impl Rates {
    pub(super) fn new(slots: usize) -> Rates {
        assert!(slots.is_power_of_two(), "a table of {slots} slots");
        let slots = vec![Default::default(); slots];
        Rates { overall: Tally::default(), overall_odds: 0, slots }
    }

    /// One more outcome, of everybody.
    pub(super) fn note_overall(&mut self, conflict: bool, log_duration: i32) {
        self.overall.note(conflict, log_duration, OVERALL_MAX);
        let Tally { trials, conflicts, .. } = self.overall;
        let (part, whole) = (u64::from(conflicts + TRIAL), u64::from(trials + 2 * TRIAL));
        self.overall_odds = fixed::log2_odds(part, whole);
    }

    /// One more outcome of `id`.
    pub(super) fn note(&mut self, id: u64, conflict: bool, log_duration: i32) {
        let (place, tag) = self.place(id);
        let pair = &mut self.slots[place];
        let owned = pair.iter().position(|(owner, tally)| *owner == tag && tally.trials > 0);
        let way = owned.unwrap_or_else(|| {
            let weaker = usize::from(pair[1].1.trials < pair[0].1.trials);
            let stronger = &mut pair[1 - weaker].1;
            stronger.shrink(7, 8);
            pair[weaker] = (tag, Tally::default());
            weaker
        });
        pair[way].1.note(conflict, log_duration, TRIALS_MAX);
    }

    /// What is known of `id`; nothing is a tally of no trials.
    pub(super) fn tally(&self, id: u64) -> Tally {
        let (place, tag) = self.place(id);
        let found = self.slots[place].iter().find(|(owner, _)| *owner == tag);
        found.map_or(Tally::default(), |(_, tally)| *tally)
    }

    /// log2 odds of everybody, Q16.
    pub(super) fn overall_odds(&self) -> i32 {
        self.overall_odds
    }

    /// log2 odds of a tally against those of everybody, Q16: 0 for one that is not known.
    pub(super) fn odds_against_overall(&self, tally: Tally) -> i32 {
        if tally.trials == 0 {
            return 0;
        }
        let whole = u64::from(self.overall.trials + 2 * TRIAL);
        let rate = u64::from(self.overall.conflicts + TRIAL);
        // All terms times `whole`, so that nothing is divided.
        let part = u64::from(tally.conflicts) * whole + PRIOR_TRIALS * u64::from(TRIAL) * rate;
        let trials = (u64::from(tally.trials) + PRIOR_TRIALS * u64::from(TRIAL)) * whole;
        fixed::log2_odds(part, trials) - self.overall_odds
    }

    /// Mean log2 duration of a tally against that of everybody, Q16, shrunk as the rate is.
    pub(super) fn pace_against_overall(&self, tally: Tally) -> i32 {
        let difference = i64::from(tally.log_duration) - i64::from(self.overall.log_duration);
        let prior = PRIOR_TRIALS as i64 * i64::from(TRIAL);
        let trials = i64::from(tally.trials);
        (difference * trials / (trials + prior)) as i32
    }

    fn place(&self, id: u64) -> (usize, u32) {
        let hash = fixed::mix(id);
        (hash as usize & (self.slots.len() - 1), (hash >> 32) as u32)
    }
}

impl Tally {
    fn note(&mut self, conflict: bool, log_duration: i32, most: u32) {
        if self.trials >= most {
            self.shrink(1, 2);
        }
        self.trials += TRIAL;
        self.conflicts += if conflict { TRIAL } else { 0 };
        let step = i64::from(log_duration) - i64::from(self.log_duration);
        self.log_duration += (step * i64::from(TRIAL) / i64::from(self.trials)) as i32;
        debug_assert!(self.conflicts <= self.trials, "{self:?}");
    }

    fn shrink(&mut self, part: u32, whole: u32) {
        self.trials = self.trials / whole * part;
        self.conflicts = (self.conflicts / whole * part).min(self.trials);
    }
}
