//! One replay: the node's own parts, driven by the history's clock.

use vatic_core::conflict::{Contention, Features, Landing, Limits, Model, Mutation};
use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_learn::conflict::{Learner, Rules, Sample, Status};

use crate::args::ScoreAt;

use super::history::{self, Event, Transaction};

/// Replays of one history are the same.
const SEED: u64 = 0x0076_6174_6963;
/// Nothing in a history was locked beforehand: each label is seen.
const SEEN: u32 = 1_000_000;

/// What was known of a transaction when it was scored, and what was said then.
#[derive(Clone, Debug)]
pub(super) struct Scored {
    features: Features,
    pub(super) score: f64,
    pub(super) hotness: f64,
    pub(super) prior: f64,
}

/// The scores of all transactions, and how the loop ended.
pub(super) struct Replay {
    pub(super) scored: Vec<Scored>,
    pub(super) status: Status,
    pub(super) typical_duration_us: u64,
}

struct Run<'a> {
    history: &'a [Transaction],
    score_at: ScoreAt,
    contention: Contention,
    learner: Learner,
    scored: Vec<Option<Scored>>,
}

impl Replay {
    pub(super) fn of(history: &[Transaction], score_at: ScoreAt) -> Replay {
        let mut limits = Limits::production();
        // A history holds as many at once as it does: none is forgotten.
        limits.in_flight_max = limits.in_flight_max.max(history.len());
        let mut run = Run {
            history,
            score_at,
            contention: Contention::new(limits),
            learner: Learner::new(Rules::production(), SEED),
            scored: vec![None; history.len()],
        };
        for (at_us, event) in history::events(history) {
            run.step(at_us, event);
        }
        let scored = run.scored.into_iter().map(|scored| scored.expect("all were scored"));
        Replay {
            scored: scored.collect(),
            status: run.learner.status(),
            typical_duration_us: run.contention.typical_duration_us().unwrap_or(0),
        }
    }
}

impl Run<'_> {
    fn step(&mut self, at_us: u64, event: Event) {
        match event {
            Event::Begin(at) => {
                self.arrive(at);
                if self.score_at == ScoreAt::Begin {
                    self.score(at, at_us);
                }
            }
            Event::Write(at) => {
                if self.score_at == ScoreAt::Write {
                    self.score(at, at_us);
                }
                self.contention.stage(self.tid(at));
            }
            Event::Commit(at) => self.commit(at, at_us),
        }
    }

    fn arrive(&mut self, at: usize) {
        let Transaction { user, begin_us, ref touches, .. } = self.history[at];
        let limits = self.contention.limits();
        let mutation = Mutation::new(user, begin_us, touches.clone(), limits);
        self.contention.arrive(self.tid(at), mutation);
    }

    fn score(&mut self, at: usize, now_us: u64) {
        let features = self.contention.features_in_flight(self.tid(at), now_us);
        let features = features.expect("it has begun and not committed");
        let says = |model: &Model| f64::from(model.score(&features)) / 1e6;
        self.scored[at] = Some(Scored {
            score: says(self.learner.model()),
            hotness: says(self.learner.hotness_model()),
            prior: says(self.learner.prior_model()),
            features,
        });
    }

    /// The label is known, and what was written is there to be conflicted with.
    fn commit(&mut self, at: usize, at_us: u64) {
        let conflict = self.history[at].conflict;
        let landing = Landing { conflict: Some(conflict), blamed: None, wrote: true };
        self.contention.land(self.tid(at), landing, at_us);
        let scored = self.scored[at].as_ref().expect("it was scored before it commits");
        let features = scored.features.clone();
        self.learner.learn(Sample {
            features,
            conflict,
            propensity_ppm: SEEN,
            stands_for: 1,
            at_us,
        });
    }

    /// Minted when it began.
    fn tid(&self, at: usize) -> Tid {
        let mint = Timestamp(self.history[at].begin_us);
        Tid { mint, home: GroupId(1), nonce: at as u64 }
    }
}
