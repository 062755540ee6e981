//! What a group's entries are applied to. The server implements it with the core's group.
//!
//! Why the state is handed in: what is applied and the mark of how far it was applied must become
//! visible, and durable, as one. So consensus owns the writer and publishes both.
//!
//! Invariant: replicas that applied the same entries are equal. `apply` may depend on nothing but
//! the state and the commands: no clock, no randomness, no order of a hash map.

use bytes::Bytes;
use vatic_store::{View, Writer};

pub trait Machine: Send + 'static {
    /// Applies one entry and returns one reply for each command, in their order. Only the replica
    /// that proposed the entry delivers the replies; `index` is the entry's place in the log.
    ///
    /// It cannot fail: what is wrong with a command is a reply. A panic ends the process.
    fn apply(
        &mut self,
        state: &mut vatic_store::Writer,
        index: u64,
        commands: &[Bytes],
    ) -> Vec<Bytes>;

    /// Applies one entry that was proposed elsewhere: nobody here waits for the replies.
    fn follow(&mut self, state: &mut vatic_store::Writer, index: u64, commands: &[Bytes]) {
        self.apply(state, index, commands);
    }

    /// The state was opened, or replaced by a snapshot: what is kept in memory beside it must be
    /// built again from it.
    fn restored(&mut self, state: &vatic_store::View);
}

/// Of a replica whose state is damaged: it applies nothing, and nobody waits for its replies.
pub(crate) struct Idle;

impl Machine for Idle {
    fn apply(&mut self, _state: &mut Writer, _index: u64, commands: &[Bytes]) -> Vec<Bytes> {
        vec![Bytes::new(); commands.len()]
    }

    fn restored(&mut self, _state: &View) {}
}
