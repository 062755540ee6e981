//! Reads outside transactions: single keys and ranges, strict ones over groups, snapshots.

use super::{
    World,
    operation::{Flow, Operation, Task},
};
use crate::{
    conformance::Taped,
    event::{Found, Query, Token},
    history::{Observed, SnapshotRead, StrictRead},
    limits,
    probe::Probe,
    sabotage::Sabotage,
};
use std::collections::BTreeMap;
use vatic_core::{
    command::Command,
    id::{GroupId, Timestamp},
    key::{Key, KeyRange},
    multiread::{MultiRead, ReadEffect, ReadEvent, Seen, Wanted},
    read::{Blocked, SnapshotFault},
};

/// One key or one range, strictly.
pub(super) enum Look {
    Key(Key),
    Range(KeyRange, usize),
}

/// Keys and ranges of several groups, strictly.
pub(super) struct Multi {
    wanted: BTreeMap<GroupId, Wanted>,
    machine: Taped<MultiRead>,
    /// What was asked and not answered, by group.
    open: BTreeMap<GroupId, (u32, Query)>,
}

/// Keys and ranges as of one timestamp.
pub(super) struct Snapshot {
    at: Timestamp,
    open: BTreeMap<GroupId, Wanted>,
    seen: Observed,
}

impl Multi {
    pub(super) fn new(world: &mut World, wanted: BTreeMap<GroupId, Wanted>) -> Multi {
        let plays = world.tape.as_mut().map(|tape| &mut tape.reads);
        let beginning = (wanted.clone(), limits::READ_TRIES_MAX);
        let machine = Taped::begin(beginning, world.options.rules, plays);
        Multi { wanted, machine, open: BTreeMap::new() }
    }
}

impl Snapshot {
    pub(super) fn new(at: Timestamp, wanted: BTreeMap<GroupId, Wanted>) -> Snapshot {
        Snapshot { at, open: wanted, seen: Observed::default() }
    }
}

impl World {
    pub(super) fn pursue_look(&mut self, operation: &mut Operation) -> Flow {
        let Task::Look(look) = &operation.task else { unreachable!("a look") };
        let (group, query) = match look {
            Look::Key(key) => (self.owner(key), Query::Get(key.clone())),
            Look::Range(range, limit) => {
                let group = self.ring.group_of(&range.partition).expect("the ring has groups");
                (group, Query::Scan(range.clone(), *limit))
            }
        };
        if self.sabotaged(Sabotage::StaleRead) && matches!(query, Query::Get(_)) {
            let at = self.group_at(group);
            let to = self.any_member(at);
            self.query_node(operation, group, to, operation.step, query);
        } else {
            self.query_leader(operation, group, operation.step, query);
        }
        Flow::Waits
    }

    pub(super) fn look_found(
        &mut self,
        operation: &mut Operation,
        group: GroupId,
        tag: u32,
        found: &Found,
    ) -> Flow {
        if tag != operation.step {
            return Flow::Waits;
        }
        let mut seen = Observed::default();
        match found {
            Found::Got(Ok(record)) => seen.records.push(record.clone()),
            Found::Scanned(Ok(found)) => seen.note_range(found),
            Found::Got(Err(Blocked { by })) => {
                self.hit(Probe::BlockedGet);
                return self.blocked(operation, group, *by);
            }
            Found::Scanned(Err(Blocked { by })) => {
                self.hit(Probe::BlockedScan);
                return self.blocked(operation, group, *by);
            }
            _ => return Flow::Waits,
        }
        self.note_strict(operation, seen)
    }

    fn note_strict(&mut self, operation: &Operation, seen: Observed) -> Flow {
        let (invoked_us, returned_us) = (operation.invoked_us, self.now);
        self.history.reads.push(StrictRead { invoked_us, returned_us, seen });
        Flow::Over
    }

    pub(super) fn pursue_multi(&mut self, operation: &mut Operation) -> Flow {
        let Task::Multi(multi) = &mut operation.task else { unreachable!("a multi-group read") };
        let mut end = None;
        while let Some(effect) = multi.machine.poll() {
            match effect {
                ReadEffect::Read { group, attempt, wanted } => {
                    multi.open.insert(group, (attempt, Query::Wanted(wanted)));
                }
                ReadEffect::Check { group, attempt, reads, ranges, since } => {
                    multi.open.insert(group, (attempt, Query::Check(reads, ranges, since)));
                }
                effect => end = Some(effect),
            }
        }
        let open: Vec<_> = multi.open.iter().map(|(&group, open)| (group, open.clone())).collect();
        match end {
            Some(ReadEffect::Answer(seen)) => {
                return self.note_strict(operation, observed(seen.into_values()));
            }
            Some(_) => return self.vote_instead(operation),
            None => {}
        }
        let dawdle = if self.healed { 0 } else { self.swarm.client.dawdle };
        for (group, (attempt, query)) in open {
            // It is asked when the operation's timer finds it open.
            if !self.rng.chance(dawdle) {
                self.query_leader(operation, group, attempt, query);
            }
        }
        Flow::Waits
    }

