//! The conflict models that group 0 keeps for all nodes.
//!
//! A model is a matter of advice: which one is in force decides no transaction. It is replicated so
//! that a node that has learnt little need not begin from nothing, that all nodes can be told to
//! use one, and that neither goes with a leader.
//!
//! Invariants: a version names one model for ever; the one that is pinned is kept.

use crate::{
    codec,
    command::{Refusal, Reply},
    conflict::{FEATURES, Model},
    state::{Read, State},
    tables,
};
use alloc::{format, vec::Vec};
use serde::{Deserialize, Serialize};

/// The newest models that are kept.
pub const MODELS_KEPT: u64 = 8;
/// Largest model, in bytes.
pub const MODEL_BYTES_MAX: usize = 1 << 20;

/// A model that all nodes may use.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SharedModel {
    /// From 1, one after the other.
    pub version: u64,
    /// Who learnt it.
    pub node: u64,
    /// From so many outcomes.
    pub labels: u64,
    /// What it learnt.
    pub model: Model,
}

/// Which models there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Shelf {
    /// The newest version; 0: none yet.
    pub newest: u64,
    /// The version that all nodes use.
    pub pinned: Option<u64>,
}

impl Shelf {
    /// The version in force; 0: none.
    pub fn in_force(self) -> u64 {
        self.pinned.unwrap_or(self.newest)
    }
}

/// Which models group 0 has.
pub fn shelf(state: &impl Read) -> Shelf {
    tables::load(state, &tables::meta("models")).unwrap_or_default()
}

/// One of them.
pub fn model(state: &impl Read, version: u64) -> Option<SharedModel> {
    tables::load(state, &place(version))
}

/// All of them, ascending by version.
pub fn models(state: &impl Read) -> Vec<SharedModel> {
    let mut models = Vec::new();
    let (from, to) = (tables::meta("model/"), tables::meta("model0"));
    state.scan(&from, &to, &mut |_, value| {
        models.push(tables::stored(value));
        true
    });
    models
}

pub(crate) fn publish(state: &mut impl State, (node, labels): (u64, u64), model: &Model) -> Reply {
    let fits = model.terms.len() <= FEATURES && codec::encoded_bytes(model) <= MODEL_BYTES_MAX;
    if !fits {
        return Reply::Refused(Refusal::NoModel);
    }
    let shelf = shelf(state);
    let version = shelf.newest + 1;
    let shared = SharedModel { version, node, labels, model: model.clone() };
    tables::save(state, place(version), &shared);
    keep(state, Shelf { newest: version, ..shelf })
}

pub(crate) fn pin(state: &mut impl State, version: Option<u64>) -> Reply {
    if version.is_some_and(|version| model(state, version).is_none()) {
        return Reply::Refused(Refusal::NoModel);
    }
    let shelf = Shelf { pinned: version, ..shelf(state) };
    keep(state, shelf)
}

/// What is neither new nor pinned goes.
fn keep(state: &mut impl State, shelf: Shelf) -> Reply {
    tables::save(state, tables::meta("models"), &shelf);
    let old = |version: u64| version + MODELS_KEPT <= shelf.newest && shelf.pinned != Some(version);
    for shared in models(state) {
        if old(shared.version) {
            state.delete(&place(shared.version));
        }
    }
    Reply::Done
}

fn place(version: u64) -> Vec<u8> {
    tables::meta(&format!("model/{version:016x}"))
}
