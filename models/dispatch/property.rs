//! What must hold of tickets in every state, and what must be reachable.

use crate::{
    dispatch::model::{Desk, What, World},
    premise::Premise,
};
use stateright::Property;
use std::{cmp::Reverse, collections::BTreeSet};
use vatic_core::{
    dispatch::{Dispatch, DispatchLimits, Ended, Now},
    id::Timestamp,
    key::Key,
    ticket::{Resolved, Ticket},
    value::{Fields, Scalar, Value},
};

/// To be violated, or the others could hold because nothing ever happens.
pub const NOTHING: &str = "no ticket ever happens";
/// Exactly once, and as it is said.
pub const ONCE: &str = "a ticket happens once, and then it is said to have";
/// Taking back is final.
pub const FINAL: &str = "what was taken back does not happen";
/// No lost wake-up: nothing starves.
pub const DUE: &str = "whoever waits is under way with the leader, or will be due there";
/// Priority is respected, and ageing.
pub const FAIR: &str = "what is begun is what is due first";
/// Nobody loses a vote to one of its own queue.
pub const APART: &str = "no node has two under way that touch one record";
/// A pause holds.
pub const PAUSED: &str = "who knows of a pause begins nothing";
/// Trying out ends.
pub const SENT: &str = "what was tried out so often in a row is sent";
/// Bounded work.
pub const BOUNDED: &str = "no node has more under way than it may, and no ticket twice";
/// The core's own invariants.
pub const SOUND: &str = "the group is whole";

/// A kind of state that a scenario must reach.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// Its name.
    pub name: &'static str,
    /// Whether a state is one.
    pub shows: fn(&Desk, &World) -> bool,
}

