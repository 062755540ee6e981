//! Clients choose the bytes of entries, and a segment is recycled with all that it held: none of
//! these bytes may ever be taken for a frame.

use std::sync::Arc;

use bytes::Bytes;

use crate::drill::{forged, replica};
use crate::frame::{FRAME_HEADER_BYTES, NUMBER_MAX, Stamp};
use crate::{Entry, Limits, Log, OpenError, SimDisk, Step, Writer};

/// Enough to fill every slot several times.
const ENTRIES: u64 = 60;
const PAYLOAD_BYTES: usize = 512;

fn open(disk: &SimDisk) -> Result<(Log, Writer), OpenError> {
    // So many that what is released is used again.
    let limits = Limits { spares_max: 3, ..Limits::simulation() };
    Log::open_stepped(Arc::new(disk.clone()), limits, Arc::new(|_| {}))
}

fn append(log: &Log, writer: &mut Writer, index: u64, payload: Bytes) {
    log.replica(replica(1)).append(vec![Entry { index, term: 1, payload }], |r| r.unwrap());
    while writer.step() == Step::Wrote {}
}

/// As `append`, and purges all but some entries.
fn overwrite(log: &Log, writer: &mut Writer, index: u64, payload: Bytes, kept: u64) {
    append(log, writer, index, payload);
    if let Some(before) = index.checked_sub(kept) {
        log.replica(replica(1)).purge_to(before, Bytes::new(), |r| r.unwrap());
        while writer.step() == Step::Wrote {}
    }
}

/// Where the next entry's payload will lie, if no other frame comes first.
fn next_payload(log: &Log) -> u32 {
    let left = log.replica(replica(1)).shared.left_bytes() as u32;
    Limits::simulation().frames_end() - left + FRAME_HEADER_BYTES as u32
}

/// Appends entries of forged frames, keeping the last one, and after each opens a copy of the disk,
/// appends, and opens that again. How often that refused, or lacked something.
fn harmed(disk: &SimDisk, stamp: Stamp) -> usize {
    let (log, mut writer) = open(disk).unwrap();
    let mut harmed = 0;
    for index in 0..ENTRIES {
        let payload = forged(next_payload(&log), PAYLOAD_BYTES, || stamp);
        overwrite(&log, &mut writer, index, payload, 1);
        harmed += usize::from(!goes_on(&disk.fork(), index));
    }
    let newest = log.replica(replica(1)).shared.lock().index.newest();
    let slots = crate::Disk::slots(disk).unwrap().last().copied();
    assert!(newest.map(u64::from) > slots.map(|last| 2 * last), "too few slots were recycled");
    harmed
}

fn goes_on(disk: &SimDisk, last: u64) -> bool {
    let Ok((log, mut writer)) = open(disk) else { return false };
    append(&log, &mut writer, last + 1, Bytes::from_static(b"acknowledged"));
    drop((log, writer));
    open(disk).is_ok_and(|(log, _)| log.replica(replica(1)).state().last == Some((last + 1, 1)))
}

/// As if of a batch later than what lies before them, which then were damaged.
const LATER: Stamp = Stamp { batch: 1 << 40, batch_start: Limits::simulation().segment_bytes };
/// No batch could follow.
const LAST: Stamp = Stamp { batch: NUMBER_MAX, batch_start: 0 };

#[test]
fn frames_in_values_neither_keep_a_log_from_opening_nor_lose_what_is_appended_later() {
    for stamp in [LATER, LAST] {
        assert_eq!(harmed(&SimDisk::new(), stamp), 0, "{stamp:?}");
    }
}

/// The same where the salts are known: the harm must show, or the test would mean nothing.
#[test]
fn frames_in_values_harm_where_salts_are_known() {
    for stamp in [LATER, LAST] {
        let disk = SimDisk::new();
        disk.use_known_salts();
        let harmed = harmed(&disk, stamp);
        assert!(harmed > 10, "{stamp:?} harms {harmed} times");
    }
}

/// Whoever stores a copy of a log as values: frames with the right salts, and in the wrong places.
#[test]
fn copies_of_segments_in_values_do_no_harm() {
    let disk = SimDisk::new();
    let (log, mut writer) = open(&disk).unwrap();
    for index in 0..ENTRIES {
        let slots = crate::Disk::slots(&disk).unwrap();
        let copied = slots.iter().flat_map(|slot| disk.contents(*slot)).flatten();
        let copied: Bytes = copied.skip(index as usize * 248).take(PAYLOAD_BYTES).collect();
        overwrite(&log, &mut writer, index, copied, 6);
        assert!(goes_on(&disk.fork(), index), "after {index}");
    }
}
