//! Recovery judges what it finds: torn tails are dropped, damage is refused by place, frames of an
//! earlier use of a segment are never taken for new ones.

use std::sync::Arc;

use bytes::Bytes;

use crate::drill::replica;
use crate::frame::{FRAME_HEADER_BYTES, Stamp, encode, frame_bytes_for};
use crate::record::Record;
use crate::salt::Salt;
use crate::scan::scan;
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, header_offsets};
use crate::{Entry, Limits, Log, OpenError, SimDisk, Step, Writer};

const PAYLOAD_BYTES: usize = 40;

fn open(disk: &SimDisk) -> Result<(Log, Writer), OpenError> {
    Log::open_stepped(Arc::new(disk.clone()), Limits::simulation(), Arc::new(|_| {}))
}

fn entry(index: u64, fill: u8) -> Entry {
    Entry { index, term: 1, payload: Bytes::from(vec![fill; PAYLOAD_BYTES]) }
}

/// Appends one entry a batch.
fn append_each(log: &Log, writer: &mut Writer, group: u32, range: std::ops::Range<u64>, fill: u8) {
    for index in range {
        log.replica(replica(group)).append(vec![entry(index, fill)], |r| r.unwrap());
        assert_eq!(writer.step(), Step::Wrote);
    }
}

fn indexes(log: &Log, group: u32) -> Vec<u64> {
    let entries = log.replica(replica(group)).read(0..u64::MAX).unwrap();
    entries.iter().map(|entry| entry.index).collect()
}

fn frame_offset(nth: usize) -> usize {
    SEGMENT_HEADER_BYTES + nth * frame_bytes_for(PAYLOAD_BYTES)
}

fn damaged_at(disk: &SimDisk) -> Option<(String, u64)> {
    match open(disk) {
        Err(OpenError::Damaged { segment, offset, .. }) => Some((segment, offset)),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => None,
    }
}

#[test]
fn bad_frame_in_the_last_batch_drops_the_rest_of_it() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    append_each(&log, &mut writer, 1, 0..3, 1);
    let batch = (3..7).map(|index| entry(index, 2)).collect();
    log.replica(replica(1)).append(batch, |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    drop((log, writer));
    disk.damage(0, frame_offset(5) + FRAME_HEADER_BYTES + 3);

    let (log, mut writer) = open(&disk).unwrap();
    assert_eq!(indexes(&log, 1), [0, 1, 2, 3, 4]);
    // What was dropped (entry 6 is whole on disk) does not come back behind what is new.
    append_each(&log, &mut writer, 1, 5..6, 3);
    drop((log, writer));
    let (log, _writer) = open(&disk).unwrap();
    assert_eq!(indexes(&log, 1), [0, 1, 2, 3, 4, 5]);
    assert_eq!(log.replica(replica(1)).read(5..6).unwrap(), [entry(5, 3)]);
}

#[test]
fn bad_frame_before_a_later_batch_refuses_naming_segment_and_offset() {
    for within in [0, 9, 30, FRAME_HEADER_BYTES + 1] {
        let disk = SimDisk::new();
        let (log, mut writer) = open(&disk).unwrap();
        append_each(&log, &mut writer, 1, 0..8, 1);
        drop((log, writer));
        disk.damage(0, frame_offset(3) + within);
        assert_eq!(damaged_at(&disk), Some(("slot 0".into(), frame_offset(3) as u64)));
    }
}

#[test]
fn every_damaged_byte_of_fsynced_batches_is_noticed() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    append_each(&log, &mut writer, 1, 0..90, 1);
    drop((log, writer));
    let before = indexes(&open(&disk).unwrap().0, 1);
    assert_eq!(before.len(), 90);
    let (mut refused, mut last_batch) = (0, 0);
    for slot in crate::Disk::slots(&disk).unwrap() {
        for offset in (0..Limits::simulation().segment_bytes as usize).step_by(7) {
            disk.damage(slot, offset);
            match open(&disk) {
                Err(_) => refused += 1,
                Ok((log, _)) if indexes(&log, 1) == before => {}
                Ok((log, _)) => {
                    assert_eq!(indexes(&log, 1), before[..89], "slot {slot}, offset {offset}");
                    last_batch += 1;
                }
            }
            disk.damage(slot, offset);
        }
    }
    // 90 frames of 96 bytes, each seventh byte: nearly all must refuse, the last batch alone may
    // look torn.
    assert!(refused > 1150, "only {refused} refused");
    assert!(last_batch <= 14, "{last_batch} positions cost the last entry");
}

