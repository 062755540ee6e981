//! Mechanisms of the queue that a node can do without: to measure what each is good for.
//!
//! Switching one off changes when and in which order work is done, never what commits.

use serde::{Deserialize, Serialize};

/// One of them, as the configuration names it (`without = ["lanes"]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// All transactions and tickets have the same priority: the oldest goes first.
    Priority,
    /// Votes that wait for a log entry go into it as they came, and of tickets of one priority the
    /// oldest goes first, whatever is under way at its records.
    Order,
    /// Nobody holds others off: who asks for a turn with a record has it at once, with all others,
    /// and nobody waits for a vote that is undecided there.
    Lanes,
    /// What a conflict and a turn would cost is not weighed up: a turn is advised where a conflict
    /// is likelier than not.
    Simulate,
    /// Tickets of low priority are sent without being tried out.
    Shadow,
    /// The wait of those who come never counts as an overload: nobody is left out before the queue
    /// is full, the wait too long, or memory or network used up.
    Threshold,
    /// What users and fields have in common is no part of any model.
    CollaborativeFilter,
}

impl Mechanism {
    /// All of them, in the order of the pipeline.
    pub const ALL: [Mechanism; 7] = [
        Mechanism::Threshold,
        Mechanism::CollaborativeFilter,
        Mechanism::Priority,
        Mechanism::Simulate,
        Mechanism::Lanes,
        Mechanism::Order,
        Mechanism::Shadow,
    ];

    /// As the configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Priority => "priority",
            Mechanism::Lanes => "lanes",
            Mechanism::Order => "order",
            Mechanism::Simulate => "simulate",
            Mechanism::Shadow => "shadow",
            Mechanism::Threshold => "threshold",
            Mechanism::CollaborativeFilter => "collaborative-filter",
        }
    }
}
