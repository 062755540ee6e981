//! The newest conflicts that this node saw.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use vatic_core::{
    command::Cause,
    id::{GroupId, Tid},
};

/// Conflicts that are kept; some hundred bytes each.
const KEPT_MAX: usize = 10_000;

/// A vote that met a conflict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Met {
    /// Microseconds since 1970.
    pub(crate) at_us: u64,
    pub(crate) node: u32,
    pub(crate) group: GroupId,
    pub(crate) tid: Tid,
    pub(crate) why: Cause,
    /// It had said that it would write the record.
    pub(crate) claimed: bool,
    /// And took its turn.
    pub(crate) in_turn: bool,
    /// How likely this was, by what was known before.
    pub(crate) score_ppm: Option<u32>,
    pub(crate) model_version: u64,
    /// From its claim, or the proposal of its vote, to the answer.
    pub(crate) lost_us: u64,
}

/// Bounded; the oldest goes first.
#[derive(Default)]
pub(crate) struct History {
    met: VecDeque<Met>,
}

impl History {
    pub(crate) fn push(&mut self, met: Met) {
        if self.met.len() == KEPT_MAX {
            self.met.pop_front();
        }
        self.met.push_back(met);
    }

    /// The newest first.
    pub(crate) fn newest(&self, most: usize) -> Vec<Met> {
        self.met.iter().rev().take(most).cloned().collect()
    }
}