#[test]
fn no_damaged_byte_costs_anything_after_a_clean_stop() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    append_each(&log, &mut writer, 1, 0..60, 1);
    drop(log);
    assert_eq!(writer.step(), Step::Wrote);
    assert_eq!(writer.step(), Step::Idle);
    drop(writer);
    // Opened and closed again, nothing is written.
    let operations = disk.operations();
    let (log, mut writer) = open(&disk).unwrap();
    let before = indexes(&log, 1);
    drop(log);
    assert_eq!((writer.step(), disk.operations()), (Step::Idle, operations + 1));
    let mut refused = 0;
    for slot in crate::Disk::slots(&disk).unwrap() {
        for offset in (0..Limits::simulation().segment_bytes as usize).step_by(3) {
            let damaged = disk.fork();
            damaged.damage(slot, offset);
            match open(&damaged) {
                Err(_) => refused += 1,
                Ok((log, _)) => assert_eq!(indexes(&log, 1), before, "slot {slot} at {offset}"),
            }
        }
    }
    assert!(refused > 60 * 96 / 3, "only {refused} refused");
}

#[test]
fn batch_dropped_whole_does_not_lend_its_number_to_the_next() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    append_each(&log, &mut writer, 1, 0..2, 1);
    log.replica(replica(1)).append(vec![entry(2, 2), entry(3, 2)], |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    drop((log, writer));
    // The first frame of the last batch is torn, the second is whole and would follow entry 2.
    disk.damage(0, frame_offset(2) + 2);
    let (log, mut writer) = open(&disk).unwrap();
    assert_eq!(indexes(&log, 1), [0, 1]);
    append_each(&log, &mut writer, 1, 2..3, 3);
    drop((log, writer));
    assert_eq!(indexes(&open(&disk).unwrap().0, 1), [0, 1, 2]);
}

/// A log whose last batch opened slot 1, with two entries; the index of the first of them.
fn just_rolled(disk: &SimDisk) -> u64 {
    let (log, mut writer) = open(disk).unwrap();
    let mut index = 0;
    while frame_offset(index as usize + 2) < Limits::simulation().segment_bytes as usize - 112 {
        append_each(&log, &mut writer, 1, index..index + 1, 1);
        index += 1;
    }
    let large = Bytes::from(vec![2; 200]);
    let large = |index| Entry { index, term: 1, payload: large.clone() };
    log.replica(replica(1)).append(vec![large(index), large(index + 1)], |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    assert!(disk.contents(1).is_some_and(|slot| slot.starts_with(b"VATICLOG")));
    assert_eq!(disk.contents(2), None);
    index
}

#[test]
fn batch_of_a_torn_header_does_not_lend_its_number_to_the_next() {
    let disk = SimDisk::new();
    let index = just_rolled(&disk);
    for at in header_offsets(Limits::simulation().segment_bytes) {
        disk.damage(1, at as usize + 20);
    }
    let (log, mut writer) = open(&disk).unwrap();
    assert_eq!(indexes(&log, 1).len() as u64, index);
    let new = Entry { index, term: 2, payload: Bytes::from(vec![3; 200]) };
    log.replica(replica(1)).append(vec![new], |r| r.unwrap());
    assert_eq!(writer.step(), Step::Wrote);
    drop((log, writer));
    let (log, _writer) = open(&disk).unwrap();
    assert_eq!(log.replica(replica(1)).state().last, Some((index, 2)));
}

#[test]
fn segment_with_torn_openings_is_forgotten_for_good() {
    let disk = SimDisk::new();
    let index = just_rolled(&disk);
    disk.damage(1, SEGMENT_HEADER_BYTES + 20);
    let (log, mut writer) = open(&disk).unwrap();
    assert_eq!(indexes(&log, 1).len() as u64, index);
    // A small entry still fits into slot 0, behind the end that the torn segment's header names.
    append_each(&log, &mut writer, 1, index..index + 1, 3);
    drop((log, writer));
    assert_eq!(open(&disk).unwrap().0.replica(replica(1)).state().last, Some((index, 1)));
}

#[test]
fn frame_of_another_use_or_of_another_place_does_not_follow() {
    let header = SegmentHeader {
        epoch: 5,
        segment_bytes: 4096,
        batch: 1,
        previous_end: 0,
        oldest: 5,
        openings: 0,
        salt: Salt([5; 16]),
    };
    let stamp = Stamp { batch: 1, batch_start: 0 };
    let second = frame_offset(1) as u32;
    for (seal, frames) in [
        (header.salt.at(second), 2),
        (header.salt.at(second + 8), 1),
        (Salt([4; 16]).at(second), 1),
    ] {
        let mut bytes = header.encode().to_vec();
        for seal in [header.salt.at(SEGMENT_HEADER_BYTES as u32), seal] {
            encode(&mut bytes, seal, stamp, replica(1), &Record::Entry(entry(1, 1)));
        }
        let found = scan(&bytes.into(), &header, None).unwrap();
        assert_eq!((found.frames.len(), found.end as usize), (frames, frame_offset(frames)));
    }
}

#[test]
fn lost_segment_is_missed() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    append_each(&log, &mut writer, 1, 0..120, 1);
    drop((log, writer));
    crate::Disk::remove(&disk, 1).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::Missing { epoch: 2, .. })));
}

