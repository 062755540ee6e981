//! What oracles may ask of a cluster whose run is over.

use super::World;
use crate::probe::Probe;
use vatic_core::{
    aggregate::OutcomeRead,
    hash::Hash,
    id::{GroupId, Tid},
    key::{Key, KeyRange},
    read::{RangeRecords, Record},
    tolerance::{self, Tolerance},
};

impl World {
    /// A record as its group holds it, and who is about to write it.
    pub(crate) fn final_record(&self, key: &Key) -> (Record, Option<Tid>) {
        let held = &self.groups[self.group_at(self.owner(key))].replicas[0];
        held.machine.peek(&held.state, key)
    }

    pub(crate) fn final_range(&self, range: &KeyRange, limit: usize) -> RangeRecords {
        let owner = self.ring.group_of(&range.partition).expect("the ring has groups");
        let held = &self.groups[self.group_at(owner)].replicas[0];
        held.machine.peek_range(&held.state, range, limit).0
    }

    pub(crate) fn final_outcome(&self, tid: Tid) -> OutcomeRead {
        let held = &self.groups[self.group_at(tid.home)].replicas[0];
        held.machine.outcome(&held.state, tid)
    }

    /// Whether the home group still keeps the transaction's aggregate record.
    pub(crate) fn keeps_outcome(&self, tid: Tid) -> bool {
        let held = &self.groups[self.group_at(tid.home)].replicas[0];
        held.machine.keeps_outcome(&held.state, tid)
    }

    /// What a group tolerates of scores.
    pub(crate) fn final_tolerance(&self, group: GroupId) -> Tolerance {
        tolerance::of_group(&self.groups[self.group_at(group)].replicas[0].state)
    }

    /// A group's chain after an entry.
    pub(crate) fn chain_at(&self, group: GroupId, index: u64) -> Option<Hash> {
        let results = &self.groups[self.group_at(group)].results;
        let at = usize::try_from(index.checked_sub(1)?).ok()?;
        results.get(at).map(|result| result.chain.digest)
    }

    /// Why the cluster did not come to rest.
    pub(crate) fn what_is_left(&self) -> String {
        let groups = self.groups.iter().filter_map(|group| group.unrest(&self.core));
        let groups: Vec<String> = groups.collect();
        let without = self.core.without();
        format!(
            "{without}{}{} operations, {} coordinators, {} messages under way, {} tickets wait; {}",
            self.what_is_replaced(),
            self.operations.len(),
            self.coordinations.len(),
            self.in_flight,
            self.tickets_left(),
            groups.join("; ")
        )
    }

    /// Counts what committed, by how many groups took part.
    pub(crate) fn note_commits(&mut self) -> u64 {
        let committed = self.history.committed();
        for (_, attempt) in &committed {
            let groups = attempt.body.participants.len();
            self.probes.hit(if groups == 1 {
                Probe::CommittedAlone
            } else {
                Probe::CommittedTogether
            });
            if groups > 2 {
                self.probes.hit(Probe::CommittedThree);
            }
            if attempt.deltas.is_empty() {
                self.probes.hit(Probe::CommittedReadOnly);
            }
        }
        committed.len() as u64
    }
}
