//! The scenarios of the ring: each a small world that is closed exhaustively.

use crate::ring::property::{self, Witness};

/// One small world: two data groups and group 0.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// The data groups of the first ring, by place.
    pub first: Vec<usize>,
    /// One proposer each, with the data groups of the ring that it proposes once.
    pub proposals: Vec<Vec<usize>>,
    /// How many transactions there are; each extends both records.
    pub transactions: usize,
    /// Whether drivers may give up waiting for votes.
    pub gives_up: bool,
    /// What must be found reachable.
    pub witnesses: Vec<Witness>,
    /// How many states there are, where that was found out.
    pub unique_states: Option<usize>,
}

impl Scenario {
    /// What makes it finite, in a line.
    pub fn bounds(&self) -> String {
        let (proposers, transactions) = (self.proposals.len(), self.transactions);
        format!(
            "group 0 and 2 data groups, 2 records, {proposers} proposed rings, \
             {transactions} transactions, commands late, lost, repeated and reordered and groups \
             opened anew without bound"
        )
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    vec![joins(), raced()]
}

fn joins() -> Scenario {
    Scenario {
        name: "ring-grows",
        about: "a group joins the ring under two transactions",
        first: vec![0],
        proposals: vec![vec![0, 1]],
        transactions: 2,
        witnesses: vec![property::REFUSED, property::ACROSS, property::TWO_OWNERS],
        unique_states: Some(288_836),
        ..Scenario::default()
    }
}

fn raced() -> Scenario {
    Scenario {
        name: "ring-raced",
        about: "three proposers race for the next ring, under one transaction",
        first: vec![0, 1],
        proposals: vec![vec![0], vec![1], vec![0, 1]],
        transactions: 1,
        gives_up: true,
        witnesses: vec![
            property::CHANGED,
            property::SPREAD,
            property::OUTRUN,
            property::REFUSED,
            property::ACROSS,
        ],
        unique_states: Some(185_772),
    }
}
