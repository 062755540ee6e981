//! Writes that are refused, disks that fail, disks that are full; and what is durable when.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::drill::replica;
use crate::frame::frame_bytes_for;
use crate::{Entry, Limits, Log, Refusal, ReplicaId, SimDisk, Step, Writer};

fn open(disk: &SimDisk) -> (Log, Writer) {
    Log::open_stepped(Arc::new(disk.clone()), Limits::simulation(), Arc::new(|_| {})).unwrap()
}

fn entry(index: u64, bytes: usize) -> Entry {
    Entry { index, term: 1, payload: Bytes::from(vec![7; bytes]) }
}

type Outcome = Mutex<Option<io::Result<()>>>;

/// A `done` and what became of it.
fn outcome() -> (Arc<Outcome>, impl FnOnce(io::Result<()>) + Send + 'static) {
    let seen = Arc::new(Mutex::new(None));
    let kept = seen.clone();
    (seen, move |result| *kept.lock().unwrap() = Some(result))
}

fn refusal(seen: &Outcome) -> Refusal {
    let result = seen.lock().unwrap().take().expect("done was not called");
    let error = result.expect_err("the write was taken");
    error.get_ref().and_then(|e| e.downcast_ref::<Refusal>()).expect("no refusal").clone()
}

#[test]
fn misplaced_entries_are_refused_and_none_is_taken() {
    let (log, _writer) = open(&SimDisk::new());
    let one = log.replica(replica(1));
    one.append(vec![entry(4, 1), entry(5, 1)], |_| {});
    let (seen, done) = outcome();
    one.append(vec![entry(6, 1), entry(8, 1)], done);
    assert_eq!(refusal(&seen), Refusal::NotNext { replica: replica(1), expected: 7, found: 8 });
    assert_eq!(one.state().last, Some((5, 1)));

    let (seen, done) = outcome();
    one.append(vec![entry(6, 513)], done);
    assert!(matches!(refusal(&seen), Refusal::TooLarge { bytes: 513, max: 512, .. }));

    one.purge_to(4, Bytes::new(), |_| {});
    let (seen, done) = outcome();
    one.truncate_from(4, done);
    assert!(matches!(refusal(&seen), Refusal::TruncatesPurged { from: 4, purged: 4, .. }));
}

#[test]
fn replica_beyond_the_limit_is_refused() {
    let (log, _writer) = open(&SimDisk::new());
    let max = Limits::simulation().replicas_max();
    for group in 0..max as u32 {
        log.replica(replica(group)).append(vec![entry(0, 0)], |_| {});
    }
    let (seen, done) = outcome();
    log.replica(replica(9999)).save_vote(Bytes::new(), done);
    assert_eq!(refusal(&seen), Refusal::TooManyReplicas { replica: replica(9999), max });
}

