//! Snapshots and installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vatic_core::state::State;

use crate::fixture::unfenced;
use crate::fixture::{ID, entries, eventually, manual, mark, open, panics, put, temp_dir, text};
use crate::flush::{Candidate, write_one};
use crate::job::Job;
use crate::{InstallError, ReplicaId, SnapshotError, Store};

/// A snapshot at index 9 of `count` entries, copied to `to`.
fn snapshot(to: &Path, count: u32) -> PathBuf {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    for entry in 0..count {
        put(&mut writer, &format!("{entry:04}"), &format!("new {entry:03}"));
    }
    writer.publish(mark(9));
    let file = replica.snapshot().expect("there is a state");
    let copy = to.join("copy.snap");
    fs::copy(file.path, &copy).expect("the file is there");
    copy
}

/// A store whose replica holds one old entry at index 5, flushed.
fn old_store(dir: &Path) -> (Store, crate::Replica, crate::Writer) {
    let store = open(dir, manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    put(&mut writer, "old", "value");
    writer.publish(mark(5));
    assert_eq!(store.flush_now().held_back, []);
    (store, replica, writer)
}

#[test]
fn snapshot_installed_elsewhere_gives_an_equal_state() {
    let (from, to) = (temp_dir(), temp_dir());
    let source = open(from.path(), manual());
    let origin = unfenced(&source);
    let mut writer = origin.writer();
    for entry in 0..1_000 {
        put(&mut writer, &format!("{entry}"), &"x".repeat(entry % 300));
    }
    writer.delete(b"17");
    put(&mut writer, "", "of the empty key");
    writer.publish(mark(9));
    let file = origin.snapshot().expect("there is a state");
    assert_eq!((file.mark.clone(), origin.flushed()), (mark(9), Some(mark(9))));

    let (store, replica, mut writer) = old_store(to.path());
    let before = replica.view();
    replica.install(&file.path, file.mark).expect("the file is whole");
    assert_eq!(replica.view().digest(), origin.view().digest());
    assert_eq!((replica.applied(), replica.flushed()), (Some(mark(9)), Some(mark(9))));
    assert_eq!(text(&before, "old").as_deref(), Some("value"), "a view stays at its moment");
    assert_eq!(text(&writer, "old"), None, "the writer goes on from the new state");
    put(&mut writer, "after", "install");
    writer.publish(mark(10));
    assert_ne!(replica.view().digest(), origin.view().digest());
    store.flush_now();
    drop((before, writer, replica, store));

    let store = open(to.path(), manual());
    let replica = store.replica(ID);
    assert_eq!(replica.applied(), Some(mark(10)));
    assert_eq!(entries(&replica.view()).len(), 1_001);
    eventually("old state deleted", || replica.cell.pair().base.entries() == 1_001);
}

#[test]
fn equal_states_have_equal_digests_and_shifted_bytes_do_not() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let ids = [1, 2, 3].map(|generation| ReplicaId { group: 1, generation });
    let states = [("ab", "c"), ("ab", "c"), ("a", "bc")];
    let mut digests = Vec::new();
    for (id, (key, value)) in ids.into_iter().zip(states) {
        let mut writer = store.replica(id).writer();
        put(&mut writer, key, value);
        writer.publish(mark(1));
        digests.push(store.replica(id).view().digest());
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
}

#[test]
fn snapshot_of_an_unflushed_replica_is_refused() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = store.replica(ID);
    let mut writer = replica.writer();
    put(&mut writer, "a", "1");
    writer.publish(mark(1));
    assert!(matches!(replica.snapshot(), Err(SnapshotError::Empty)), "no fence, so no flush");
}

#[test]
fn snapshot_holds_what_is_flushed_and_nothing_beyond() {
    let dir = temp_dir();
    let (_store, replica, mut writer) = old_store(dir.path());
    replica.set_fence(|| 5);
    put(&mut writer, "old", "not durable in the log");
    writer.publish(mark(6));
    let file = replica.snapshot().expect("there is a state");
    assert_eq!(file.mark, mark(5));
    replica.install(&file.path, mark(5)).expect("the file is whole");
    assert_eq!(text(&replica.view(), "old").as_deref(), Some("value"));
}

