//! Records of several groups that come and go together, and are read together.
//!
//! A strict read over groups must not take a record that came and went between its two passes for
//! one that was absent all along. That shows only where another group's part moves at the same
//! moments; items, of which any is written alone, hardly ever meet like that.

use super::{
    World,
    operation::Task,
    reading::Multi,
    transaction::Transaction,
    workload::{Plan, write},
};
use std::collections::BTreeMap;
use vatic_core::{
    delta::Op,
    id::GroupId,
    key::{Key, KeyRange},
    multiread::Wanted,
    ring::Ring,
    value::Fields,
};

/// A record of each group, as far as one transaction may have participants.
pub(super) fn keys(ring: &Ring, participants_max: usize) -> Vec<Key> {
    let keys = || (0..).map(|n| Key::new("together", &format!("p{n}"), "").expect("it is plain"));
    let held = |&group| keys().find(|key| ring.group_of(&key.partition) == Some(group));
    let groups = ring.spec().groups.iter().take(participants_max);
    groups.map(|group| held(group).expect("each group holds some partition")).collect()
}

impl World {
    /// What a client does that does nothing else.
    pub(super) fn draw_together(&mut self) -> Task {
        if self.rng.chance(500) {
            return self.come_or_go();
        }
        let wanted = self.wanted_together();
        Task::Multi(Box::new(Multi::new(self, wanted)))
    }

    /// Writes all of them, or removes them: as a rule what was not done last.
    fn come_or_go(&mut self) -> Task {
        let n = self.rng.below(100) as i64;
        self.together_come = self.rng.chance(if self.together_come { 150 } else { 850 });
        let op = match self.together_come {
            true => Op::Put(Fields::from([("n".into(), n.into())])),
            false => Op::Delete,
        };
        let steps = self.together.iter().map(|key| write(key, op.clone())).collect();
        Task::Transaction(Box::new(Transaction::new(Plan::of(steps), self.now)))
    }

    /// All of them, each as itself or as what its partition holds.
    fn wanted_together(&mut self) -> BTreeMap<GroupId, Wanted> {
        let mut wanted: BTreeMap<GroupId, Wanted> = BTreeMap::new();
        for key in self.together.clone() {
            let group = wanted.entry(self.owner(&key)).or_default();
            match self.rng.chance(300) {
                true => {
                    let range = KeyRange::partition(&key.collection, &key.partition);
                    group.ranges.push((range, 1));
                }
                false => group.keys.push(key),
            }
        }
        wanted
    }
}
