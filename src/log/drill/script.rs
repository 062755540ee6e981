//! What a drill does to a log: a list of commands from a seed.

use crate::random::Random;
use crate::record::ReplicaId;

const GROUPS: u64 = 4;

/// One call of the log's seam, or of its writer.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Append {
        group: u32,
        count: u64,
        bytes: usize,
    },
    Vote {
        group: u32,
    },
    Committed {
        group: u32,
    },
    Truncate {
        group: u32,
        back: u64,
    },
    Purge {
        group: u32,
        keep: u64,
    },
    /// As after a snapshot install: purges beyond the last entry.
    PurgeBeyond {
        group: u32,
        ahead: u64,
    },
    Remove {
        group: u32,
    },
    /// From now on the disk gives no new segment.
    DiskFull,
    /// It does again.
    DiskRoom,
    Step {
        times: u8,
    },
    Close,
}

/// Mostly appends and steps, over few groups, so that segments roll, are carried and are recycled.
pub(super) fn script(seed: u64, commands: usize) -> Vec<Command> {
    let mut random = Random::new(seed);
    (0..commands).map(|_| command(&mut random)).collect()
}

fn command(random: &mut Random) -> Command {
    let group = random.below(GROUPS) as u32;
    match random.below(30) {
        0..=7 => {
            let (count, bytes) = (1 + random.below(5), random.below(200) as usize);
            Command::Append { group, count, bytes }
        }
        8..=9 => Command::Vote { group },
        10..=11 => Command::Committed { group },
        12..=13 => Command::Truncate { group, back: random.below(5) },
        14..=16 => Command::Purge { group, keep: random.below(6) },
        17 => Command::PurgeBeyond { group, ahead: random.below(4) },
        18 => Command::Remove { group },
        19 => Command::Close,
        20 => Command::DiskFull,
        21 => Command::DiskRoom,
        _ => Command::Step { times: 1 + random.below(3) as u8 },
    }
}

pub(crate) fn replica(group: u32) -> ReplicaId {
    ReplicaId { group, generation: 7 }
}