#[test]
fn latest_snapshot_replaces_the_older_one_and_survives_reopening() {
    let dir = temp_dir();
    let (store, replica, mut writer) = old_store(dir.path());
    assert_eq!(replica.latest_snapshot(), None);
    let first = replica.snapshot().expect("there is a state");
    assert_eq!(replica.latest_snapshot(), Some(first.clone()));
    put(&mut writer, "a", "1");
    writer.publish(mark(12));
    let second = replica.snapshot().expect("there is a state");
    assert_eq!(replica.latest_snapshot(), Some(second.clone()));
    assert!(!first.path.exists());
    let stray = replica.snapshot_dir().join("half-received");
    fs::write(&stray, b"x").unwrap();
    drop((writer, replica, store));

    let store = open(dir.path(), manual());
    let replica = store.replica(ID);
    assert_eq!(replica.latest_snapshot(), Some(second.clone()));
    assert!(!stray.exists(), "what an interrupted transfer left is deleted");
    let other = store.replica(ReplicaId { group: ID.group, generation: 77 });
    assert_eq!(other.latest_snapshot(), None);
    let kept = other.keep_snapshot(&second.path).expect("the file is whole");
    assert_eq!(other.latest_snapshot(), Some(kept));
    store.remove_replica(other.id());
    assert_eq!(other.latest_snapshot(), None);
}

#[test]
fn snapshot_with_any_byte_changed_is_refused_and_changes_nothing() {
    let dir = temp_dir();
    let file = snapshot(dir.path(), 12);
    let (_store, replica, _writer) = old_store(&dir.path().join("store"));
    let whole = fs::read(&file).unwrap();
    let before = replica.view().digest();
    let damaged = dir.path().join("damaged");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&damaged, &bytes).unwrap();
        assert!(replica.install(&damaged, mark(9)).is_err(), "byte {at} was changed");
        fs::write(&damaged, &whole[..at]).unwrap();
        assert!(replica.install(&damaged, mark(9)).is_err(), "cut to {at} bytes");
    }
    fs::write(&damaged, [&whole[..], b"x"].concat()).unwrap();
    assert!(replica.install(&damaged, mark(9)).is_err(), "a byte too many");
    assert_eq!((replica.view().digest(), replica.applied()), (before, Some(mark(5))));
    replica.install(&file, mark(9)).expect("the undamaged file installs");
}

#[test]
fn snapshot_with_swapped_chunks_is_refused() {
    let dir = temp_dir();
    // Two chunks of equal length: swapping them leaves every chunk's own bytes intact.
    let bytes = fs::read(snapshot(dir.path(), 20)).unwrap();
    let header = 8 + 4 + 4 + 4 + (1 + 8 + "meta of 9".len()) + 4;
    let length = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize + 8;
    let (first, second) = (length(header), length(header + length(header)));
    assert_eq!(first, second);
    let (one, rest) = bytes[header..].split_at(first);
    let (two, rest) = rest.split_at(second);
    let swapped = dir.path().join("swapped");
    fs::write(&swapped, [&bytes[..header], two, one, rest].concat()).unwrap();
    let (_store, replica, _writer) = old_store(&dir.path().join("store"));
    let error = replica.install(&swapped, mark(9)).expect_err("the chunks are in the wrong order");
    assert!(matches!(error, InstallError::Damaged { what: "chunk checksum", .. }), "{error}");
}

#[test]
fn snapshot_at_another_index_than_expected_is_refused() {
    let dir = temp_dir();
    let file = snapshot(dir.path(), 3);
    let (_store, replica, _writer) = old_store(&dir.path().join("store"));
    let error = replica.install(&file, mark(8));
    assert!(matches!(error, Err(InstallError::Mark { found: 9, expected: 8 })), "{error:?}");
}

