//! The scenarios of the durable queue: each a small world that is closed exhaustively.

use crate::dispatch::property::{self, Witness};

/// One small world: a group's queue, and what happens to its tickets.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// The tickets, in the order in which they were enqueued.
    pub tickets: Vec<Plan>,
    /// Most that a node has under way at once.
    pub running_max: usize,
    /// Tickets of a lower priority are tried out before they are sent.
    pub shadow_below: u8,
    /// Whether all that tickets touch is of their own group, so that nobody meets them there.
    pub at_home: bool,
    /// How often the queue is paused or resumed.
    pub pauses: u8,
    /// Lost votes and answers, crashes, changes of leader: so many together.
    pub faults: u8,
    /// The clock at the beginning, and at its end.
    pub begins: u64,
    /// See `begins`.
    pub ends: u64,
    /// What must be found reachable.
    pub witnesses: Vec<Witness>,
    /// How many states there are, where that was found out.
    pub unique_states: Option<usize>,
}

/// One ticket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Its priority.
    pub priority: u8,
    /// It expects what is not there.
    pub doomed: bool,
    /// A client may take it back.
    pub cancelled: bool,
    /// Records that it touches beside one of its own.
    pub shared: &'static [&'static str],
}

impl Scenario {
    /// What makes it finite, in a line.
    pub fn bounds(&self) -> String {
        format!(
            "tickets: {}, {} under way at once, two nodes, {} faults (a vote or an answer lost, a \
             crash, a change of leader), {} pauses or resumptions, {} ticks, looks at any earlier \
             state",
            self.tickets.len(),
            self.running_max,
            self.faults,
            self.pauses,
            self.ends - self.begins,
        )
    }
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![leaders(), order(), records(), at_home(), pauses(), shadow()]
}

fn leaders() -> Scenario {
    Scenario {
        name: "dispatch-leaders",
        about: "a ticket that may be taken back, whoever leads and whatever is lost",
        tickets: vec![Plan { cancelled: true, ..Plan::default() }],
        running_max: 1,
        faults: 3,
        ends: 1,
        witnesses: vec![property::BEATEN, property::BOTH, property::EMPTY, property::CANCELLED],
        unique_states: Some(332_046),
        ..Scenario::default()
    }
}

fn order() -> Scenario {
    let of = |priority| Plan { priority, ..Plan::default() };
    Scenario {
        name: "dispatch-order",
        about: "four tickets of three classes, one at a time, one that cannot happen: in order",
        tickets: vec![of(0), Plan { doomed: true, ..of(1) }, of(2), of(0)],
        running_max: 1,
        faults: 1,
        begins: 2,
        ends: 5,
        witnesses: vec![property::AGED, property::GIVEN_UP, property::EMPTY],
        unique_states: Some(192_510),
        ..Scenario::default()
    }
}

fn records() -> Scenario {
    let of = |shared| Plan { shared, ..Plan::default() };
    Scenario {
        name: "dispatch-records",
        about: "four tickets, two at a time, that touch each other's records: in order at each",
        tickets: vec![of(&["a"]), of(&["a", "b"]), of(&["b"]), of(&[])],
        running_max: 2,
        faults: 1,
        ends: 2,
        witnesses: vec![property::PASSED, property::EMPTY],
        unique_states: Some(191_645),
        ..Scenario::default()
    }
}

fn at_home() -> Scenario {
    let of = |shared| Plan { shared, ..Plan::default() };
    Scenario {
        name: "dispatch-home",
        about: "four tickets of one group, two at a time, whoever leads: none twice beside itself, \
                and what is free soonest goes first",
        tickets: vec![of(&["a"]), of(&["a", "b"]), of(&[]), of(&["b"])],
        running_max: 2,
        at_home: true,
        faults: 1,
        ends: 1,
        witnesses: vec![property::BOTH, property::EMPTY],
        unique_states: Some(402_624),
        ..Scenario::default()
    }
}

fn pauses() -> Scenario {
    Scenario {
        name: "dispatch-pauses",
        about: "two tickets while the queue is paused and resumed and its leader changes",
        tickets: vec![Plan::default(); 2],
        running_max: 1,
        pauses: 2,
        faults: 2,
        ends: 1,
        witnesses: vec![property::RESUMED, property::EMPTY],
        unique_states: Some(124_564),
        ..Scenario::default()
    }
}

fn shadow() -> Scenario {
    Scenario {
        name: "dispatch-shadow",
        about: "two tickets, one that is tried out before it is sent, whoever leads",
        tickets: vec![Plan::default(), Plan { priority: 1, ..Plan::default() }],
        running_max: 1,
        shadow_below: 1,
        faults: 1,
        ends: 3,
        witnesses: vec![property::HELD_BACK, property::EMPTY],
        unique_states: Some(11_618),
        ..Scenario::default()
    }
}
