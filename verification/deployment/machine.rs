//! The server's machine, watched: what a replica applies is told to the world.

#[path = "../../src/server/machine.rs"]
mod of_the_server;

use super::{AppliedEntry, Report};
use bytes::Bytes;
use of_the_server::Machine;
use tokio::sync::mpsc::UnboundedSender;
use vatic_core::{group::Group, id::GroupId, rules::Rules};
use vatic_store::{View, Writer};

pub(super) struct Watched {
    machine: Machine,
    group: GroupId,
    node: usize,
    life: u32,
    reports: UnboundedSender<Report>,
}

impl Watched {
    pub(super) fn new(
        group: GroupId,
        node: usize,
        life: u32,
        reports: UnboundedSender<Report>,
    ) -> Watched {
        Watched { machine: Machine::new(group), group, node, life, reports }
    }
}

impl vatic_consensus::Machine for Watched {
    fn apply(&mut self, state: &mut Writer, index: u64, commands: &[Bytes]) -> Vec<Bytes> {
        let replies = self.machine.apply(state, index, commands);
        let chain = Group::of_view(self.group, state, Rules::default()).chain();
        let (commands, replies_told) = (commands.to_vec(), replies.clone());
        let entry = AppliedEntry { index, commands, replies: replies_told, chain };
        let (node, group) = (self.node, self.group);
        // An error: the run is over.
        let _ = self.reports.send(Report::Entry { node, group, entry });
        replies
    }

    fn restored(&mut self, state: &View) {
        self.machine.restored(state);
        let index = state.mark().map_or(0, |mark| mark.index);
        let group = Group::of_view(self.group, state, Rules::default());
        let undecided = !group.undecided(state).is_empty();
        let (node, life, group) = (self.node, self.life, self.group);
        let _ = self.reports.send(Report::Restored { node, life, group, index, undecided });
    }
}
