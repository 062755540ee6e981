//! The scenarios of the digest chain: each a small world that is closed exhaustively.

use crate::digest::{
    forge::Forgery,
    property::{self, Witness},
};

/// One small world.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// The groups.
    pub groups: usize,
    /// The transitions that the client sends, each by the group that takes it.
    pub transitions: Vec<usize>,
    /// Whether the client sends its own numbers and digests.
    pub chained: bool,
    /// Whether the gateway may stage what it has at any time.
    pub stages: bool,
    /// Whether somebody damages what is staged.
    pub damages_stages: bool,
    /// What may be handed to the driver in place of what the draft yields.
    pub forgeries: &'static [Forgery],
    /// Whether the driver may give up waiting for votes.
    pub gives_up: bool,
    /// Whether somebody may recover the transaction.
    pub recovers: bool,
    /// Whether a second transaction may overwrite what the client has read.
    pub rival: bool,
    /// Whether replies may be lost.
    pub loses: bool,
    /// Most entries in each group's log.
    pub entries_max: usize,
    /// Most commands in an entry.
    pub batch_max: usize,
    /// What must be found reachable.
    pub witnesses: Vec<Witness>,
    /// How many states there are, where that was found out.
    pub unique_states: Option<usize>,
}

impl Scenario {
    /// What makes it finite, in a line.
    pub fn bounds(&self) -> String {
        let mut parts = vec![
            format!("{} groups", self.groups),
            format!("{} transitions", self.transitions.len()),
            format!("{} entries of at most {} commands a log", self.entries_max, self.batch_max),
        ];
        let count = self.forgeries.len();
        parts.extend((count > 0).then(|| format!("{count} kinds of forgery, one at a time")));
        parts.extend(self.rival.then(|| "1 other transaction".into()));
        parts.extend(self.recovers.then(|| "1 recoverer".into()));
        parts.extend(self.damages_stages.then(|| "each stage may be damaged".into()));
        parts.push(
            "transitions damaged, repeated and reordered, commands late, lost, repeated \
                    and reordered, and groups opened anew without bound"
                .into(),
        );
        parts.join(", ")
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    vec![receipts(), staged(), batched(), forged(), unchained()]
}

fn receipts() -> Scenario {
    Scenario {
        name: "receipts",
        about: "a stream over two groups and back; votes and decisions repeated after leader \
                changes, a recoverer, and who gives out the receipt",
        groups: 2,
        transitions: vec![0, 1, 0],
        chained: true,
        gives_up: true,
        recovers: true,
        loses: true,
        entries_max: 3,
        batch_max: 1,
        witnesses: vec![
            property::BY_DRIVER,
            property::BY_RECORD,
            property::RECOVERED,
            property::ROLLED_BACK,
            property::REPEATED,
        ],
        unique_states: Some(72_481),
        ..Scenario::default()
    }
}

fn staged() -> Scenario {
    Scenario {
        name: "receipts-staged",
        about: "a stream over three groups whose transitions are staged ahead, and damaged on \
                the way there",
        groups: 3,
        transitions: vec![0, 1, 2, 0],
        chained: true,
        stages: true,
        damages_stages: true,
        entries_max: 2,
        batch_max: 1,
        witnesses: vec![property::BY_DRIVER, property::STAGED, property::REFUSED],
        unique_states: Some(155_652),
        ..Scenario::default()
    }
}

fn batched() -> Scenario {
    Scenario {
        name: "receipts-batched",
        about: "votes share their entries with decisions, forced votes and another transaction",
        groups: 2,
        transitions: vec![0, 1],
        chained: true,
        gives_up: true,
        rival: true,
        entries_max: 2,
        batch_max: 2,
        witnesses: vec![
            property::BY_DRIVER,
            property::BY_RECORD,
            property::ROLLED_BACK,
            property::SHARED_ENTRY,
            property::OVERTAKEN,
        ],
        unique_states: Some(29_171),
        ..Scenario::default()
    }
}

fn forged() -> Scenario {
    Scenario {
        name: "receipts-forged",
        about: "a gateway that hands something else to the driver than what was sent",
        groups: 2,
        transitions: vec![0, 1, 0],
        chained: true,
        forgeries: &Forgery::ALL,
        gives_up: true,
        rival: true,
        entries_max: 3,
        batch_max: 1,
        witnesses: vec![
            property::BY_DRIVER,
            property::BY_RECORD,
            property::REFUSED,
            property::FOREIGN,
            property::OVERTAKEN,
        ],
        unique_states: Some(43_720),
        ..Scenario::default()
    }
}

fn unchained() -> Scenario {
    Scenario {
        name: "receipts-unchained",
        about: "a client that leaves numbers and digests to the gateway, on a link that reorders \
                and damages",
        groups: 2,
        transitions: vec![0, 1, 0],
        chained: false,
        entries_max: 2,
        batch_max: 1,
        witnesses: vec![property::BY_DRIVER, property::BY_RECORD, property::FOREIGN],
        unique_states: Some(1_906),
        ..Scenario::default()
    }
}
