//! The core's group as what a Raft group's entries are applied to.

use bytes::Bytes;
use fail::fail_point;
use vatic_core::{codec, group::Group, id::GroupId, memory::MemoryState, rules::Rules};
use vatic_store::{View, Writer};

/// One replica's group machine.
pub(crate) struct Machine {
    id: GroupId,
    group: Group,
}

impl Machine {
    /// Empty until [`vatic_consensus::Machine::restored`] shows it the state.
    pub(crate) fn new(id: GroupId) -> Machine {
        let group = Group::open(id, &MemoryState::default(), Rules::default());
        Machine { id, group }
    }
}

impl vatic_consensus::Machine for Machine {
    fn apply(&mut self, state: &mut Writer, index: u64, commands: &[Bytes]) -> Vec<Bytes> {
        fail_point!("server::apply");
        fail_point!(&format!("server::apply@{}", self.id));
        let applied = self.group.apply_entry(state, index, commands.iter().map(|c| c.as_ref()));
        fail_point!("server::applied");
        fail_point!(&format!("server::applied@{}", self.id));
        match applied {
            Ok(replies) => replies.iter().map(|reply| codec::encode(reply).into()).collect(),
            // One of two answers already given must be wrong: going on would only spread it.
            Err(halt) => panic!("{halt}"),
        }
    }

    fn follow(&mut self, state: &mut Writer, index: u64, commands: &[Bytes]) {
        fail_point!("server::apply");
        fail_point!(&format!("server::apply@{}", self.id));
        let followed = self.group.follow_entry(state, index, commands.iter().map(|c| c.as_ref()));
        fail_point!("server::applied");
        fail_point!(&format!("server::applied@{}", self.id));
        followed.unwrap_or_else(|halt| panic!("{halt}"));
    }

    fn restored(&mut self, state: &View) {
        self.group = Group::open(self.id, state, Rules::default());
    }
}
