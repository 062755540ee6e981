//! What an `always` is about. Where that never occurs, the property holds in every state and says
//! nothing of the code: a check tells it from one that was put to the test.
//!
//! Premises are no properties of stateright's, which it would ask of every state again, and keep a
//! path for each time: a model notes them itself, each until it occurred once.

use stateright::Model;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What a property is about.
#[derive(Debug)]
pub struct Premise<M: Model> {
    /// The property, an `always`.
    pub of: &'static str,
    /// What it says something of.
    pub name: &'static str,
    /// Whether a state is one in which it does.
    pub occurs: fn(&M, &M::State) -> bool,
}

/// Which premises have occurred, and in how many states that was asked.
#[derive(Debug, Default)]
pub struct Noted {
    /// By bit, in the order of the model's premises.
    met: AtomicU64,
    looked_at: AtomicUsize,
}

impl Noted {
    /// Looks at a state whose next steps are asked for: the checker does so once with each state
    /// in which it asks the properties.
    pub fn look<M: Model>(&self, premises: &[Premise<M>], model: &M, state: &M::State) {
        self.looked_at.fetch_add(1, Relaxed);
        for (at, premise) in premises.iter().enumerate() {
            if !self.is_met(at) && (premise.occurs)(model, state) {
                self.met.fetch_or(1 << at, Relaxed);
            }
        }
    }

    /// Whether the premise at this place has occurred.
    pub fn is_met(&self, at: usize) -> bool {
        self.met.load(Relaxed) & (1 << at) != 0
    }

    /// How many states were looked at.
    pub fn looked_at(&self) -> usize {
        self.looked_at.load(Relaxed)
    }
}
