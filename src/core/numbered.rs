//! Batches that nodes number, so that one which is proposed again counts once.
//!
//! A node that does not know what became of its batch proposes it again, under the same number.
//! Whoever appends remembers the last number of each node.

use crate::rules::{Rules, broken};
use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

/// Nodes whose last batch is remembered; of more, that which has appended nothing for longest is
/// forgotten.
const NODES_MAX: usize = 64;

/// The number of each node's last batch.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Numbered(BTreeMap<u64, u64>);

impl Numbered {
    /// The number of a node's last batch.
    pub(crate) fn of(&self, node: u64) -> Option<u64> {
        self.0.get(&node).copied()
    }

    /// Notes a batch's number; false where it came before.
    pub(crate) fn takes(&mut self, node: u64, number: u64, rules: Rules) -> bool {
        let came = self.of(node).is_some_and(|last| number <= last);
        if came && !broken!(rules, BatchCountsAgain) {
            return false;
        }
        self.0.insert(node, number);
        if self.0.len() > NODES_MAX {
            // Numbers follow the clocks of their nodes.
            let idle = self.0.iter().min_by_key(|(node, last)| (**last, **node));
            if let Some(idle) = idle.map(|(node, _)| *node) {
                self.0.remove(&idle);
            }
        }
        true
    }

    /// Whether no more are remembered than may be.
    pub(crate) fn is_bounded(&self) -> bool {
        self.0.len() <= NODES_MAX
    }
}
