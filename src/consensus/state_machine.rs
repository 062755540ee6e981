//! openraft's state machine, over one replica of the node's store and the server's [`Machine`].
//!
//! Why entries are published in groups: what one call applies becomes visible at once, with one
//! mark, and the replies follow; a reader that heard a reply sees what it promised.
//!
//! Invariants: a mark is published with exactly the writes of the entries up to it; replies go out
//! after that; the state is on disk before a snapshot is reported as installed; an error here ends
//! the process, since a replica that skipped an entry would diverge.

use std::io;
use std::sync::Mutex;

use bytes::Bytes;
use fail::fail_point;
use futures::{Stream, TryStreamExt};
use openraft::alias::SnapshotOf;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use vatic_store::{Mark, Replica, Store, Writer};

use crate::batch::Replies;
use crate::codec::{decode, encode};
use crate::fatal::Fatal;
use crate::machine::{Idle, Machine};
use crate::snapshot::{Builder, FLUSH_DEADLINE, SnapshotHandle, current};
use crate::types::{LogId, Membership, SnapshotMeta, Types};

/// Entries that one publish may cover.
const PUBLISH_ENTRIES_MAX: usize = 64;

pub(crate) struct StateMachine {
    group: u32,
    store: Store,
    replica: Replica,
    writer: Writer,
    /// In a mutex only because openraft wants `Sync`; never locked, always `get_mut`.
    machine: Mutex<Box<dyn Machine>>,
    applied: SnapshotMeta,
    /// The state serves nobody; so neither does one that is installed over it.
    hidden: bool,
    fatal: Fatal,
}

impl StateMachine {
    /// Takes the replica's writer, and shows the machine the state as it was left. Without a
    /// machine the state is hidden, and entries are applied to nothing.
    pub(crate) fn open(
        group: u32,
        store: Store,
        replica: Replica,
        machine: Option<Box<dyn Machine>>,
        fatal: Fatal,
    ) -> io::Result<Self> {
        let hidden = machine.is_none();
        if hidden {
            replica.hide();
        }
        let applied = match replica.applied() {
            Some(mark) => decode::<SnapshotMeta>(&mark.meta)?,
            None => SnapshotMeta::default(),
        };
        let writer = replica.writer();
        let machine = Mutex::new(machine.unwrap_or_else(|| Box::new(Idle)));
        let mut this = Self { group, store, replica, writer, machine, applied, hidden, fatal };
        this.restored();
        Ok(this)
    }

    fn restored(&mut self) {
        let view = self.replica.view();
        let machine = self.machine.get_mut().unwrap_or_else(|p| p.into_inner());
        self.fatal.guard(&what(self.group, "restoring the machine"), || machine.restored(&view));
    }

    /// Applies one entry to the unpublished state; answers its commands where somebody waits.
    fn apply_entry(&mut self, log_id: LogId, payload: &Body, answered: bool) -> Vec<Bytes> {
        self.applied.last_log_id = Some(log_id);
        match payload {
            EntryPayload::Blank => Vec::new(),
            EntryPayload::Membership(membership) => {
                self.applied.last_membership = Membership::new(Some(log_id), membership.clone());
                Vec::new()
            }
            EntryPayload::Normal(commands) => {
                let machine = self.machine.get_mut().unwrap_or_else(|p| p.into_inner());
                fail_point!("consensus::apply");
                let writer = &mut self.writer;
                if !answered {
                    machine.follow(writer, log_id.index, &commands.0);
                    return Vec::new();
                }
                let replies = machine.apply(writer, log_id.index, &commands.0);
                assert_eq!(replies.len(), commands.0.len(), "one reply for each command");
                replies
            }
        }
    }

    fn publish(&mut self, answers: &mut Vec<Answer>) {
        let last = self.applied.last_log_id.expect("an entry was applied");
        self.writer.publish(Mark { index: last.index, meta: encode(&self.applied) });
        fail_point!("consensus::apply_published");
        for (responder, replies) in answers.drain(..) {
            responder.send(Replies(replies));
        }
    }

    async fn apply_all<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin,
    {
        let (fatal, what) = (self.fatal.clone(), what(self.group, "apply"));
        let mut answers = Vec::new();
        let mut unpublished = 0;
        while let Some((entry, responder)) = entries.try_next().await? {
            fatal.guard(&what, || {
                let answered = responder.is_some();
                let replies = self.apply_entry(entry.log_id, &entry.payload, answered);
                answers.extend(responder.map(|responder| (responder, replies)));
                unpublished += 1;
                if unpublished == PUBLISH_ENTRIES_MAX {
                    self.publish(&mut answers);
                    unpublished = 0;
                }
            });
        }
        if unpublished > 0 {
            fatal.guard(&what, || self.publish(&mut answers));
        }
        Ok(())
    }

    async fn install(&mut self, meta: &SnapshotMeta, handle: SnapshotHandle) -> io::Result<()> {
        let last = meta.last_log_id.ok_or_else(|| io::Error::other("an empty snapshot"))?;
        let mark = Mark { index: last.index, meta: encode(meta) };
        let replica = self.replica.clone();
        fail_point!("consensus::snapshot_install");
        let installing = move || -> io::Result<()> {
            match handle {
                SnapshotHandle::Local(local) => {
                    replica.install(&local.file()?.path, mark).map_err(io::Error::other)
                }
                SnapshotHandle::Received(state) => state.install(mark).map_err(io::Error::other),
            }
        };
        tokio::task::spawn_blocking(installing).await.map_err(io::Error::other)??;
        fail_point!("consensus::snapshot_installed");
        self.applied = meta.clone();
        if self.hidden {
            self.replica.hide();
        }
        self.restored();
        Ok(())
    }

    fn checked<T>(&self, result: io::Result<T>, doing: &str) -> io::Result<T> {
        if let Err(error) = &result {
            self.fatal.raise(&format!("{} failed: {error}", what(self.group, doing)));
        }
        result
    }
}

type Body = crate::types::Payload;
type Answer = (ApplyResponder<Types>, Vec<Bytes>);

fn what(group: u32, doing: &str) -> String {
    format!("group {group}: {doing}")
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotHandle;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        Ok((self.applied.last_log_id, self.applied.last_membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let applied = self.apply_all(entries).await;
        self.checked(applied, "apply")
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let (store, replica) = (self.store.clone(), self.replica.clone());
        Builder { store, replica, flush_deadline: FLUSH_DEADLINE }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotHandle,
    ) -> io::Result<()> {
        let installed = self.install(meta, snapshot).await;
        self.checked(installed, "installing a snapshot")
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<Types, SnapshotHandle>>> {
        current(&self.replica)
    }
}
