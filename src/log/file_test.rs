//! The log on real files, with its thread.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;

use crate::{Entry, FileDisk, Limits, Log, OpenError, ReplicaId, ReplicaLog};

const PATIENCE: Duration = Duration::from_secs(20);

fn open(dir: &Path) -> Log {
    Log::open(Arc::new(FileDisk::open(dir).unwrap()), limits()).unwrap()
}

fn limits() -> Limits {
    Limits { segment_bytes: 64 << 10, entry_bytes_max: 4096, ..Limits::simulation() }
}

fn replica(group: u32) -> ReplicaId {
    ReplicaId { group, generation: 1 }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, payload: Bytes::from(format!("{index}/{term}").repeat(20)) }
}

/// Calls with a `done`, and waits for it.
fn wait(call: impl FnOnce(Box<dyn FnOnce(io::Result<()>) + Send>)) -> io::Result<()> {
    let (send, receive) = channel();
    call(Box::new(move |result| send.send(result).unwrap()));
    receive.recv_timeout(PATIENCE).expect("done was not called")
}

fn append(log: &ReplicaLog, range: std::ops::Range<u64>, term: u64) {
    let entries = range.map(|index| entry(index, term)).collect();
    wait(|done| log.append(entries, done)).unwrap();
}

#[test]
fn closed_log_reopens_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let one = log.replica(replica(1));
    append(&one, 0..500, 3);
    wait(|done| one.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    wait(|done| one.truncate_from(400, done)).unwrap();
    append(&one, 400..420, 4);
    wait(|done| one.purge_to(99, Bytes::from_static(b"99"), done)).unwrap();
    one.save_committed(Bytes::from_static(b"committed")).unwrap();
    let (state, entries) = (one.state(), one.read(0..1000).unwrap());
    assert!(one.is_durable(419) && !one.is_durable(420));
    drop(log);

    let log = open(dir.path());
    let one = log.replica(replica(1));
    assert_eq!(one.state(), state);
    assert_eq!(one.read(0..1000).unwrap(), entries);
    assert_eq!(entries.len(), 320);
    assert_eq!(one.durable_index(), Some(419));
    assert_eq!(log.replicas(), [replica(1)]);
}

#[test]
fn damage_after_a_clean_stop_refuses_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir.path().join("made/on/the/way"));
    append(&log.replica(replica(1)), 0..3, 1);
    drop(log);
    let path = dir.path().join("made/on/the/way/0000000000.segment");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.windows(6).rposition(|text| text == b"2/12/1").unwrap();
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let disk = FileDisk::open(path.parent().unwrap()).unwrap();
    assert!(matches!(Log::open(Arc::new(disk), limits()), Err(OpenError::Damaged { .. })));
}

#[test]
fn second_opener_of_a_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _log = open(dir.path());
    assert_eq!(FileDisk::open(dir.path()).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn interrupted_creation_leaves_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()).replica(replica(1)), 0..3, 1);
    std::fs::write(dir.path().join("0000000009.new"), b"half").unwrap();
    assert_eq!(open(dir.path()).replica(replica(1)).read(0..9).unwrap().len(), 3);
    assert!(!dir.path().join("0000000009.new").exists());
}

#[test]
fn another_segment_size_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()).replica(replica(1)), 0..3, 1);
    let disk = Arc::new(FileDisk::open(dir.path()).unwrap());
    let other = Limits { segment_bytes: 128 << 10, ..limits() };
    let refused = Log::open(disk, other);
    assert!(matches!(refused, Err(OpenError::SegmentBytes { found: 65_536, .. })));
}

#[test]
fn writers_of_many_replicas_share_the_log_and_all_find_their_entries() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    std::thread::scope(|scope| {
        for group in 0..40 {
            let one = log.replica(replica(group));
            scope.spawn(move || {
                for index in 0..50 {
                    append(&one, index..index + 1, u64::from(group));
                    let from = index.saturating_sub(30);
                    assert_eq!(one.read(from..index + 1).unwrap().len() as u64, index + 1 - from);
                }
                wait(|done| one.purge_to(9, Bytes::new(), done)).unwrap();
            });
        }
    });
    drop(log);
    let log = open(dir.path());
    for group in 0..40 {
        let wanted: Vec<_> = (10..50).map(|index| entry(index, u64::from(group))).collect();
        assert_eq!(log.replica(replica(group)).read(0..100).unwrap(), wanted);
    }
}

/// On a real disk: `VATIC_LOG_SMALL_DISK` names a folder on a file system of a few MiB, with a file
/// `filler` in it.
#[test]
#[ignore = "needs a small disk"]
fn small_real_disk_fills_and_has_room_again_without_a_write() {
    let small = std::path::PathBuf::from(std::env::var("VATIC_LOG_SMALL_DISK").unwrap());
    // Large enough that the next one is asked for before it is full.
    let limits = Limits { segment_bytes: 1 << 20, ..limits() };
    let open = || {
        let disk = FileDisk::open(small.join("log")).unwrap();
        Log::open(Arc::new(disk), limits.clone()).unwrap()
    };
    let log = open();
    let one = log.replica(replica(1));
    let mut index = 0;
    while log.room().is_ok() {
        append(&one, index..index + 50, 1);
        index += 50;
        assert!(index < 1_000_000, "the disk is not small");
    }
    // Decisions still fit into what is left.
    assert!(log.room().unwrap_err().left_bytes > 512 << 10);
    append(&one, index..index + 100, 1);
    std::fs::remove_file(small.join("filler")).expect("who runs this puts a file there");
    let deadline = std::time::Instant::now() + PATIENCE;
    while log.is_full() {
        assert!(std::time::Instant::now() < deadline, "the log is still full");
        std::thread::yield_now();
    }
    drop(log);
    assert_eq!(open().replica(replica(1)).state().last, Some((index + 99, 1)));
}
