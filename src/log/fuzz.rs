//! The decoders of the log, for fuzzing: bytes in, and whether they were taken for something.
//!
//! Checksums keep almost all altered bytes from the code behind them. So each input is tried as it
//! is, and then with its checksums made right.

use std::sync::Arc;

use bytes::Bytes;

use crate::disk::Disk;
use crate::frame::{FRAME_HEADER_BYTES, decode, encode, frame_bytes};
use crate::limits::Limits;
use crate::log::Log;
use crate::record::{Entry, ReplicaId};
use crate::salt::{Salt, Seal};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, SlotHeader, header_offsets};
use crate::sim_disk::SimDisk;
use crate::writer::Step;

/// One frame. What was read is written again and read again, and must be the same.
pub fn frame(bytes: &[u8]) -> bool {
    let seal = Salt([0; 16]).at(0);
    let mut sealed = bytes.to_vec();
    seal_frame(&mut sealed, seal);
    read_frame(bytes, seal) | read_frame(&sealed, seal)
}

fn read_frame(bytes: &[u8], seal: Seal) -> bool {
    let Some((header, record)) = decode(&Bytes::copy_from_slice(bytes), seal) else { return false };
    let mut again = Vec::new();
    encode(&mut again, seal, header.stamp, header.replica, &record);
    assert_eq!(again.len(), frame_bytes(&record), "a frame's length is foretold");
    let (_, reread) = decode(&again.into(), seal).expect("what was written is read");
    assert_eq!(reread, record);
    true
}

/// One segment, as all that lies on a disk: the log opens and tells what it holds, or says why not.
pub fn segment(bytes: &[u8]) -> bool {
    open(bytes) | open(&sealed_segment(bytes))
}

fn open(bytes: &[u8]) -> bool {
    let limits = Limits::simulation();
    let disk = SimDisk::new();
    let file = disk.create(0, limits.segment_bytes).expect("a fresh disk has room");
    let length = bytes.len().min(limits.segment_bytes as usize);
    file.write_at(0, &bytes[..length]).expect("it fits");
    let [_, second] = header_offsets(limits.segment_bytes);
    if let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>()
        && length <= second as usize
    {
        // Samples are cut off behind their frames.
        file.write_at(u64::from(second), header).expect("it fits");
    }
    file.sync().expect("the disk is whole");
    let silent = Arc::new(|_: &std::io::Error| {});
    let Ok((log, mut writer)) = Log::open_stepped(Arc::new(disk), limits, silent) else {
        return false;
    };
    for id in log.replicas() {
        let replica = log.replica(id);
        let first = replica.state().purged.map_or(0, |(to, _)| to.saturating_add(1));
        let last = replica.state().last.map_or(first, |(last, _)| last.saturating_add(1));
        // An extent may say anything of entries that are not there.
        let _ = replica.read(first..last.min(first.saturating_add(64)));
    }
    while writer.step() == Step::Wrote {}
    true
}

/// A log that some entries, votes and purges were written to, cut off behind them.
pub fn segments() -> Vec<Vec<u8>> {
    let limits = Limits::simulation();
    let disk = SimDisk::new();
    let silent = Arc::new(|_: &std::io::Error| {});
    let (log, mut writer) = Log::open_stepped(Arc::new(disk.clone()), limits.clone(), silent)
        .expect("a fresh disk opens");
    let mut samples = Vec::new();
    for group in 1..=2 {
        let replica = log.replica(ReplicaId { group, generation: 1 });
        replica.save_vote(Bytes::from_static(b"vote"), drop);
        let entry = |index| Entry { index, term: 1, payload: Bytes::from_static(b"payload") };
        replica.append((1..=4).map(entry).collect(), drop);
        replica.truncate_from(4, drop);
        replica.purge_to(1, Bytes::from_static(b"purged"), drop);
        while writer.step() == Step::Wrote {}
        let mut bytes = disk.contents(0).expect("the first slot is used");
        bytes.truncate(limits.frames_end() as usize);
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end.next_multiple_of(8));
        samples.push(bytes);
    }
    samples
}

/// The frames of those segments.
pub fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for segment in segments() {
        let (segment, salt) = (Bytes::from(segment.clone()), salt(&segment));
        let mut at = SEGMENT_HEADER_BYTES;
        while let Some((_, record)) = decode(&segment.slice(at..), salt.at(at as u32)) {
            let end = (at + frame_bytes(&record)).min(segment.len());
            frames.push(segment[at..end].to_vec());
            at = end;
        }
    }
    frames
}

/// The salt in a segment's header, whatever else that says.
fn salt(segment: &[u8]) -> Salt {
    let header = segment.first_chunk().map(SegmentHeader::decode);
    match header {
        Some(SlotHeader::Valid(header)) => header.salt,
        _ => Salt([0; 16]),
    }
}

/// Makes the checksums of the frame at the start right. Returns its length.
fn seal_frame(bytes: &mut [u8], seal: Seal) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?) as usize;
    let end = FRAME_HEADER_BYTES.checked_add(length)?;
    let payload_sum = seal.payload_sum(bytes.get(FRAME_HEADER_BYTES..end)?);
    bytes[24..28].copy_from_slice(&payload_sum.to_le_bytes());
    bytes[29..32].fill(0);
    let sum = seal.header_sum(bytes[8..].first_chunk()?);
    bytes[..8].copy_from_slice(&sum.to_le_bytes());
    Some(end.next_multiple_of(8))
}

fn sealed_segment(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    if let Some(header) = sealed.get_mut(..SEGMENT_HEADER_BYTES) {
        let crc = crc32fast::hash(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());
    }
    let (mut at, salt) = (SEGMENT_HEADER_BYTES, salt(&sealed));
    while let Some(length) =
        sealed.get_mut(at..).and_then(|frame| seal_frame(frame, salt.at(at as u32)))
    {
        at += length;
    }
    sealed
}
