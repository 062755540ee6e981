//! The finding: what a body says of how its transaction was judged, or why it was not.
//!
//! A transaction that could not be judged says so, with what was missing: "not judged" and "found
//! valid" must not look alike, to whoever reads the record and to the votes. Where a collection
//! enforces forecasts, what was to be judged and could not be is refused. One thing is no failure
//! to judge: that too little was ever seen of the like. Then there is no forecast that anybody
//! could hold it to, and a class that is refused for it could never begin.

use crate::{
    chain::Seal,
    estimate::Resolution,
    footprint::Footprint,
    hash::Hasher,
    policy::Validation,
    verdict::{self, Action, Judgement},
};
use serde::{Deserialize, Serialize};

/// What a body says of how its transaction was judged.
///
/// The first two are encoded, and digested, as an absent judgement and a present one were.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Finding {
    /// Nothing: nobody meant to judge it.
    #[default]
    Nothing,
    /// How it was judged.
    Judged(Judgement),
    /// It was to be judged, and was not.
    Unjudged(Unjudged),
    /// How it was judged: invalid, and what it was resolved to be voted on under.
    Resolved(Judgement, Resolution),
}

/// Why a transaction was not judged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Unjudged {
    /// All that there was to learn is learnt, and too little of it is like this one: there is no
    /// forecast to be held to.
    #[error("too few like it were seen for a forecast")]
    Unknown,
    /// The gateway has not learnt yet what others have: whether the like is known it cannot say.
    #[error("its gateway is still learning what others have seen")]
    Unlearnt,
    /// The gateway noted no steps of it: it learns nothing at all, had enough to learn from, or
    /// heard of the policy when the stream had begun.
    #[error("its gateway did not follow it")]
    Unfollowed,
    /// The forecast was not there in time.
    #[error("its forecast had not come after {waited_ms} ms")]
    Unforecast {
        /// How long it was waited for at the seal.
        waited_ms: u32,
    },
    /// What the home group tolerates was not heard in time.
    #[error("its home group had not said after {waited_ms} ms what it tolerates")]
    Untolerated {
        /// How long it was waited for at the seal.
        waited_ms: u32,
    },
}

impl Finding {
    /// How it was judged, if it was.
    pub fn judgement(&self) -> Option<&Judgement> {
        match self {
            Finding::Judged(judgement) | Finding::Resolved(judgement, _) => Some(judgement),
            Finding::Nothing | Finding::Unjudged(_) => None,
        }
    }

    /// The same, to be changed: for those who tell of it other than it was.
    pub fn judgement_mut(&mut self) -> Option<&mut Judgement> {
        match self {
            Finding::Judged(judgement) | Finding::Resolved(judgement, _) => Some(judgement),
            Finding::Nothing | Finding::Unjudged(_) => None,
        }
    }

    /// Why it was not judged, where it was to be.
    pub fn unjudged(&self) -> Option<Unjudged> {
        match self {
            Finding::Unjudged(unjudged) => Some(*unjudged),
            Finding::Nothing | Finding::Judged(_) | Finding::Resolved(..) => None,
        }
    }

    /// What it was resolved to be voted on under, where that was done.
    pub fn resolution(&self) -> Option<&Resolution> {
        match self {
            Finding::Resolved(_, resolution) => Some(resolution),
            _ => None,
        }
    }

    /// Whether a verdict in it is what forecast, conditions and tolerance make of what came.
    pub fn holds(&self, actual: &Footprint, seal: &Seal) -> bool {
        self.judgement().is_none_or(|judgement| judgement.holds(actual, seal))
    }

    /// What a policy makes of it.
    pub fn action(&self, validation: Validation) -> Action {
        match self {
            Finding::Nothing => Action::Proceed,
            Finding::Judged(judgement) | Finding::Resolved(judgement, _) => {
                verdict::action(validation, &judgement.verdict)
            }
            Finding::Unjudged(unjudged) => unjudged.action(validation),
        }
    }

    /// Feeds all of it, as [`crate::body::Body::digest`] lists it.
    pub(crate) fn feed(&self, hasher: Hasher) -> Hasher {
        match self {
            Finding::Nothing => hasher.u64(0),
            Finding::Judged(judgement) => judgement.feed(hasher.u64(1)),
            Finding::Unjudged(unjudged) => {
                let (which, waited_ms) = unjudged.numbered();
                hasher.u64(2).u64(which).u64(u64::from(waited_ms))
            }
            Finding::Resolved(judgement, resolution) => {
                resolution.feed(judgement.feed(hasher.u64(3)))
            }
        }
    }
}

impl Unjudged {
    /// What a policy makes of it: where nothing may stray, nothing passes unjudged either, but what
    /// nobody could have foreseen.
    pub fn action(self, validation: Validation) -> Action {
        match validation.refuses() && self != Unjudged::Unknown {
            true => Action::RollBack,
            false => Action::Proceed,
        }
    }

    /// In upper case: what was missing.
    pub fn name(self) -> &'static str {
        match self {
            Unjudged::Unknown => "EXEMPLARS",
            Unjudged::Unlearnt => "HISTORY",
            Unjudged::Unfollowed => "STEPS",
            Unjudged::Unforecast { .. } => "FORECAST",
            Unjudged::Untolerated { .. } => "TOLERANCE",
        }
    }

    /// How long what was missing was waited for at the seal, in milliseconds.
    pub fn waited_ms(self) -> u32 {
        self.numbered().1
    }

    fn numbered(self) -> (u64, u32) {
        match self {
            Unjudged::Unknown => (0, 0),
            Unjudged::Unlearnt => (1, 0),
            Unjudged::Unfollowed => (2, 0),
            Unjudged::Unforecast { waited_ms } => (3, waited_ms),
            Unjudged::Untolerated { waited_ms } => (4, waited_ms),
        }
    }
}
