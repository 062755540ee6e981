//! The reference of each real group: what its entries come to, computed once, in memory.
//!
//! The first replica that applies an entry shows it to the reference, which applies it by the core
//! alone. From then on every replica must have found the same commands at that index, given the
//! same replies and arrived at the same chain. In the end the states are compared byte for byte.

use super::{World, cluster::Entry};
use crate::{deployment::AppliedEntry, event::Proposed, faults::Fault, violation::Check};
use std::rc::Rc;
use vatic_core::{codec, command::Command, id::GroupId};

impl World {
    pub(super) fn entry_applied(&mut self, node: usize, id: GroupId, entry: AppliedEntry) {
        let group = self.group_at(id);
        let digest = &entry.chain.digest.0[..8];
        let digest = u64::from_be_bytes(digest.try_into().expect("eight bytes"));
        self.trace.note(&[node as u64, u64::from(id.0), entry.index, digest]);
        self.deployment_mut().note_applied(node, id, entry.index);
        if entry.index > self.groups[group].log.len() as u64 {
            self.show_reference(group, &entry);
        }
        if let Err(difference) = self.agrees(group, &entry) {
            let detail = format!("group {id}, entry {}, node {node}: {difference}", entry.index);
            self.violate(Check::Replicas, detail);
            self.halted = true;
        }
    }

    fn show_reference(&mut self, group: usize, entry: &AppliedEntry) {
        let commands = entry.commands.iter().map(|bytes| {
            let command = codec::decode::<Command>(bytes).expect("the world sends whole commands");
            Rc::new(Proposed { command, bytes: bytes.to_vec() })
        });
        let new = Entry::unclaimed(commands.collect());
        self.groups[group].skip_to(entry.index);
        if let Err(halt) = self.groups[group].apply_reference(entry.index, new.clone()) {
            self.halted = true;
            return self.violate(Check::NoHalt, halt);
        }
        let applied = self.groups[group].results.last().expect("just applied").applied.clone();
        for (proposed, applied) in new.commands().zip(&applied) {
            let (group, command) = (self.groups[group].id, &proposed.command);
            tracing::debug!(now = self.now, %group, entry.index, ?command, ?applied, "it applies");
        }
        self.observe_entry(group, 0, &new, &applied);
        self.tape_order(group);
    }

    fn agrees(&self, group: usize, entry: &AppliedEntry) -> Result<(), String> {
        let at = entry.index as usize - 1;
        let target = &self.groups[group];
        let (Some(known), Some(result)) = (target.log.get(at), target.results.get(at)) else {
            return Err("the reference has not got so far".into());
        };
        if !known.is_of(entry.commands.iter().map(AsRef::as_ref)) {
            return Err("other commands than elsewhere".into());
        }
        let replies = result.applied.iter().map(codec::encode);
        if !replies.eq(entry.replies.iter().map(|reply| reply.to_vec())) {
            return Err(format!("other replies than {:?}", result.applied));
        }
        if result.chain != entry.chain {
            return Err(format!("chain {:?}, it should be {:?}", entry.chain, result.chain));
        }
        Ok(())
    }

    /// Compares what all replicas hold with the reference, once all have applied everything.
    pub(super) fn compare_replicas(&mut self) {
        if !self.drained {
            return;
        }
        for group in 0..self.groups.len() {
            let id = self.groups[group].id;
            for node in self.groups[group].members.clone() {
                let Some(view) = self.deployment_mut().view(id, node) else {
                    self.violate(Check::Replicas, format!("node {node} lost group {id}"));
                    continue;
                };
                let mut held = std::collections::BTreeMap::new();
                view.scan_all(&mut |key, value| {
                    held.insert(key.to_vec(), value.to_vec());
                    true
                });
                let wanted = &self.groups[group].replicas[0].state.map().0;
                if held != *wanted {
                    let (has, should) = (held.len(), wanted.len());
                    let detail = format!("node {node}, group {id}: {has} rows, not {should}");
                    self.violate(Check::Replicas, detail);
                }
            }
        }
    }

    /// Who leads is looked at whenever it matters; a term has one leader.
    pub(super) fn note_elections(&mut self) {
        for group in 0..self.groups.len() {
            let (id, before) = (self.groups[group].id, self.deployment_mut().term(group));
            let seen = self.deployment_mut().leaders_seen(group, id);
            let leader = self.deployment_mut().leader(group, id);
            self.groups[group].set_leader_node(leader);
            if self.deployment_mut().term(group) > before && before > 0 {
                self.faults.hit(Fault::LeaderChange);
                self.note_new_leader(leader);
            }
            for (term, node) in seen {
                let elected = self.elected.entry((group, term)).or_insert(node);
                if *elected != node {
                    let detail = format!("group {id}, term {term}: {elected} and {node} lead");
                    self.violate(Check::Elections, detail);
                }
            }
        }
    }
}
