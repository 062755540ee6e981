//! Markov reward: how often each step is still to come, if the next step depended on the last
//! alone.
//!
//! The expected visits solve `V(s, ·) = Σ P(s, t) (1_t + V(t, ·))`; they are found by sweeps.
//! Means, kept as a baseline.

use std::collections::BTreeMap;
use std::sync::Arc;

use vatic_core::footprint::Footprint;

use super::stream::add_cells;
use super::{Forecaster, Outlook, Prefix, Symbol};

/// Different steps that are told apart; later ones are left out.
const SYMBOLS_MAX: usize = 256;
/// Enough for streams of about as many steps.
const SWEEPS: usize = 64;
/// Visits fewer than this are left out of rows.
const VISITS_MIN: f64 = 1e-3;

/// See the file's head.
#[derive(Debug, Default)]
pub struct MarkovReward {
    after: BTreeMap<Symbol, After>,
    learnt: u64,
    settle_at: u64,
}

#[derive(Debug, Default)]
struct After {
    next: BTreeMap<Symbol, u32>,
    ends: u32,
    visits: BTreeMap<Symbol, f64>,
    footprint: Arc<Footprint>,
}

impl Forecaster for MarkovReward {
    fn name(&self) -> &'static str {
        "markov"
    }

    fn learn(&mut self, finished: Prefix<'_>) {
        for (at, step) in finished.steps.iter().enumerate() {
            if self.after.len() >= SYMBOLS_MAX && !self.after.contains_key(&step.symbol) {
                continue;
            }
            let after = self.after.entry(step.symbol).or_default();
            after.footprint = step.footprint.clone();
            match finished.steps.get(at + 1) {
                Some(next) => *after.next.entry(next.symbol).or_default() += 1,
                None => after.ends += 1,
            }
        }
        self.learnt += 1;
        if self.learnt >= self.settle_at {
            self.settle();
            self.settle_at = self.learnt + 1 + self.learnt.min(2_048) / 8;
        }
    }

    fn forecast(&self, prefix: Prefix<'_>) -> Outlook {
        let mut outlook = Outlook::finished(prefix);
        let last = prefix.steps.last().and_then(|step| self.after.get(&step.symbol));
        for (symbol, visits) in last.iter().flat_map(|after| &after.visits) {
            outlook.count += visits;
            *outlook.steps.entry(*symbol).or_default() += visits.round() as u32;
            if let Some(to) = self.after.get(symbol) {
                add_cells(&mut outlook.cells, &to.footprint, *visits);
            }
        }
        outlook.steps.retain(|_, number| *number > 0);
        outlook
    }
}

impl MarkovReward {
    fn settle(&mut self) {
        let symbols: Vec<Symbol> = self.after.keys().copied().collect();
        for _ in 0..SWEEPS {
            let mut moved = 0.0f64;
            for symbol in &symbols {
                let visits = self.visits(&self.after[symbol]);
                let after = self.after.get_mut(symbol).expect("a key of the map");
                let was: f64 = after.visits.values().sum();
                moved = moved.max((visits.values().sum::<f64>() - was).abs());
                after.visits = visits;
            }
            if moved < 1e-3 {
                break;
            }
        }
    }

    fn visits(&self, after: &After) -> BTreeMap<Symbol, f64> {
        let all = f64::from(after.ends + after.next.values().sum::<u32>()).max(1.0);
        let mut visits: BTreeMap<Symbol, f64> = BTreeMap::new();
        for (next, times) in &after.next {
            let share = f64::from(*times) / all;
            *visits.entry(*next).or_default() += share;
            for (symbol, more) in self.after.get(next).iter().flat_map(|after| &after.visits) {
                *visits.entry(*symbol).or_default() += share * more;
            }
        }
        visits.retain(|_, visits| *visits > VISITS_MIN);
        visits
    }
}
