//! What a node knows of one group beside its replica: which generation of the replica is its own,
//! and which replicas of the other nodes took part.
//!
//! Why durable, and why here: a disk that was replaced comes up empty, and only the others can tell
//! that its replica once voted. And between "the old generation has ended" and "the new one has a
//! first entry" there is a moment in which neither log nor state says which of them is meant. So
//! one small record says it: it takes the place of a vote in the node's log, under a generation
//! that no replica ever has, and is on disk before whatever leans on it.
//!
//! Invariants: the own generation and those of others only rise; a replica is sent no message that
//! could bind it before its id is noted; a replica takes no message that could bind it before its
//! own generation is noted; a candidate or leader is not answered before its id is noted, since it
//! binds itself. So an id whose vote or entry was ever counted is known to whoever it was counted
//! with.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use vatic_log::{Log, ReplicaId, ReplicaLog};

use crate::codec::{decode, encode};
use crate::fatal::Fatal;
use crate::log_store::report;
use crate::types::RaftId;

/// The generation under which the record lies in the log.
pub(crate) const NOTES_GENERATION: u32 = u32::MAX;

pub(crate) struct Notes {
    log: ReplicaLog,
    fatal: Fatal,
    known: Mutex<Record>,
    /// Held while a new record is on its way to the disk.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of this node's replica; 0 where it has none.
    pub(crate) own: u32,
    /// The generation that was found to differ, or damaged; 0 for none.
    pub(crate) quarantined: u32,
    /// By node, the latest generation that was there to be spoken to, or spoke.
    pub(crate) met: BTreeMap<u32, u32>,
}

impl Notes {
    pub(crate) fn open(log: &Log, group: u32, fatal: Fatal) -> io::Result<Self> {
        let log = log.replica(ReplicaId { group, generation: NOTES_GENERATION });
        let known = match log.state().vote {
            Some(record) => decode::<Record>(&record)?,
            None => Record::default(),
        };
        let (known, writing) = (Mutex::new(known), tokio::sync::Mutex::default());
        Ok(Self { log, fatal, known, writing })
    }

    /// Which generation of the replica this node has, if it ever had one.
    pub(crate) fn own(&self) -> Option<u32> {
        Some(self.known().own).filter(|own| *own > 0)
    }

    pub(crate) fn is_quarantined(&self, generation: u32) -> bool {
        self.known().quarantined == generation
    }

    /// The latest generation of the node's replica that was spoken to; 0 for none.
    pub(crate) fn met(&self, node: u32) -> u32 {
        self.known().met.get(&node).copied().unwrap_or(0)
    }

    pub(crate) async fn set_own(&self, generation: u32) -> io::Result<()> {
        self.change(|record| record.own = record.own.max(generation)).await
    }

    pub(crate) async fn quarantine(&self, generation: u32) -> io::Result<()> {
        self.change(|record| record.quarantined = generation).await
    }

    pub(crate) async fn meet(&self, id: RaftId) -> io::Result<()> {
        self.change(|record| {
            let met = record.met.entry(id.node()).or_default();
            *met = id.generation().max(*met);
        })
        .await
    }

    /// Durable on return, and not seen by anybody before.
    async fn change(&self, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let _writing = self.writing.lock().await;
        let mut next = self.known().clone();
        change(&mut next);
        if next == *self.known() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        self.log.save_vote(encode(&next), move |result| drop(done.send(result)));
        let written = answer.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        written.inspect_err(|error| report(&self.fatal, error))?;
        *self.known() = next;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Record> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::Notes;
    use crate::fatal::Fatal;
    use crate::testbed::{Alarms, open_log};
    use crate::types::RaftId;

    #[tokio::test]
    async fn notes_that_are_opened_again_say_the_same() {
        let dir = tempfile::tempdir().unwrap();
        {
            let log = open_log(dir.path(), &Alarms::default());
            let notes = Notes::open(&log, 0, Fatal::abort()).unwrap();
            assert_eq!((notes.own(), notes.met(2)), (None, 0));
            notes.set_own(3).await.unwrap();
            notes.set_own(2).await.unwrap();
            notes.quarantine(3).await.unwrap();
            notes.meet(RaftId::new(2, 5)).await.unwrap();
            notes.meet(RaftId::new(2, 4)).await.unwrap();
        }
        let log = open_log(dir.path(), &Alarms::default());
        let notes = Notes::open(&log, 0, Fatal::abort()).unwrap();
        assert_eq!((notes.own(), notes.met(2), notes.met(3)), (Some(3), 5, 0));
        assert!(notes.is_quarantined(3) && !notes.is_quarantined(2));
        assert_eq!(Notes::open(&log, 1, Fatal::abort()).unwrap().own(), None);
    }
}