#[test]
fn durable_index_follows_the_fsync_and_falls_with_a_truncation() {
    let (log, mut writer) = open(&SimDisk::new());
    let one = log.replica(replica(1));
    one.append((0..4).map(|index| entry(index, 10)).collect(), |r| r.unwrap());
    assert!(!one.is_durable(0));
    assert_eq!(writer.step(), Step::Wrote);
    assert_eq!(one.durable_index(), Some(3));

    one.append(vec![entry(4, 10)], |r| r.unwrap());
    one.truncate_from(2, |r| r.unwrap());
    assert_eq!(one.durable_index(), Some(1));
    one.append(vec![entry(2, 11), entry(3, 11)], |r| r.unwrap());
    assert_eq!(
        one.durable_index(),
        Some(1),
        "the old entries 2 and 3 were durable, the new are not"
    );
    assert_eq!(writer.step(), Step::Wrote);
    assert_eq!(one.durable_index(), Some(3));
    one.purge_to(20, Bytes::new(), |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    assert_eq!(one.durable_index(), Some(20));
}

#[test]
fn failed_fsync_is_fatal_once_and_nothing_is_written_after_it() {
    let disk = SimDisk::new();
    let fatal = Arc::new(AtomicU32::new(0));
    let counted = fatal.clone();
    let count = move |_: &io::Error| {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let (log, mut writer) =
        Log::open_stepped(Arc::new(disk.clone()), Limits::simulation(), Arc::new(count)).unwrap();
    let one = log.replica(replica(1));
    one.append(vec![entry(0, 1)], |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    disk.fail_sync(true);
    let (seen, done) = outcome();
    one.append(vec![entry(1, 1)], done);
    assert_eq!(writer.step(), Step::Failed);
    assert!(seen.lock().unwrap().take().unwrap().is_err());
    disk.fail_sync(false);
    let operations = disk.operations();
    assert_eq!(writer.step(), Step::Failed);
    let (seen, done) = outcome();
    one.append(vec![entry(2, 1)], done);
    assert_eq!(refusal(&seen), Refusal::Closed);
    assert_eq!((fatal.load(Ordering::Relaxed), disk.operations()), (1, operations));
    assert!(one.is_durable(0) && !one.is_durable(1));
}

#[test]
fn full_disk_is_reported_a_segment_ahead_and_ends_when_entries_are_purged() {
    let disk = SimDisk::new();
    disk.limit_capacity(Some(3 * 4096));
    let (log, mut writer) = open(&disk);
    let one = log.replica(replica(1));
    let mut index = 0;
    let mut append = |writer: &mut Writer| {
        one.append(vec![entry(index, 200)], |r| r.unwrap());
        index += 1;
        writer.step()
    };
    let mut before_full = 0;
    while !log.is_full() {
        assert_eq!(append(&mut writer), Step::Wrote);
        before_full += 1;
    }
    // The last segment is still empty: there is room for what must be written.
    for _ in 0..8 {
        assert_eq!(append(&mut writer), Step::Wrote);
    }
    assert!(log.is_full() && before_full > 20);
    one.purge_to(before_full, Bytes::new(), |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    for _ in 0..40 {
        assert_eq!(append(&mut writer), Step::Wrote, "the freed segments are used");
        if !log.is_full() {
            break;
        }
    }
    assert!(!log.is_full());
}

#[test]
fn full_log_stalls_without_losing_writes_and_goes_on_with_room() {
    let disk = SimDisk::new();
    disk.limit_capacity(Some(2 * 4096));
    let (log, mut writer) = open(&disk);
    let one = log.replica(replica(1));
    let mut index = 0;
    let stalled = loop {
        let (seen, done) = outcome();
        one.append(vec![entry(index, 300)], done);
        index += 1;
        match writer.step() {
            Step::Wrote => assert!(seen.lock().unwrap().take().unwrap().is_ok()),
            Step::Stalled => break seen,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(writer.step(), Step::Stalled);
    assert!(stalled.lock().unwrap().is_none() && log.is_full());
    assert_eq!(one.read(0..u64::MAX).unwrap().len() as u64, index);
    disk.limit_capacity(None);
    assert_eq!(writer.step(), Step::Wrote);
    assert!(stalled.lock().unwrap().take().unwrap().is_ok());
    assert_eq!(writer.step(), Step::Idle);
}

/// What consensus does: proposals ask for room, decisions do not.
#[test]
fn full_disk_refuses_proposals_takes_decisions_and_ends_by_itself_while_idle() {
    let disk = SimDisk::new();
    disk.limit_capacity(Some(3 * 4096));
    let (log, mut writer) = open(&disk);
    let one = log.replica(replica(1));
    let mut indexes = 0..;
    let mut append = |writer: &mut Writer, bytes| {
        let (seen, done) = outcome();
        one.append(vec![entry(indexes.next().unwrap(), bytes)], done);
        assert_eq!(writer.step(), Step::Wrote);
        seen.lock().unwrap().take().unwrap().unwrap();
    };
    let full = loop {
        match log.room() {
            Ok(()) => append(&mut writer, 200),
            Err(full) => break full,
        }
    };
    assert!(full.left_bytes > 3_000, "reported when most of the last segment is left: {full}");
    let decisions = full.left_bytes / 2 / frame_bytes_for(40) as u64;
    for _ in 0..decisions {
        append(&mut writer, 40);
    }
    let later = log.room().unwrap_err();
    assert_eq!(later.left_bytes, full.left_bytes - decisions * frame_bytes_for(40) as u64);

    writer.look_for_room();
    assert!(log.is_full(), "there is none");
    disk.limit_capacity(None);
    assert_eq!(writer.step(), Step::Idle);
    assert!(log.is_full(), "nobody has looked");
    writer.look_for_room();
    assert_eq!(log.room(), Ok(()));
}

#[test]
fn thread_of_a_full_log_finds_room_without_being_written_to() {
    let disk = SimDisk::new();
    disk.limit_capacity(Some(2 * 4096));
    let log = Log::open(Arc::new(disk.clone()), Limits::simulation()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let one = log.replica(replica(1));
    let mut indexes = 0..;
    while !log.is_full() {
        assert!(Instant::now() < deadline, "the log never gets full");
        let (send, synced) = channel();
        let done = move |result: io::Result<()>| drop(send.send(result));
        one.append(vec![entry(indexes.next().unwrap(), 200)], done);
        // The last one may find its segment full before anybody knows that there is no next.
        while synced.try_recv().is_err() && !log.is_full() {
            std::thread::yield_now();
        }
    }
    disk.limit_capacity(None);
    while log.is_full() {
        assert!(Instant::now() < deadline, "the log is still full");
        std::thread::yield_now();
    }
}

#[test]
fn batch_that_a_full_disk_refuses_is_written_whole_when_there_is_room() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk);
    let one = log.replica(replica(1));
    one.append(vec![entry(0, 10)], |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    disk.refuse_writes(true);
    let (seen, done) = outcome();
    one.append(vec![entry(1, 10)], done);
    for _ in 0..3 {
        assert_eq!(writer.step(), Step::Stalled);
        assert!(log.is_full() && seen.lock().unwrap().is_none());
    }
    disk.refuse_writes(false);
    assert_eq!(writer.step(), Step::Wrote);
    assert!(seen.lock().unwrap().take().unwrap().is_ok() && !log.is_full());
    drop((log, writer));
    assert_eq!(open(&disk).0.replica(replica(1)).read(0..9).unwrap().len(), 2);
}

#[test]
fn hundreds_of_replicas_reopen_each_with_its_own() {
    let limits = Limits { segment_bytes: 256 << 10, ..Limits::simulation() };
    let disk = SimDisk::new();
    let open = || Log::open_stepped(Arc::new(disk.clone()), limits.clone(), Arc::new(|_| {}));
    let id = |group| ReplicaId { group, generation: group % 3 };
    let (log, mut writer) = open().unwrap();
    for round in 0..10 {
        for group in 0..300 {
            let new = entry(round, group as usize);
            log.replica(id(group)).append(vec![new], |r| r.unwrap());
        }
        while writer.step() == Step::Wrote {}
    }
    drop((log, writer));
    let (log, _writer) = open().unwrap();
    assert_eq!(log.replicas().len(), 300);
    for group in 0..300 {
        let wanted: Vec<_> = (0..10).map(|round| entry(round, group as usize)).collect();
        assert_eq!(log.replica(id(group)).read(0..99).unwrap(), wanted);
    }
}