macro_rules! witnesses {
    ($($(#[$doc:meta])* $id:ident = $name:literal: $shows:expr;)*) => {
        $($(#[$doc])* pub const $id: Witness = Witness { name: $name, shows: $shows };)*
    };
}

witnesses! {
    /// What exactly-once is about.
    BEATEN = "an attempt finds that its ticket is resolved": |_, world| world.beaten;
    /// Two leaders at it.
    BOTH = "two nodes have one ticket under way": |_, world| {
        let of = |node| world.flights.iter().filter(move |flight| flight.of == Some(node));
        of(0).any(|one| of(1).any(|other| one.ticket == other.ticket))
    };
    /// A crash loses nothing.
    CRASHED = "a ticket happens whose attempt lost its node in a crash": |desk, world| {
        let orphans = world.flights.iter().filter(|flight| flight.of.is_none());
        let mut tickets = orphans.filter(|flight| flight.what == What::Happen);
        tickets.any(|flight| desk.happened(&world.site, flight.ticket) == 1)
    };
    /// All come to an end.
    EMPTY = "the queue is empty, and something happened after a fault": |desk, world| {
        let happened = (0..desk.tickets.len()).any(|at| desk.happened(&world.site, at) > 0);
        let faulty = world.faults < desk.scenario.faults;
        desk.queued(&world.site).is_empty() && happened && faulty
    };
    /// What cannot happen is told.
    GIVEN_UP = "a ticket is rolled back for good": |desk, world| {
        let resolved = (0..desk.tickets.len()).filter_map(|at| desk.resolved(&world.site, at));
        resolved.into_iter().any(|resolved| matches!(resolved, Resolved::RolledBack(_)))
    };
    /// Taking back does something.
    CANCELLED = "a ticket is taken back": |_, world| world.cancelled.contains(&true);
    /// Ageing does something.
    AGED = "what waited too long goes before what has priority": |_, world| world.aged;
    /// Being held back is got over.
    HELD_BACK = "what somebody was in the way of happens later": |desk, world| {
        let held_back = world.was_held_back.iter().enumerate().filter(|(_, held)| **held);
        held_back.into_iter().any(|(at, _)| desk.happened(&world.site, at) == 1)
    };
    /// Who waits for a record is overtaken by who does not.
    PASSED = "what waits for a record is overtaken by what is behind it": |desk, world| {
        let happened = |at| desk.happened(&world.site, at) == 1;
        (1..desk.tickets.len()).any(|at| happened(at) && !happened(at - 1))
    };
    /// A pause is got over.
    RESUMED = "all happen though the queue was paused": |desk, world| {
        let paused = world.pauses == 0 && desk.scenario.pauses > 1 && !world.paused;
        paused && (0..desk.tickets.len()).all(|at| desk.happened(&world.site, at) == 1)
    };
}

/// The properties that every scenario has.
pub fn always() -> Vec<Property<Desk>> {
    vec![
        Property::always(NOTHING, |desk: &Desk, world: &World| {
            (0..desk.tickets.len()).all(|at| desk.happened(&world.site, at) == 0)
        }),
        Property::always(ONCE, |desk: &Desk, world: &World| {
            (0..desk.tickets.len()).all(|at| {
                let said = matches!(desk.resolved(&world.site, at), Some(Resolved::Committed(_)));
                desk.happened(&world.site, at) == i64::from(said)
            })
        }),
        Property::always(FINAL, |desk: &Desk, world: &World| {
            let cancelled = world.cancelled.iter().enumerate().filter(|(_, cancelled)| **cancelled);
            cancelled.into_iter().all(|(at, _)| desk.happened(&world.site, at) == 0)
        }),
        Property::always(DUE, is_due),
        Property::always(FAIR, |_, world: &World| !world.unfair),
        Property::always(APART, |desk: &Desk, world: &World| {
            (0..world.nodes.len()).all(|node| {
                let tickets: Vec<usize> = under_way(world, node).collect();
                tickets.iter().enumerate().all(|(nth, &one)| {
                    let others = &tickets[..nth];
                    others.iter().all(|&other| desk.held(one).is_disjoint(&desk.held(other)))
                })
            })
        }),
        Property::always(PAUSED, |_, world: &World| !world.unpaused),
        Property::always(SENT, |_, world: &World| {
            let most = DispatchLimits::simulation().shadow_tries_max;
            world.nodes.iter().all(|node| node.held_back.iter().all(|it| u32::from(*it) <= most))
        }),
        Property::always(BOUNDED, |desk: &Desk, world: &World| {
            (0..world.nodes.len()).all(|node| {
                let mut tickets: Vec<usize> = under_way(world, node).collect();
                tickets.sort_unstable();
                let count = tickets.len();
                tickets.dedup();
                count <= desk.scenario.running_max && tickets.len() == count
            })
        }),
        Property::always(SOUND, |_, world: &World| {
            !world.site.is_halted() && !world.site.is_broken_inside()
        }),
    ]
}

/// What these are about; the last of them is asked of every state.
pub const PREMISES: &[Premise<Desk>] = &[
    Premise {
        of: ONCE,
        name: "a ticket happens",
        occurs: |desk, world| (0..desk.tickets.len()).any(|at| desk.happened(&world.site, at) > 0),
    },
    Premise { of: FINAL, name: "a ticket is taken back", occurs: CANCELLED.shows },
    Premise {
        of: DUE,
        name: "a ticket waits",
        occurs: |desk, world| waiting(desk, world, world.leader).next().is_some(),
    },
    Premise {
        of: FAIR,
        name: "a ticket is begun while another one waits",
        occurs: |desk, world| {
            (0..world.nodes.len()).any(|node| {
                let begun = under_way(world, node).next().is_some();
                begun && waiting(desk, world, node).next().is_some()
            })
        },
    },
    Premise {
        of: APART,
        name: "a ticket waits that touches a record of one under way",
        occurs: |desk, world| {
            let records = |at: usize| desk.records(&desk.tickets[at]);
            (0..world.nodes.len()).any(|node| {
                let held: BTreeSet<Key> = under_way(world, node).flat_map(records).collect();
                let mut waiting = waiting(desk, world, node);
                !held.is_empty() && waiting.any(|at| !records(at).is_disjoint(&held))
            })
        },
    },
    Premise {
        of: PAUSED,
        name: "who leads knows of a pause while a ticket waits",
        occurs: |desk, world| {
            let mut nodes = world.nodes.iter().enumerate();
            nodes.any(|(at, node)| {
                node.leads && node.paused && waiting(desk, world, at).next().is_some()
            })
        },
    },
    Premise {
        of: SENT,
        name: "a ticket was tried out as often in a row as it may be",
        occurs: |_, world| {
            let most = DispatchLimits::simulation().shadow_tries_max;
            let mut nodes = world.nodes.iter();
            nodes.any(|node| node.held_back.iter().any(|it| u32::from(*it) == most))
        },
    },
    Premise {
        of: BOUNDED,
        name: "a node has as much under way as it may",
        occurs: |desk, world| {
            let most = desk.scenario.running_max;
            (0..world.nodes.len()).any(|node| under_way(world, node).count() == most)
        },
    },
];

/// What is in the queue, and not under way with a node.
fn waiting(desk: &Desk, world: &World, node: usize) -> impl Iterator<Item = usize> {
    let queued = desk.queued(&world.site).into_iter();
    let queued = queued.map(|(ticket, _, _)| desk.number(&ticket));
    queued.filter(move |at| !under_way(world, node).any(|busy| busy == *at))
}

/// What a node has sent or tries out.
fn under_way(world: &World, node: usize) -> impl Iterator<Item = usize> {
    let sent = world.flights.iter().filter(move |flight| flight.of == Some(node));
    let tried = world.trials.iter().filter(move |trial| trial.of == node);
    sent.map(|flight| flight.ticket).chain(tried.map(|trial| trial.ticket))
}

/// Time alone makes each ticket due that the leader does not have under way.
fn is_due(desk: &Desk, world: &World) -> bool {
    let node = &world.nodes[world.leader];
    let mut queued: Vec<(Ticket, u8)> = desk
        .queued(&world.site)
        .into_iter()
        .map(|(ticket, entry, _)| (ticket, entry.priority))
        .collect();
    let busy: Vec<usize> = under_way(world, world.leader).collect();
    queued.retain(|(ticket, _)| !busy.contains(&desk.number(ticket)));
    let mut dispatch = node.dispatch.clone();
    let late = Now { clock: Timestamp(u64::MAX), us: u64::MAX };
    // One after the other, as those under way make room and leave their records.
    queued.iter().all(|waits| {
        let records = desk.records(&waits.0);
        let held = |at: &usize| !desk.held(*at).is_disjoint(&records);
        let waited_for =
            if node.dispatch.has_room() { busy.iter().any(held) } else { !busy.is_empty() };
        let alone = std::slice::from_ref(waits);
        let touched = desk.touched([&waits.0].into_iter());
        let begun = dispatch.begin(alone, |ticket| &touched[ticket], false, late);
        let due = begun.len() == 1 || waited_for;
        begun.into_iter().for_each(|ticket| dispatch.ended(ticket, Ended::Over, late, 0));
        due
    })
}

/// Holds what was begun against the rule, said once more and otherwise: of what was due, the oldest
/// of those that waited too long; else the one with the highest priority, and of those the oldest;
/// but for those that touch a record of one that is under way, or that goes before them and is not
/// begun; and but for one that the next of its priority passes by, since that shares no record with
/// it, and fewer of those under way touch any of its. How many may be is not judged here.
pub(crate) fn judge(
    desk: &Desk,
    world: &mut World,
    node: usize,
    before: &Dispatch,
    queued: &[(Ticket, u8)],
    begun: &[Ticket],
) {
    let now = Now { clock: Timestamp(world.now), us: world.now };
    let due = queued.iter().filter(|(ticket, _)| before.is_due(ticket, now));
    let mut due: Vec<(usize, u8)> =
        due.map(|(ticket, class)| (desk.number(ticket), *class)).collect();
    let records = |at: usize| desk.records(&desk.tickets[at]);
    let mut held: BTreeSet<Key> = under_way(world, node).flat_map(|at| desk.held(at)).collect();
    let aged_us = DispatchLimits::simulation().aged_us;
    let mut busy: Vec<usize> = under_way(world, node).collect();
    let ahead = |busy: &[usize], at: usize| {
        let of = |key: &Key| busy.iter().filter(|it| records(**it).contains(key)).count();
        records(at).iter().map(of).max()
    };
    for ticket in begun {
        let begun = desk.number(ticket);
        loop {
            let waited = |at: usize| world.now - (at as u64).min(world.now);
            let oldest = due.iter().filter(|(at, _)| waited(*at) > aged_us).min();
            let highest = due.iter().max_by_key(|(at, class)| (*class, Reverse(*at)));
            let Some((at, class)) = oldest.or(highest).copied() else {
                world.unfair = true;
                return;
            };
            let most = due.iter().map(|(_, class)| *class).max();
            let aged = oldest.is_some() && most > Some(class);
            let others = due.iter().filter(|(it, of)| *of == class && *it != at);
            let next = others.min().filter(|_| oldest.is_none()).map(|(next, _)| *next);
            let passes = next.filter(|&next| {
                let free = records(next).is_disjoint(&records(at));
                free && ahead(&busy, next) < ahead(&busy, at)
            });
            let at = passes.unwrap_or(at);
            due.retain(|(other, _)| *other != at);
            let free = records(at).is_disjoint(&held);
            held.extend(desk.held(at));
            if free {
                world.unfair |= at != begun;
                busy.push(at);
                world.aged |= aged;
                break;
            }
        }
    }
}

/// What a counter shows.
pub(crate) fn value(fields: &Fields) -> i64 {
    match fields.get("value") {
        Some(Value::One(Scalar::I64(value))) => *value,
        _ => 0,
    }
}