    pub(super) fn multi_found(
        &mut self,
        operation: &mut Operation,
        group: GroupId,
        attempt: u32,
        found: &Found,
    ) -> Flow {
        let Task::Multi(multi) = &mut operation.task else { unreachable!("a multi-group read") };
        let event = match (found, multi.open.get(&group)) {
            (Found::Seen(seen), Some((asked, Query::Wanted(_)))) if *asked == attempt => {
                ReadEvent::Saw { group, attempt, seen: seen.clone() }
            }
            (Found::Checked(stands), Some((asked, Query::Check(..)))) if *asked == attempt => {
                match stands {
                    Ok(true) => {}
                    Ok(false) => self.probes.hit(Probe::SecondPassFailed),
                    Err(_) => self.probes.hit(Probe::SecondPassBlocked),
                }
                ReadEvent::Checked { group, attempt, stands: *stands }
            }
            _ => return Flow::Waits,
        };
        multi.open.remove(&group);
        multi.machine.handle(event);
        if multi.open.is_empty() { Flow::Moved } else { Flow::Waits }
    }

    /// The read gives up its tries and takes read locks as a transaction.
    fn vote_instead(&mut self, operation: &mut Operation) -> Flow {
        self.hit(Probe::VoteInstead);
        let Task::Multi(multi) = &operation.task else { unreachable!("a multi-group read") };
        let wanted: Vec<Wanted> = multi.wanted.values().cloned().collect();
        operation.task = self.read_only_transaction(&wanted);
        Flow::Moved
    }

    pub(super) fn pursue_snapshot(&mut self, operation: &mut Operation) -> Flow {
        let Task::Snapshot(snapshot) = &operation.task else { unreachable!("a snapshot read") };
        let mut at = snapshot.at;
        for (group, wanted) in snapshot.open.clone() {
            let index = self.group_at(group);
            let to = self.any_member(index);
            self.query_node(operation, group, to, operation.step, Query::At(wanted, at));
            if self.sabotaged(Sabotage::TornSnapshot) {
                at = Timestamp(at.0.saturating_sub(10_000));
            }
        }
        Flow::Waits
    }

    pub(super) fn snapshot_found(
        &mut self,
        operation: &mut Operation,
        group: GroupId,
        found: &Found,
    ) -> Flow {
        let Task::Snapshot(snapshot) = &mut operation.task else { unreachable!("a snapshot read") };
        let Found::At(found) = found else { return Flow::Waits };
        let at = snapshot.at;
        match found {
            Ok(seen) => {
                if snapshot.open.remove(&group).is_some() {
                    let part = observed([seen.clone()]);
                    snapshot.seen.records.extend(part.records);
                    snapshot.seen.ranges.extend(part.ranges);
                }
                if !snapshot.open.is_empty() {
                    return Flow::Waits;
                }
                let seen = snapshot.seen.clone();
                self.history.snapshots.push(SnapshotRead { at, seen });
                Flow::Over
            }
            Err(SnapshotFault::BelowHorizon { .. }) => {
                self.hit(Probe::SnapshotBelowHorizon);
                Flow::Over
            }
            Err(SnapshotFault::ClockBehind { .. }) => self.advance(operation, group, at),
            Err(SnapshotFault::Blocked(Blocked { by })) => {
                self.hit(Probe::BlockedSnapshot);
                self.blocked(operation, group, *by)
            }
        }
    }

    /// Has the group's clock raised, unless the snapshot lies too far ahead.
    fn advance(&mut self, operation: &Operation, group: GroupId, at: Timestamp) -> Flow {
        if at > self.clock(operation.node).plus_us(limits::ADVANCE_AHEAD_US) {
            return Flow::Over;
        }
        self.hit(Probe::SnapshotAdvanced);
        self.ask(operation.node, group, Command::Advance { to: at }, Token::Nobody);
        Flow::Waits
    }
}

fn observed(seen: impl IntoIterator<Item = Seen>) -> Observed {
    let mut observed = Observed::default();
    for Seen { records, ranges, .. } in seen {
        observed.records.extend(records);
        ranges.iter().for_each(|found| observed.note_range(found));
    }
    observed
}
