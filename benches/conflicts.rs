//! A leader's knowledge of conflicts after a while of load.

use vatic_core::conflict::{
    Advice, Ask, By, Claims, FEATURES, Features, Limits, Model, Term, Touch, Verdict, fixed,
};
use vatic_core::id::{GroupId, Tid, Timestamp};

/// Records that were written before, over so many areas.
const RECORDS: u64 = 10_000;
const AREAS: u64 = 100;
/// Between two transactions, in microseconds.
const PACE_US: u64 = 200;
const ACCEPTED: Verdict = Verdict::Accepted { decided: true };

pub(crate) struct Leader {
    claims: Claims,
    model: Model,
    now_us: u64,
}

impl Leader {
    /// Each record has been written once.
    pub(crate) fn new() -> Leader {
        let term = Term { weight: fixed::ONE / 8, low: -8 * fixed::ONE, high: 8 * fixed::ONE };
        let model = Model { terms: vec![term; FEATURES], ..Model::constant(100_000) };
        let mut leader = Leader { claims: Claims::new(Limits::production()), model, now_us: 1 };
        (0..RECORDS).for_each(|_| leader.vote(1));
        leader
    }

    /// A vote on so many records, from its proposal to its answer, not scored.
    pub(crate) fn vote(&mut self, records: u64) {
        let touches = self.touches(records);
        let tid = Tid { mint: Timestamp(self.now_us), home: GroupId(1), nonce: self.now_us };
        let ballot = self.claims.propose(tid, (0, 7), touches, false, self.now_us);
        self.claims.answered(ballot, ACCEPTED, self.now_us + PACE_US);
    }

    /// Features and score of a transaction of so many records.
    pub(crate) fn score(&mut self, records: u64) -> (Advice, Features) {
        let (touches, by) = (self.touches(records), By::Model(&self.model));
        self.claims.weigh_touches(7, touches, by, 0, self.now_us)
    }

    /// The claim of one record: features, score, and that it is in flight.
    pub(crate) fn advise(&mut self) -> Advice {
        let touch = self.touches(1)[0];
        let ask = Ask { token: self.now_us, user: 7, touch, ahead: 0, dice_ppm: 500_000 };
        self.claims.advise(ask, By::Model(&self.model), self.now_us)
    }

    fn touches(&mut self, records: u64) -> Vec<Touch> {
        self.now_us += PACE_US;
        let first = self.now_us / PACE_US;
        let touch = |nth: u64| Touch {
            record: fixed::pair_id((first + 37 * nth) % RECORDS, 1),
            area: fixed::pair_id((first + nth) % AREAS, 2),
            field: nth % 4,
            writes: true,
            commutes: nth.is_multiple_of(2),
            bytes: 100,
        };
        (0..records).map(touch).collect()
    }
}
