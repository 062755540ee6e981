//! The log stays small under constant overwriting, whoever sits idle beside it.

use std::sync::Arc;

use bytes::Bytes;

use crate::drill::replica;
use crate::frame::frame_bytes_for;
use crate::{Disk, Entry, Limits, Log, SimDisk, Step, Writer};

const IDLE: [u32; 3] = [7, 8, 9];
const ROUNDS: u64 = 6_000;
const KEPT: u64 = 3;

fn open(disk: &SimDisk, limits: &Limits) -> (Log, Writer) {
    Log::open_stepped(Arc::new(disk.clone()), limits.clone(), Arc::new(|_| {})).unwrap()
}

fn entry(index: u64, fill: u8) -> Entry {
    Entry { index, term: u64::from(fill), payload: Bytes::from(vec![fill; 100]) }
}

/// Idle replicas with a vote and a tail, then two that append and purge all the time, with a
/// restart now and then. The most slots that there were at once.
fn overwrite(disk: &SimDisk, limits: &Limits) -> usize {
    let (mut log, mut writer) = open(disk, limits);
    for group in IDLE {
        let idle = log.replica(replica(group));
        idle.append((5..9).map(|index| entry(index, group as u8)).collect(), |r| r.unwrap());
        idle.save_vote(Bytes::from_static(b"vote"), |r| r.unwrap());
        idle.save_committed(Bytes::from_static(b"committed")).unwrap();
    }
    let mut most = 0;
    for round in 0..ROUNDS {
        let busy = log.replica(replica((round % 2) as u32));
        busy.append(vec![entry(round / 2, 1)], |r| r.unwrap());
        if let Some(purge) = (round / 2).checked_sub(KEPT) {
            busy.purge_to(purge, Bytes::new(), |r| r.unwrap());
        }
        assert_eq!(writer.step(), Step::Wrote);
        most = most.max(disk.slots().unwrap().len());
        if round % 1_000 == 999 {
            while writer.step() != Step::Idle {}
            drop((log, writer));
            (log, writer) = open(disk, limits);
        }
    }
    most
}

#[test]
fn idle_replicas_pin_no_segments_and_lose_nothing_under_constant_overwrites() {
    let (disk, limits) = (SimDisk::new(), Limits::simulation());
    let most = overwrite(&disk, &limits);
    let written = ROUNDS as usize * 250 / limits.segment_bytes as usize;
    // The target, what may wait to be carried, the spares, and one that is being made.
    let bound = (limits.segments_target + limits.spares_max) as usize + 2;
    assert!(most <= bound, "{most} slots at once, {bound} are allowed, {written} were filled");
    assert!(written > 300);
    let (log, _writer) = open(&disk, &limits);
    for group in IDLE {
        let idle = log.replica(replica(group));
        let wanted: Vec<_> = (5..9).map(|index| entry(index, group as u8)).collect();
        assert_eq!(idle.read(0..99).unwrap(), wanted);
        let state = idle.state();
        assert_eq!((state.vote.unwrap(), state.last), ("vote".into(), Some((8, u64::from(group)))));
        assert_eq!(state.committed.unwrap(), "committed");
    }
}

#[test]
fn live_bytes_are_those_of_entries_that_are_neither_purged_nor_truncated() {
    let (disk, limits) = (SimDisk::new(), Limits::simulation());
    let (log, mut writer) = open(&disk, &limits);
    let frame = frame_bytes_for(100) as u64;
    let (one, two) = (log.replica(replica(1)), log.replica(replica(2)));
    one.append((0..5).map(|index| entry(index, 1)).collect(), |r| r.unwrap());
    two.append((0..3).map(|index| entry(index, 1)).collect(), |r| r.unwrap());
    assert_eq!(log.live_bytes(), 0, "nothing is fsynced");
    while writer.step() != Step::Idle {}
    assert_eq!((one.live_bytes(), two.live_bytes()), (5 * frame, 3 * frame));
    one.purge_to(1, Bytes::new(), |r| r.unwrap());
    one.truncate_from(4, |r| r.unwrap());
    log.remove_replica(replica(2), |r| r.unwrap());
    while writer.step() != Step::Idle {}
    assert_eq!((one.live_bytes(), two.live_bytes(), log.live_bytes()), (2 * frame, 0, 2 * frame));
    assert_eq!(log.replicas_with_entries(), 1);
    // Entries 2 and 3 are left.
    let beyond = [0, frame - 1, frame, 2 * frame - 1, 2 * frame].map(|left| one.last_beyond(left));
    assert_eq!(beyond, [Some(3), Some(3), Some(2), Some(2), None]);
    drop((log, writer));
    assert_eq!(open(&disk, &limits).0.replica(replica(1)).live_bytes(), 2 * frame);
}

/// The same without carrying: the bound must break, or it would mean nothing.
#[test]
fn idle_replicas_pin_segments_where_nothing_is_carried() {
    let limits = Limits { segments_target: u32::MAX, ..Limits::simulation() };
    let most = overwrite(&SimDisk::new(), &limits);
    assert!(most > 100, "only {most} slots");
}
