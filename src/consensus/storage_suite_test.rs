//! openraft's own storage suite, on the real log and the real store; and what it cannot know:
//! the bound on purges, and that a failed write raises the alarm.

use std::sync::Arc;

use openraft::StorageError;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use vatic_log::Log;
use vatic_store::Store;

use crate::fatal::Fatal;
use crate::limits::Limits;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::state_machine::StateMachine;
use crate::testbed::{Alarms, KvMachine, open_log, store_limits};
use crate::types::{Entry, Types, log_id};

struct Builder;

/// Keeps the files for as long as a test of the suite runs.
struct Files {
    _log: Log,
    _dir: TempDir,
}

impl StoreBuilder<Types, LogStore, StateMachine, Files> for Builder {
    async fn build(&self) -> Result<(Files, LogStore, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let log = open_log(dir.path(), &Alarms::default());
        let store = Store::open(dir.path().join("store"), store_limits()).unwrap();
        let id = vatic_store::ReplicaId { group: 1, generation: 1 };
        let replica = store.replica(id);
        // The suite applies entries that it never logs, and purges what it never applies.
        replica.set_fence(|| u64::MAX);
        let log_store = log_store(&log, Fatal::abort(), Some(u64::MAX));
        let machine: Option<Box<dyn Machine>> = Some(Box::new(KvMachine::default()));
        let machine = StateMachine::open(1, store, replica, machine, Fatal::abort()).unwrap();
        Ok((Files { _log: log, _dir: dir }, log_store, machine))
    }
}

fn log_store(log: &Log, fatal: Fatal, purge_bound: Option<u64>) -> LogStore {
    let id = vatic_log::ReplicaId { group: 1, generation: 1 };
    let limits = Arc::new(Limits::production());
    LogStore::new(log.replica(id), limits, fatal, Arc::new(move || purge_bound))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_and_state_machine_pass_the_suite_of_openraft() {
    Suite::test_all(Builder).await.unwrap();
}

fn blank(index: u64) -> Entry {
    Entry::new_blank(log_id(1, index))
}

#[tokio::test]
async fn purge_past_what_the_store_has_flushed_is_deferred() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), &Alarms::default());
    let mut store = log_store(&log, Fatal::abort(), Some(3));
    store.blocking_append((0..8).map(blank)).await.unwrap();
    store.purge(log_id(1, 5)).await.unwrap();
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, None);
    assert_eq!(store.try_get_log_entries(..).await.unwrap().len(), 8);
    store.purge(log_id(1, 3)).await.unwrap();
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 3)));
}

#[tokio::test]
async fn log_that_is_opened_again_has_its_vote_and_entries() {
    let dir = tempfile::tempdir().unwrap();
    let vote = openraft::Vote::new_committed(7, 1.into());
    {
        let log = open_log(dir.path(), &Alarms::default());
        let mut store = log_store(&log, Fatal::abort(), None);
        store.save_vote(&vote).await.unwrap();
        store.blocking_append((0..8).map(blank)).await.unwrap();
        store.save_committed(Some(log_id(1, 4))).await.unwrap();
    }
    let log = open_log(dir.path(), &Alarms::default());
    let mut store = log_store(&log, Fatal::abort(), None);
    assert_eq!(store.read_vote().await.unwrap(), Some(vote));
    assert_eq!(store.read_committed().await.unwrap(), Some(log_id(1, 4)));
    assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(log_id(1, 7)));
}

#[tokio::test]
async fn log_write_that_fails_raises_the_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), &Alarms::default());
    let alarms = Alarms::default();
    let mut store = log_store(&log, alarms.fatal(), None);
    store.blocking_append([blank(0)]).await.unwrap();
    assert!(alarms.heard().is_empty());
    // A hole in the log is a write that the log refuses.
    store.append([blank(5)], IOFlushed::noop()).await.unwrap();
    assert_eq!(alarms.heard().len(), 1);
}

#[tokio::test]
async fn reads_for_replication_stop_at_their_bound_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), &Alarms::default());
    let mut store = log_store(&log, Fatal::abort(), None);
    let block = bytes::Bytes::from(vec![7; 200 << 10]);
    let entry =
        |index| Entry::new_normal(log_id(1, index), crate::batch::Commands(vec![block.clone()]));
    store.blocking_append((0..8).map(entry)).await.unwrap();
    let bound = Limits::production().append_bytes_max;
    let read = store.limited_get_log_entries(0, 8).await.unwrap();
    assert_eq!(read.len(), bound.div_ceil(200 << 10));
    assert_eq!(store.try_get_log_entries(0..8).await.unwrap().len(), 8);
}
