//! A blend of experts over contexts.
//!
//! Each expert is a way to weigh what followed earlier streams: which contexts it looks at, longest
//! first and backing off where they were rarely seen (in the manner of PPM, Cleary and Witten,
//! 1984), how fast it forgets, how soon it trusts a long context. What is best differs from process
//! to process and along a stream, so that experts are weighed by their progressive errors,
//! exponentially (Hedge: Freund and Schapire, 1997) and with forgetting, for each half octave of
//! the position. Their weighed remainders are pooled, and the pool's geometric median is the
//! forecast.

use super::context::{HALF_LIVES, KINDS, Table, View, about, contexts};
use super::median::{Atom, outlook};
use super::remainder::Remainder;
use super::{Forecaster, Outlook, Prefix};

/// Looks at nothing: nothing will follow.
const NOTHING: &[usize] = &[];
const SHORT: &[usize] = &[0, 1, 9, 2, 10];
const PLAIN: &[usize] = &[0, 1, 9, 2, 10, 3, 4, 5, 6];
const USER: &[usize] = &[0, 1, 9, 2, 10, 3, 4, 5, 6, 7];
const GAP: &[usize] = &[0, 1, 9, 2, 10, 3, 4, 5, 6, 8];

const fn expert(kinds: &'static [usize], half_life: usize, doubt: f64) -> View {
    assert!(half_life < HALF_LIVES.len());
    View { kinds, half_life, doubt }
}

const EXPERTS: [View; 16] = [
    expert(NOTHING, 0, 0.0),
    expert(SHORT, 0, 20.0),
    expert(SHORT, 2, 20.0),
    expert(PLAIN, 0, 2.0),
    expert(PLAIN, 1, 2.0),
    expert(PLAIN, 2, 2.0),
    expert(PLAIN, 3, 2.0),
    expert(PLAIN, 0, 20.0),
    expert(PLAIN, 1, 20.0),
    expert(USER, 0, 2.0),
    expert(USER, 1, 2.0),
    expert(USER, 2, 2.0),
    expert(USER, 3, 2.0),
    expert(GAP, 0, 2.0),
    expert(GAP, 1, 2.0),
    expert(GAP, 2, 2.0),
];

/// Half octaves of positions.
const PLACES: usize = 20;
/// Remainders that a forecast is made of, at most.
const ATOMS_MAX: usize = 96;
/// The same where experts are compared.
const ATOMS_SCORED: usize = 32;
/// How much a relative error of 1 counts against an expert, in the exponent.
const RATE: f64 = 2.0;
/// What is left of an error after one more stream.
const FORGETTING: f64 = 0.99;

/// See the file's head.
#[derive(Debug)]
pub struct Blend {
    table: Table,
    nothing: u32,
    errors: [[f64; EXPERTS.len()]; PLACES],
}

impl Default for Blend {
    fn default() -> Blend {
        let mut table = Table::default();
        let nothing = table.remainders.hold(Remainder::default());
        Blend { table, nothing, errors: [[0.0; EXPERTS.len()]; PLACES] }
    }
}

impl Forecaster for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn learn(&mut self, finished: Prefix<'_>) {
        let whole = finished.footprint();
        for at in (1..finished.steps.len()).filter(|at| is_scored(*at)) {
            let prefix = finished.first(at);
            let contexts = contexts(prefix);
            let place = place(at);
            for (at, view) in EXPERTS.iter().enumerate() {
                let mut found = Vec::new();
                self.weigh(&contexts, *view, 1.0, &mut found);
                let outlook = self.outlook(prefix, found, ATOMS_SCORED);
                let error = outlook.relative_error(&whole).min(1.0);
                let sum = &mut self.errors[place][at];
                *sum = *sum * FORGETTING + error;
            }
        }
        self.table.learn(finished);
    }

    fn forecast(&self, prefix: Prefix<'_>) -> Outlook {
        let found = self.pool(&contexts(prefix), place(prefix.steps.len()));
        self.outlook(prefix, found, ATOMS_MAX)
    }
}

impl Blend {
    fn pool(&self, contexts: &[u64; KINDS], place: usize) -> Vec<(u32, f64)> {
        let errors = &self.errors[place];
        let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
        let mut found = Vec::new();
        for (view, error) in EXPERTS.iter().zip(errors) {
            let weight = (RATE * (least - error)).exp();
            if weight > 1e-3 {
                self.weigh(contexts, *view, weight, &mut found);
            }
        }
        found
    }

    fn weigh(&self, contexts: &[u64; KINDS], view: View, weight: f64, found: &mut Vec<(u32, f64)>) {
        if view.kinds.is_empty() {
            found.push((self.nothing, weight));
        }
        self.table.weigh(contexts, view, weight, found);
    }

    /// What remainders, each perhaps several times, amount to.
    fn outlook(&self, prefix: Prefix<'_>, mut found: Vec<(u32, f64)>, most: usize) -> Outlook {
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        found.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0.0 };
            same
        });
        found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(most);
        let remainders = &self.table.remainders;
        let atoms: Vec<Atom<'_>> = found
            .iter()
            .map(|(at, weight)| Atom { remainder: remainders.at(*at), weight: *weight })
            .collect();
        outlook(prefix, &atoms)
    }
}

/// Experts are compared at 1, 2, 3, 4, 6, 8, 12, 16, ...
fn is_scored(position: usize) -> bool {
    position.is_power_of_two() || (position.is_multiple_of(3) && (position / 3).is_power_of_two())
}

fn place(position: usize) -> usize {
    about(position).min(PLACES - 1)
}
