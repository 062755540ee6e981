//! Gateways that judge: some transactions end as was forecast of them, some do not, and of those
//! some are passed off as if they did. One collection enforces forecasts.
//!
//! Which ones is drawn from the transaction's own chain, so that what else a seed draws stays.

use super::World;
use vatic_core::{
    body::Body,
    draft::Draft,
    expected::Score,
    policy::{Policies, Policy, Validation},
    verdict::{Conditions, Forecast},
};

/// The collection whose forecasts are enforced.
pub(crate) const ENFORCED: &str = "account";
/// Of a thousand transactions: those that are judged, of these those that strayed, of these those
/// that are passed off.
const JUDGED: u16 = 300;
const STRAYED: u16 = 12;
const PASSED_OFF: u16 = 4;
/// Classes that transactions fall into.
const CLASSES: u64 = 3;

impl World {
    /// What collections ask for.
    pub(super) fn policies() -> Policies {
        let enforce = Policy { validation: Validation::Enforce, ..Policy::default() };
        Policies { version: 1, set: [(ENFORCED.to_owned(), enforce)].into() }
    }

    /// Judges a stream that ends: nothing at all was forecast of it, and a tolerance without bounds
    /// has it foreseen.
    pub(super) fn judge(draft: &mut Draft) {
        let drawn = drawn(&draft.seal().head.0);
        if drawn < JUDGED {
            let tolerance = if drawn < STRAYED { 0 } else { Score::MAX };
            let class = u64::from(drawn) % CLASSES;
            draft.judge(class, Forecast::default(), (Conditions::default(), tolerance));
        }
    }

    /// Has some of those that strayed say that they did not; whether this is one.
    pub(super) fn pass_off(body: &mut Body) -> bool {
        let passes = drawn(&body.seal.head.0) < PASSED_OFF;
        let judged = body.finding.judgement_mut().filter(|judged| passes && !judged.verdict.valid);
        judged.map(|judged| judged.verdict.valid = true).is_some()
    }
}

fn drawn(head: &[u8; 32]) -> u16 {
    u16::from_be_bytes([head[0], head[1]]) % 1_000
}
