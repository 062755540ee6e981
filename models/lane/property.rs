//! What must hold of turns in every state, and what must be reachable.

use crate::{
    lane::model::{Phase, Track, World},
    premise::Premise,
};
use stateright::Property;
use std::cmp::Reverse;
use vatic_core::lane::{LaneLimits, Urgency};

/// To be violated, or the others could hold because nothing ever happens.
pub const NOTHING: &str = "nobody ever waits";
/// What lanes are for.
pub const USEFUL: &str = "whoever votes in its turn has its vote accepted";
/// Nobody is forgotten: somebody else's turn or vote is why one waits. So nobody is left where
/// nothing but time can pass, either: turns end, and what has voted is decided.
pub const WOKEN: &str = "whoever waits, waits for somebody";
/// Priority is respected, and ageing.
pub const FAIR: &str = "a turn goes to whom it is due";
/// One at a time. A vote that comes when its turn is over ends the turn of whoever has it then: a
/// lane does not know whose vote it is.
pub const ONE: &str = "a record is one client's turn at a time, unless a vote came late";

/// A kind of state that a scenario must reach.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// Its name.
    pub name: &'static str,
    /// Whether a state is one.
    pub shows: fn(&Track, &World) -> bool,
}

macro_rules! witnesses {
    ($($(#[$doc:meta])* $id:ident = $name:literal: $shows:expr;)*) => {
        $($(#[$doc])* pub const $id: Witness = Witness { name: $name, shows: $shows };)*
    };
}

witnesses! {
    /// Lanes do something.
    WAITED = "three wait for one record": |track, world| {
        (0..world.records.len()).any(|at| track.waiters(world, at).len() > 2)
    };
    /// The entry saved by reading ahead.
    AHEAD = "somebody commits who read ahead of a decision": |_, world| {
        let committed = world.clients.iter().filter(|client| client.decision() == Some(true));
        world.ahead && !world.late && committed.count() > 1
    };
    /// Ageing does something.
    AGED = "who waited too long goes before who is more urgent": |_, world| world.aged;
    /// Turns end by time.
    LEFT = "a turn goes on that a vanished client had": |_, world| {
        let gone = |client: &&crate::lane::model::Client| client.phase == Phase::Gone;
        let vanished = world.clients.iter().filter(gone).any(|client| !client.seen.is_empty());
        vanished && world.clients.iter().any(|client| client.decision() == Some(true))
    };
    /// What lanes cannot help.
    LATE = "somebody whose turn was over rolls back": |_, world| {
        world.clients.iter().any(|client| client.decision() == Some(false))
    };
    /// Several records.
    BOTH = "all three commit": |_, world| {
        world.clients.iter().all(|client| client.decision() == Some(true))
    };
}

/// The properties that every scenario has.
pub fn always() -> Vec<Property<Track>> {
    vec![
        Property::always(NOTHING, |_, world: &World| !somebody_waits(world)),
        Property::always(USEFUL, |_, world: &World| {
            world.late || !world.clients.iter().any(|client| client.votes.contains(&Some(false)))
        }),
        Property::always(WOKEN, |track: &Track, world: &World| {
            (0..world.records.len()).all(|record| {
                let waits = !track.waiters(world, record).is_empty();
                let taken = world.lanes.is_taken(&track.keys[record], None, world.now_us);
                !waits || taken || track.undecided(world, record).is_some()
            })
        }),
        Property::always(FAIR, |_, world: &World| !world.unfair),
        Property::always(ONE, |track: &Track, world: &World| {
            world.late || (0..world.records.len()).all(|record| having(track, world, record) <= 1)
        }),
    ]
}

/// What these are about.
pub const PREMISES: &[Premise<Track>] = &[
    Premise {
        of: USEFUL,
        name: "a vote is accepted before any was late",
        occurs: |_, world| {
            let mut clients = world.clients.iter();
            !world.late && clients.any(|client| client.votes.contains(&Some(true)))
        },
    },
    Premise { of: WOKEN, name: "somebody waits", occurs: |_, world| somebody_waits(world) },
    Premise {
        of: FAIR,
        name: "two wait for one record",
        occurs: |track, world| {
            (0..world.records.len()).any(|at| track.waiters(world, at).len() > 1)
        },
    },
    Premise {
        of: ONE,
        name: "somebody waits for a record that another one has",
        occurs: |track, world| {
            let has = |record| having(track, world, record) > 0;
            let waits = |record| !track.waiters(world, record).is_empty();
            !world.late && (0..world.records.len()).any(|at| has(at) && waits(at))
        },
    },
];

fn somebody_waits(world: &World) -> bool {
    world.clients.iter().any(|client| matches!(client.phase, Phase::Waiting { .. }))
}

/// Holds the turn that was just given against the rule, said once more and otherwise: the oldest of
/// those who waited too long; else the most urgent, and of those the oldest.
pub(crate) fn judge(track: &Track, world: &mut World, given: usize, record: usize) {
    let ageing_us = LaneLimits::simulation().ageing_us;
    let rank =
        |&(at, since_us): &(usize, u64)| (track.urgency(world, at), Reverse(since_us), Reverse(at));
    let waiting = track.waiters(world, record);
    let due = |(_, since_us): &&(usize, u64)| world.now_us - since_us >= ageing_us;
    let oldest = waiting.iter().filter(due).min_by_key(|(at, since_us)| (*since_us, *at));
    let urgent = waiting.iter().max_by_key(|waiter| rank(waiter)).map(|(at, _)| *at);
    let expected = oldest.map(|(at, _)| *at).or(urgent);
    let unfair = expected != Some(given);
    let most: Option<Urgency> = waiting.iter().map(|&(at, _)| track.urgency(world, at)).max();
    let aged = oldest.is_some() && most > Some(track.urgency(world, given));
    world.unfair |= unfair;
    world.aged |= aged;
}

/// How many have their turn with a record now and have not voted there.
fn having(track: &Track, world: &World, record: usize) -> usize {
    let clients = world.clients.iter().enumerate();
    let has = |(at, client): &(usize, &crate::lane::model::Client)| {
        let leg = track.scenario.plans[*at].iter().position(|&at| at == record);
        leg.is_some_and(|leg| {
            let turn = client.ends_us.get(leg).is_some_and(|ends_us| *ends_us > world.now_us);
            turn && client.votes[leg].is_none()
        })
    };
    clients.filter(has).count()
}
