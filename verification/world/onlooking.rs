//! Who looks on while a leader is cut off from its group: some write a record through whoever leads
//! by then, others read it at the old leader's node, as clients do that are connected there.
//!
//! Why clients of their own: those of the ordinary mix meet a deposed leader that does not know it
//! once in hundreds of runs. It answers for less than a second, most of them are busy with
//! something that was lost, and it would have to be asked for the very record that was written
//! meanwhile. Nothing else about these is special: their transactions and reads are judged with
//! all others.
//!
//! One of three seeds has them: the others are as they were before there were any.

use super::{
    World,
    operation::Task,
    reading::Look,
    transaction::Transaction,
    workload::{Plan, write},
};
use crate::{
    event::{Event, Query},
    limits,
    probe::Probe,
    rng::Rng,
};
use std::ops::Range;
use vatic_core::{delta::Op, id::GroupId, key::Key, ring::Ring, value::Fields};

/// Their numbers, past those of all other clients. Every other one reads.
const ONLOOKERS: Range<usize> = 1_000..1_006;

/// Before an onlooker looks again whether another leads.
const PAUSE_US: u64 = 500;

/// How many of a thousand seeds have onlookers.
const SEEDS_PER_MILLE: u32 = 333;
/// Tells a seed's chance for this from its other.
const OWN_CHANCE: u64 = 0x0A10_07E5_5EED_0017;

/// Whether a seed has onlookers, and what they look at.
pub(super) struct Onlooking {
    on: bool,
    isolated: Option<Isolated>,
}

/// A leader that does not reach the other members of its group.
#[derive(Clone, Copy)]
struct Isolated {
    group: usize,
    leader: usize,
    cut: u64,
}

impl Onlooking {
    pub(super) fn draw(seed: u64) -> Onlooking {
        let on = Rng::new(seed ^ OWN_CHANCE).chance(SEEDS_PER_MILLE);
        Onlooking { on, isolated: None }
    }

    /// Whether they look at a leader now: one is enough.
    pub(super) fn is_busy(&self) -> bool {
        self.isolated.is_some()
    }

    /// How long a leader is cut off at most.
    pub(super) fn isolation_us(&self) -> u64 {
        if self.on { limits::LOOKED_ON_US } else { limits::ISOLATION_US }
    }

    /// A cut is healed.
    pub(super) fn heal(&mut self, cut: u64) {
        self.isolated = self.isolated.filter(|isolated| isolated.cut != cut);
    }
}

impl World {
    /// Begins to look on, in seeds that do; it ends by itself when the cut is healed.
    pub(super) fn look_on(&mut self, group: usize, leader: usize, cut: u64) {
        if !self.onlooking.on {
            return;
        }
        self.onlooking.isolated = Some(Isolated { group, leader, cut });
        for client in ONLOOKERS {
            let delay = self.rng.below(limits::RETRY_US);
            self.after(delay, Event::NextOperation { client });
        }
    }

    /// An onlooker goes on, unless the cut is healed: with a write or a read, once another leads.
    pub(super) fn next_onlooking(&mut self, client: usize) {
        let isolated = self.onlooking.isolated.filter(|_| !self.healed);
        let Some(isolated) = isolated else { return };
        match self.onlook(client, isolated) {
            Some((node, task)) => {
                let id = self.fresh_id();
                self.begin_operation(id, client, node, task);
            }
            None => self.after(PAUSE_US, Event::NextOperation { client }),
        }
    }

    /// What it does, and at which gateway.
    fn onlook(&mut self, client: usize, isolated: Isolated) -> Option<(usize, Task)> {
        let Isolated { group, leader, .. } = isolated;
        self.look_for_leader(group);
        if self.groups[group].leader_node() == leader {
            return None;
        }
        let key = watched(&self.ring, self.groups[group].id);
        if reads(client) {
            return self.nodes[leader].up.then_some((leader, Task::Look(Look::Key(key))));
        }
        let node = self.gateway().filter(|&node| node != leader)?;
        let n = self.rng.below(1_000) as i64;
        let step = write(&key, Op::Put(Fields::from([("n".into(), n.into())])));
        let transaction = Transaction::new(Plan::of(vec![step]), self.now);
        Some((node, Task::Transaction(Box::new(transaction))))
    }

    /// A gateway asks the replica on its own node while that holds itself for the leader.
    pub(super) fn leads_at_home(&self, node: usize, group: usize) -> bool {
        let id = self.groups[group].id;
        let seen = self.deployment.as_ref().map(|it| it.leaders_seen(group, id));
        seen.unwrap_or_default().iter().any(|&(_, leader)| leader == node)
    }

    /// Somebody asks who only used to lead for what only the leader may answer.
    pub(super) fn note_deposed(&mut self, group: usize, node: usize, query: &Query) {
        if matches!(query, Query::Peek(_) | Query::PeekRange(..) | Query::At(..)) {
            return;
        }
        let id = self.groups[group].id;
        let seen = self.deployment.as_ref().map(|it| it.leaders_seen(group, id));
        let seen = seen.unwrap_or_default();
        let own = seen.iter().find(|&&(_, leader)| leader == node);
        if own.is_some_and(|own| seen.iter().any(|other| other.0 > own.0)) {
            self.hit(Probe::DeposedAsked);
        }
    }
}

/// Whether a client is one of these.
pub(super) fn is_onlooker(client: usize) -> bool {
    ONLOOKERS.contains(&client)
}

fn reads(client: usize) -> bool {
    client.is_multiple_of(2)
}

/// The record of a group that onlookers write and read.
fn watched(ring: &Ring, group: GroupId) -> Key {
    let mut names = (0..).map(|n| format!("watched-{n}"));
    let partition = names.find(|name| ring.group_of(name) == Some(group));
    let partition = partition.expect("every group has partitions");
    Key::new("watched", &partition, "").expect("the key is valid")
}
