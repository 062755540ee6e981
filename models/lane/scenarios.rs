//! The scenarios of the key lane: each a small world that is closed exhaustively.

use crate::lane::property::{self, Witness};

/// One small world: records with a group each, and clients that write some of them.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// Which records each client writes, in the order in which it takes them.
    pub plans: Vec<Vec<usize>>,
    /// How often each client was rolled back before.
    pub rollbacks: Vec<u32>,
    /// How long a turn lasts.
    pub hold_us: u64,
    /// How far the clock goes.
    pub ticks: u64,
    /// Whether clients may vanish, or stop waiting.
    pub vanish: bool,
    /// Whether it is too large for every test run, and checked by command alone.
    pub by_command: bool,
    /// What must be found reachable.
    pub witnesses: Vec<Witness>,
    /// How many states there are, where that was found out.
    pub unique_states: Option<usize>,
}

impl Scenario {
    /// How many records there are.
    pub fn records(&self) -> usize {
        self.plans.iter().flatten().max().map_or(0, |last| last + 1)
    }

    /// What makes it finite, in a line.
    pub fn bounds(&self) -> String {
        let (clients, records) = (self.plans.len(), self.records());
        let vanish = if self.vanish { ", clients that vanish or stop waiting" } else { "" };
        format!(
            "{records} records, {clients} clients with one attempt each, turns of {} ticks, {} \
             ticks, votes, decisions and their application in any order that logs allow{vanish}",
            self.hold_us, self.ticks
        )
    }
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let turns = turns();
    let long = Scenario {
        name: "lane-turns-long",
        about: "the same for so long that every turn can end by time and be taken up again",
        ticks: 8,
        by_command: true,
        unique_states: Some(24_194_466),
        ..turns.clone()
    };
    vec![turns, pairs(), long]
}

fn turns() -> Scenario {
    Scenario {
        name: "lane-turns",
        about: "four clients, one record: everybody gets a turn, in order, whoever vanishes",
        plans: vec![vec![0]; 4],
        rollbacks: vec![0, 1, 0, 1],
        hold_us: 2,
        ticks: 4,
        vanish: true,
        witnesses: vec![
            property::WAITED,
            property::AHEAD,
            property::AGED,
            property::LEFT,
            property::LATE,
        ],
        unique_states: Some(1_070_899),
        by_command: false,
    }
}

fn pairs() -> Scenario {
    Scenario {
        name: "lane-pairs",
        about: "three clients, two records each of three: nobody waits for ever",
        plans: vec![vec![0, 1], vec![1, 2], vec![0, 2]],
        rollbacks: vec![0; 3],
        hold_us: 2,
        ticks: 2,
        vanish: true,
        witnesses: vec![property::AHEAD, property::BOTH, property::LEFT],
        unique_states: Some(295_849),
        by_command: false,
    }
}
