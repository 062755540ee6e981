//! What leaders append to their groups' histories: events made up here, since nobody foresees
//! anything in this world, and now and then a batch that was proposed before.

use super::World;
use crate::{event::Proposed, probe::Probe, violation::Check};
use std::{collections::BTreeSet, rc::Rc};
use vatic_core::{
    codec,
    command::{Cause, Command, Why},
    conflict::Features,
    expected::STEP,
    history::{Batch, Event, Foreseen, Strayed, What},
    id::Tid,
    policy::Validation,
};

/// Events of a batch; the last is one more than a batch may have.
const EVENTS: [u64; 5] = [1, 1, 2, 3, 4];

impl World {
    /// A leader appends what it saw, or does not know whether it did and tries again.
    pub(super) fn note_some(&mut self, group: usize, node: usize) {
        let keeping = self.swarm.keeping.clone();
        if !self.rng.chance(keeping.notes) {
            return;
        }
        if let Some(noted) = self.groups[group].noted.clone()
            && self.rng.chance(keeping.notes_again)
        {
            self.hit(Probe::HistoryRepeated);
            return self.propose(group, node, noted, None);
        }
        let events = (0..*self.rng.pick(&EVENTS)).map(|_| self.seen(group, node)).collect();
        let (node_id, sequence) = (node as u64, self.fresh_id());
        let command = Command::History(Box::new(Batch { node: node_id, sequence, events }));
        let bytes = codec::encode(&command);
        let noted = Rc::new(Proposed { command, bytes });
        self.groups[group].noted = Some(noted.clone());
        self.propose(group, node, noted, None);
    }

    /// No other event is about the same transaction.
    fn seen(&mut self, group: usize, node: usize) -> Event {
        let (mint, home) = (self.clock(node), self.groups[group].id);
        let tid = Tid { mint, home, nonce: self.fresh_id() };
        let what = match self.rng.chance(500) {
            true => {
                let (key, by) = (self.rng.pick(&self.accounts).clone(), tid);
                What::Conflict(Cause { group: home, why: Why::Locked { key, by } })
            }
            false => match self.rng.between(1, 100) as u32 {
                class @ 91.. => What::Strayed(Box::new(Strayed {
                    class: u64::from(class),
                    score: 2 * STEP,
                    tolerance: STEP,
                    validation: Validation::Observe,
                    rolled_back: None,
                })),
                weight => What::Accepted { weight },
            },
        };
        let features = Features { user: self.rng.below(9), ..Features::default() };
        let foreseen = Foreseen {
            features,
            propensity_ppm: 1_000_000,
            score_ppm: Some(self.rng.below(1_000_000) as u32),
            model_version: 1,
        };
        let foreseen = self.rng.chance(500).then(|| Box::new(foreseen));
        let (claimed, in_turn, took_us) = (false, false, self.rng.below(10_000));
        Event { at_us: mint.0, tid, what, foreseen, claimed, in_turn, took_us }
    }

    /// A batch counts once, however often it came.
    pub(super) fn check_history(&mut self, group: usize, replica: usize) {
        let target = &self.groups[group];
        let held = &target.replicas[replica];
        let mut known = BTreeSet::new();
        let rows = held.machine.events_after(&held.state, 0, usize::MAX).rows;
        let twice = rows.iter().map(|(_, row)| row.event.tid).find(|tid| !known.insert(*tid));
        if let Some(tid) = twice {
            let detail = format!("group {}: what was seen of {tid} is there twice", target.id);
            self.violate(Check::History, detail);
        }
    }
}
