//! Readers outside of transactions, on the core's own reads.
//!
//! A read of a group and the arrival of its answer are one step. Nothing is lost by that: a reader
//! only goes on when the last of a set of answers has arrived, so an answer that travels for long
//! is the same as one that is given early and awaited by nobody. Questions of earlier tries stay
//! around and may be answered at any time, which the core must tell apart by itself.

use crate::{
    commit::{
        client::{Atlas, RANGE_MAX, group_id, place_of},
        plan::{Item, ReaderKind, ReaderPlan},
        serial::Seen,
        site::Site,
        world::{ReadEnd, Reader},
    },
    shared::Shared,
};
use std::collections::BTreeMap;
use vatic_core::{
    id::{GroupId, Timestamp},
    multiread::{MultiRead, ReadEffect, ReadEvent, Seen as Found, Wanted},
    read::{RangeRecords, Record, SnapshotFault},
    rules::Rules,
};

/// Everything a reader's step needs.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// What it wants.
    pub plan: &'a ReaderPlan,
    /// Where the scenario's records lie.
    pub atlas: &'a Atlas,
    /// The groups.
    pub sites: &'a [Shared<Site>],
    /// The rules in force.
    pub rules: Rules,
}

impl Reading<'_> {
    /// Begins a strict read: it sends its first questions.
    pub fn start(&self, reader: &mut Reader, attempts_max: u32) {
        let wanted = (0..self.sites.len()).map(|at| (group_id(at), self.wanted(at)));
        let wanted: BTreeMap<GroupId, Wanted> = wanted
            .filter(|(_, wanted)| !wanted.keys.is_empty() || !wanted.ranges.is_empty())
            .collect();
        self.proceed(reader, MultiRead::start(wanted, attempts_max, self.rules));
    }

    /// A group answers one of a strict read's questions.
    pub fn answer(&self, reader: &mut Reader, asked: &ReadEffect) {
        let event = match asked {
            ReadEffect::Read { group, attempt, wanted } => {
                let (group, attempt) = (*group, *attempt);
                ReadEvent::Saw { group, attempt, seen: self.look(place_of(group), wanted) }
            }
            ReadEffect::Check { group, attempt, reads, ranges, since } => {
                let (group, attempt) = (*group, *attempt);
                let site = &self.sites[place_of(group)];
                let stands = site.group.still_stands(&site.state, reads, ranges, *since);
                ReadEvent::Checked { group, attempt, stands: stands.map_err(|blocked| blocked.by) }
            }
            ReadEffect::Answer(_) | ReadEffect::VoteInstead(_) => unreachable!("asks no group"),
        };
        let mut machine = (**reader.machine.as_ref().expect("it asked")).clone();
        machine.handle(event);
        self.proceed(reader, machine);
    }

    /// A linearizable read in one group.
    pub fn try_get(&self, reader: &mut Reader) {
        let mut seen = Seen::new();
        for item in &self.plan.items {
            match self.get(item) {
                Some(records) => seen.extend(self.atlas.seen(item, &records)),
                None => return,
            }
        }
        reader.end = Some(ReadEnd::Answered(seen));
    }

    /// Reads one group's share of a snapshot.
    pub fn try_snapshot(&self, reader: &mut Reader, place: usize, at: u64) {
        let mut found = Seen::new();
        for item in self.items_in(place) {
            match self.get_at(item, at) {
                Ok(records) => found.extend(self.atlas.seen(item, &records)),
                Err(SnapshotFault::BelowHorizon { .. }) => {
                    reader.end = Some(ReadEnd::GaveUp);
                    return;
                }
                Err(_) => return,
            }
        }
        reader.found.insert(place, found);
        if reader.found.len() == self.sites.len() {
            let seen = reader.found.values().flatten().copied().collect();
            reader.end = Some(ReadEnd::Answered(seen));
        }
    }

    /// Whether a linearizable read meets an undecided write now.
    pub fn is_blocked(&self) -> bool {
        self.plan.kind == ReaderKind::Get && self.plan.items.iter().any(|i| self.get(i).is_none())
    }

    /// What a snapshot read meets in a group now.
    pub fn snapshot_fault(&self, place: usize) -> Option<SnapshotFault> {
        let ReaderKind::Snapshot { at } = self.plan.kind else { return None };
        self.items_in(place).find_map(|item| self.get_at(item, at).err())
    }

    fn get(&self, item: &Item) -> Option<Vec<Record>> {
        let site = self.site_of(item);
        match item {
            Item::Key(key) => {
                let record = site.group.get(&site.state, self.atlas.key(*key));
                record.ok().map(|record| vec![record])
            }
            Item::Range(keys) => {
                let range = self.atlas.range(keys);
                let found = site.group.scan(&site.state, &range, RANGE_MAX);
                found.ok().map(|found| found.records)
            }
        }
    }

    fn get_at(&self, item: &Item, at: u64) -> Result<Vec<Record>, SnapshotFault> {
        let (site, at) = (self.site_of(item), Timestamp(at));
        match item {
            Item::Key(key) => {
                site.group.get_at(&site.state, self.atlas.key(*key), at).map(|record| vec![record])
            }
            Item::Range(keys) => {
                let range = self.atlas.range(keys);
                let found = site.group.scan_at(&site.state, &range, RANGE_MAX, at);
                found.map(|found| found.records)
            }
        }
    }

    fn proceed(&self, reader: &mut Reader, mut machine: MultiRead) {
        while let Some(effect) = machine.poll() {
            match effect {
                ReadEffect::Answer(found) => {
                    reader.end = Some(ReadEnd::Answered(self.answered(&found)));
                }
                ReadEffect::VoteInstead(_) => reader.end = Some(ReadEnd::GaveUp),
                question => _ = reader.asked.insert(Shared::new(question)),
            }
        }
        reader.machine = Some(Shared::new(machine));
    }

    fn answered(&self, found: &BTreeMap<GroupId, Found>) -> Seen {
        let mut seen = Seen::new();
        for (&group, Found { records, ranges, .. }) in found {
            let in_ranges = ranges.iter().flat_map(|RangeRecords { records, .. }| records);
            let records: Vec<Record> = records.iter().chain(in_ranges).cloned().collect();
            for item in self.items_in(place_of(group)) {
                seen.extend(self.atlas.seen(item, &records));
            }
        }
        seen
    }

    fn look(&self, place: usize, wanted: &Wanted) -> Found {
        let site = &self.sites[place];
        site.group.first_pass(&site.state, wanted)
    }

    fn wanted(&self, place: usize) -> Wanted {
        let mut wanted = Wanted::default();
        for item in self.items_in(place) {
            match item {
                Item::Key(key) => wanted.keys.push(self.atlas.key(*key).clone()),
                Item::Range(keys) => wanted.ranges.push((self.atlas.range(keys), RANGE_MAX)),
            }
        }
        wanted
    }

    fn items_in(&self, place: usize) -> impl Iterator<Item = &Item> {
        let here = move |item: &&Item| self.place_of(item) == place;
        self.plan.items.iter().filter(here)
    }

    fn site_of(&self, item: &Item) -> &Site {
        &self.sites[self.place_of(item)]
    }

    fn place_of(&self, item: &Item) -> usize {
        self.atlas.place(item.keys()[0])
    }
}
