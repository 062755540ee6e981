//! What clients put into entries: often frames of a log, which must never be taken for its own.

use bytes::Bytes;

use super::script::replica;
use crate::disk::Disk;
use crate::frame::{NUMBER_MAX, Stamp, encode};
use crate::random::Random;
use crate::record::Record;
use crate::salt::Salt;
use crate::sim_disk::{KNOWN_SALT, SimDisk};

/// A payload by chance: one byte over and over, forged frames, or a copy of what lies on the disk.
pub(super) fn payload(disk: &SimDisk, serial: u64, bytes: usize) -> Bytes {
    let mut random = Random::new(serial);
    match random.below(4) {
        0 => forged(8 * random.below(512) as u32, bytes, || any_stamp(&mut random)),
        1 => copied(disk, &mut random, bytes).unwrap_or_default(),
        _ => Bytes::from(vec![serial as u8; bytes]),
    }
}

/// Frames back to back, as whoever knows the format would make them who expects the first at
/// `offset`, and the salt to be `KNOWN_SALT`.
pub(crate) fn forged(offset: u32, bytes: usize, mut stamp: impl FnMut() -> Stamp) -> Bytes {
    let mut frames = Vec::new();
    while frames.len() < bytes {
        let seal = Salt(KNOWN_SALT).at(offset + frames.len() as u32);
        encode(&mut frames, seal, stamp(), replica(1), &Record::Remove);
    }
    frames.truncate(bytes);
    frames.into()
}

fn any_stamp(random: &mut Random) -> Stamp {
    let batch = [random.below(200), NUMBER_MAX][random.below(2) as usize];
    let batch_start = [0, 64, 2048][random.below(3) as usize];
    Stamp { batch, batch_start }
}

fn copied(disk: &SimDisk, random: &mut Random, bytes: usize) -> Option<Bytes> {
    let slots = disk.slots().ok().filter(|slots| !slots.is_empty())?;
    let contents = disk.contents(slots[random.below(slots.len() as u64) as usize])?;
    let from = random.below((contents.len() - bytes) as u64) as usize / 8 * 8;
    Some(Bytes::copy_from_slice(&contents[from..from + bytes]))
}
