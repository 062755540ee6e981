//! The limits of a deployment, and what a seed draws of its network and disks.
//!
//! Times here are the cluster's own milliseconds. Sizes are tiny, so that segments roll, snapshots
//! are sent and logs are purged within a few dozen entries.

use crate::{misfortune::Family, rng::Rng};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) consensus: vatic_consensus::Limits,
    pub(super) log: vatic_log::Limits,
    pub(super) store: vatic_store::Limits,
    pub(super) network: Network,
    pub(super) disk: Disk,
    pub(super) disasters: Disasters,
}

/// What becomes of messages between nodes; chances are per mille.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) delay_us: u64,
    pub(super) jitter_us: u64,
    pub(super) loss: u32,
    pub(super) repeat: u32,
    pub(super) overtake: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// From the first queued record to the batch, and so from batch to batch.
    pub(super) sync_us: u64,
    /// Each node's disk is as fast as it happens to be, instead of all alike.
    pub(super) uneven: bool,
    pub(super) flush_ms: u64,
    /// Weights of how a crash comes: the power goes between two batches or in the middle of one,
    /// the process dies alone, a sync fails.
    pub(super) power: u64,
    pub(super) process: u64,
    pub(super) torn: u64,
    pub(super) sync_fails: u64,
    /// Of restarts, so many meet a flipped bit.
    pub(super) flipped: u32,
}

/// Weights of what chaos does at this level alone.
#[derive(Clone, Debug)]
pub(super) struct Disasters {
    pub(super) pause: u64,
    pub(super) pause_ms: u64,
    pub(super) pair: u64,
    pub(super) handover: u64,
    pub(super) full: u64,
    pub(super) blackout: u64,
    pub(super) hang: u64,
    pub(super) hang_ms: u64,
    pub(super) isolation: u64,
    /// Of new leaders, so many fall at once.
    pub(super) falls: u32,
    /// Of crashed nodes, so many are started again at once, as a supervisor does.
    pub(super) brisk: u32,
}

/// How long disks take, by how good they are.
const SYNC_US: [u64; 4] = [200, 2_000, 8_000, 50_000];

pub(super) fn sync_us(rng: &mut Rng) -> u64 {
    *rng.pick(&SYNC_US)
}

fn maybe(rng: &mut Rng, most: u64) -> u64 {
    if rng.chance(500) { rng.between(1, most) } else { 0 }
}

impl Settings {
    pub(super) fn draw(rng: &mut Rng) -> Settings {
        Settings {
            consensus: consensus(rng),
            log: log(rng),
            store: store(),
            network: Network {
                delay_us: rng.between(100, 3_000),
                jitter_us: *rng.pick(&[200, 5_000, 40_000]),
                loss: maybe(rng, 40) as u32,
                repeat: maybe(rng, 60) as u32,
                overtake: maybe(rng, 80) as u32,
            },
            disk: Disk {
                sync_us: sync_us(rng),
                uneven: rng.chance(500),
                flush_ms: *rng.pick(&[10, 60, 400]),
                power: rng.between(1, 2),
                process: rng.between(2, 4),
                torn: rng.between(2, 4),
                sync_fails: rng.between(2, 4),
                flipped: rng.between(300, 900) as u32,
            },
            disasters: Disasters {
                pause: maybe(rng, 8),
                pause_ms: *rng.pick(&[50, 400, 1_500]),
                pair: maybe(rng, 8),
                handover: maybe(rng, 8),
                full: rng.between(2, 8),
                blackout: maybe(rng, 3),
                hang: rng.between(2, 8),
                hang_ms: *rng.pick(&[100, 400, 1_500]),
                isolation: maybe(rng, 8),
                falls: maybe(rng, 300) as u32,
                brisk: maybe(rng, 900) as u32,
            },
        }
    }
}

impl Settings {
    /// The same with these families of misfortune alone.
    pub(super) fn with_only(mut self, families: &BTreeSet<Family>) -> Settings {
        let off = |family| !families.contains(&family);
        if off(Family::Network) {
            (self.network.loss, self.network.overtake) = (0, 0);
        }
        if off(Family::Repeats) {
            self.network.repeat = 0;
        }
        if off(Family::Partitions) {
            (self.disasters.pair, self.disasters.isolation) = (0, 0);
        }
        if off(Family::Crashes) {
            let disasters = &mut self.disasters;
            (disasters.handover, disasters.blackout, disasters.falls) = (0, 0, 0);
        }
        if off(Family::Pauses) {
            self.disasters.pause = 0;
        }
        if off(Family::Disks) {
            (self.disasters.full, self.disasters.hang, self.disk.uneven) = (0, 0, false);
            (self.disk.torn, self.disk.sync_fails, self.disk.flipped) = (0, 0, 0);
        }
        self
    }
}

fn consensus(rng: &mut Rng) -> vatic_consensus::Limits {
    vatic_consensus::Limits {
        command_bytes_max: 16 << 10,
        batch_bytes_max: 16 << 10,
        batch_commands_max: *rng.pick(&[2, 8, 64]),
        batches_in_flight_max: rng.between(1, 3) as usize,
        batch_interval_ms: 1,
        append_entries_max: *rng.pick(&[1, 4, 16]),
        append_bytes_max: 48 << 10,
        append_window: *rng.pick(&[1, 4, 16]),
        snapshot_every_entries: *rng.pick(&[10, 20, 100]),
        entries_kept_behind_snapshot: *rng.pick(&[2, 10, 50]),
        ..vatic_consensus::Limits::simulation()
    }
}

fn log(rng: &mut Rng) -> vatic_log::Limits {
    vatic_log::Limits {
        segment_bytes: *rng.pick(&[96 << 10, 160 << 10]),
        batch_bytes_max: *rng.pick(&[2 << 10, 16 << 10]),
        entry_bytes_max: 40 << 10,
        meta_bytes_max: 256,
        cache_bytes_max: *rng.pick(&[2 << 10, 64 << 10]),
        carry_bytes_per_batch: 2 << 10,
        ..vatic_log::Limits::simulation()
    }
}

/// Nothing may wait for a thread that is not there.
fn store() -> vatic_store::Limits {
    vatic_store::Limits {
        publish_wait_max_ms: 0,
        fence_wait_ms: 0,
        install_batch_bytes: 2 << 10,
        snapshot_chunk_bytes: 1 << 10,
        ..vatic_store::Limits::simulation()
    }
}