#[test]
fn bad_header_is_read_where_it_is_kept_again_and_mended() {
    for ends in [header_offsets(4096), header_offsets(4096).map(|at| 4096 - 64 - at)] {
        let disk = SimDisk::new();
        let (log, mut writer) = open(&disk).unwrap();
        append_each(&log, &mut writer, 1, 0..60, 1);
        drop((log, writer));
        for at in ends {
            for slot in [0, 1] {
                disk.damage(slot, at as usize + 13);
            }
            assert_eq!(indexes(&open(&disk).unwrap().0, 1).len(), 60);
        }
    }
}

#[test]
fn bytes_cut_out_of_a_segment_are_noticed() {
    for closed in [false, true] {
        for cut in [8, 96, 100] {
            let disk = SimDisk::new();
            let (log, mut writer) = open(&disk).unwrap();
            append_each(&log, &mut writer, 1, 0..20, 1);
            drop(log);
            if closed {
                assert_eq!(writer.step(), Step::Wrote);
            }
            drop(writer);
            let file = crate::Disk::open(&disk, 0).unwrap();
            let mut bytes = vec![0; file.bytes().unwrap() as usize];
            file.read_at(0, &mut bytes).unwrap();
            bytes.drain(frame_offset(10)..frame_offset(10) + cut);
            bytes.resize(bytes.len() + cut, 0);
            file.write_at(0, &bytes).unwrap();
            let [_, second] = header_offsets(Limits::simulation().segment_bytes);
            let refused = damaged_at(&disk);
            assert_eq!(refused, Some(("slot 0".into(), second.into())), "{cut}, closed: {closed}");
        }
    }
}

#[test]
fn another_format_version_is_refused_by_number() {
    for (version, crc_at) in [(1, 44), (9, 60)] {
        let disk = SimDisk::new();
        let (log, mut writer) = open(&disk).unwrap();
        append_each(&log, &mut writer, 1, 0..2, 1);
        drop((log, writer));
        let file = crate::Disk::open(&disk, 0).unwrap();
        let mut header = [0; SEGMENT_HEADER_BYTES];
        file.read_at(0, &mut header).unwrap();
        header[8] = version;
        let crc = crc32fast::hash(&header[..crc_at]);
        header[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        file.write_at(0, &header).unwrap();
        let refused = open(&disk).err().expect("it opens").to_string();
        let versions = format!("format version {version}, this build reads 2");
        assert!(refused.contains(&versions), "{refused}");
    }
}

#[test]
fn recycled_segments_never_replay_old_frames() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    let one = log.replica(replica(1));
    for index in 0..2_000 {
        append_each(&log, &mut writer, 1, index..index + 1, (index / 40) as u8);
        one.purge_to(index.saturating_sub(3), Bytes::new(), |r| r.unwrap());
    }
    drop((log, writer));
    let slots = crate::Disk::slots(&disk).unwrap();
    assert!(slots.len() <= 4, "segments were not recycled: {slots:?}");
    // Each slot is full of whole frames of older epochs behind the end of the newest.
    let (log, mut writer) = open(&disk).unwrap();
    assert!(indexes(&log, 1).ends_with(&[1997, 1998, 1999]));
    append_each(&log, &mut writer, 1, 2_000..2_001, 9);
    drop((log, writer));
    assert!(indexes(&open(&disk).unwrap().0, 1).ends_with(&[1998, 1999, 2000]));
}

#[test]
fn removed_replica_is_gone_and_its_group_begins_anew() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    append_each(&log, &mut writer, 1, 0..5, 1);
    append_each(&log, &mut writer, 2, 0..5, 1);
    log.remove_replica(replica(1), |r| r.unwrap());
    log.replica(replica(1)).append(vec![entry(70, 4)], |r| r.unwrap());
    while writer.step() != Step::Idle {}
    drop((log, writer));
    let (log, _writer) = open(&disk).unwrap();
    assert_eq!(indexes(&log, 1), [70]);
    assert_eq!(indexes(&log, 2), [0, 1, 2, 3, 4]);
}