#[test]
fn snapshot_of_another_group_is_refused() {
    let dir = temp_dir();
    let file = snapshot(dir.path(), 3);
    let store = open(&dir.path().join("store"), manual());
    let other = store.replica(ReplicaId { group: ID.group + 1, ..ID });
    let error = other.install(&file, mark(9));
    let Err(InstallError::Group { found, expected }) = error else { panic!("{error:?}") };
    assert_eq!((found, expected), (ID.group, ID.group + 1));
}

#[test]
fn install_fences_a_flush_in_flight() {
    let dir = temp_dir();
    let file = snapshot(dir.path(), 3);
    let (store, replica, mut writer) = old_store(&dir.path().join("store"));
    let durable = Arc::new(AtomicU64::new(5));
    replica.set_fence({
        let durable = durable.clone();
        move || durable.load(Ordering::SeqCst)
    });
    put(&mut writer, "late", "frozen");
    writer.publish(mark(6));
    assert_eq!(store.flush_now().held_back, [ID]);
    put(&mut writer, "late", "active");
    writer.publish(mark(7));
    let stale = Candidate { cell: replica.cell.clone(), pair: replica.cell.pair() };
    assert!(stale.pair.frozen.is_some(), "a flush is in flight");

    replica.install(&file, mark(9)).expect("the file is whole");
    assert_eq!(store.usage().overlay_bytes, 0);
    durable.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(store.flush_now().held_back, []);
    assert_eq!(replica.flushed(), Some(mark(9)));
    // Even a flush that still holds the old overlay writes nothing.
    let written = Arc::new(AtomicBool::new(true));
    let seen = written.clone();
    let write = move |batch: &mut crate::lmdb::Batch<'_>| {
        seen.store(write_one(batch, &stale).unwrap(), Ordering::SeqCst);
    };
    store.shared().ask(|reply| Job::Tamper(Box::new(write), reply)).unwrap();
    assert!(!written.load(Ordering::SeqCst));
    drop((writer, replica, store));

    let replica = open(&dir.path().join("store"), manual()).replica(ID);
    assert_eq!(replica.applied(), Some(mark(9)));
    assert_eq!(text(&replica.view(), "late"), None);
    assert_eq!(entries(&replica.view()).len(), 3);
}

#[test]
fn install_that_a_close_interrupts_leaves_the_old_state_and_is_swept() {
    let dir = temp_dir();
    let (store, replica, writer) = old_store(dir.path());
    let begun = store.shared().ask(|reply| Job::BeginInstall(ID, reply)).unwrap();
    let installing = begun.expect("the replica is there");
    let half = (0..9_u8).map(|number| (vec![number], b"half".to_vec())).collect();
    assert!(store.shared().ask(|reply| Job::Fill(installing, half, reply)).unwrap());
    assert_eq!(replica.cell.pair().base.entries(), 10);
    drop((writer, store));
    assert!(matches!(
        replica.install(&snapshot(dir.path(), 2), mark(9)),
        Err(InstallError::Closed)
    ));
    drop(replica);

    let store = open(dir.path(), manual());
    let replica = store.replica(ID);
    assert_eq!(text(&replica.view(), "old").as_deref(), Some("value"));
    assert_eq!(replica.applied(), Some(mark(5)));
    eventually("half an install is deleted", || replica.cell.pair().base.entries() == 1);
}

#[test]
fn install_under_unpublished_writes_is_noticed_at_publish() {
    let dir = temp_dir();
    let file = snapshot(dir.path(), 3);
    let (_store, replica, mut writer) = old_store(&dir.path().join("store"));
    put(&mut writer, "a", "from the old state");
    replica.install(&file, mark(9)).expect("the file is whole");
    assert!(panics(|| writer.publish(mark(10))));
    assert_eq!(replica.applied(), Some(mark(9)));
}
