//! What can happen to a node: crashes of several kinds, a stalled machine, a full or rotten disk.

use super::{Deployment, settings::Disasters};
use std::time::Duration;
use vatic_core::id::GroupId;
use vatic_log::Disk;

/// How a node is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The power is gone now.
    Power,
    /// The process dies, and the machine does not.
    Process,
    /// The power goes in the middle of one of the next batches.
    Torn,
    /// The next sync fails.
    SyncFails,
}

/// What chaos does at this level alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disaster {
    Pause,
    /// Two nodes no longer reach each other, while all others do.
    Pair,
    Handover,
    DiskFull,
    /// All nodes lose power at once: only what is on disks is left.
    Blackout,
    /// A disk takes nothing for a while, and the node goes on.
    Hang,
    /// A leader and the other members do not reach each other, while clients reach them all.
    Isolation,
}

const DISASTERS: [Disaster; 7] = [
    Disaster::Pause,
    Disaster::Pair,
    Disaster::Handover,
    Disaster::DiskFull,
    Disaster::Blackout,
    Disaster::Hang,
    Disaster::Isolation,
];

impl Deployment {
    /// A disaster by the seed's weights, or none, beside `calm`.
    pub(crate) fn draw_disaster(&mut self, calm: u64) -> Option<Disaster> {
        let Disasters { pause, pair, handover, full, blackout, hang, isolation, .. } =
            self.settings.disasters;
        let weights = [pause, pair, handover, full, blackout, hang, isolation, calm];
        DISASTERS.get(self.rng.weighted(&weights)).copied()
    }

    /// Whether this new leader falls at once.
    pub(crate) fn draw_fall(&mut self) -> bool {
        let falls = self.settings.disasters.falls;
        self.rng.chance(falls)
    }

    /// Whether this node is started again at once.
    pub(crate) fn draw_brisk(&mut self) -> bool {
        let brisk = self.settings.disasters.brisk;
        self.rng.chance(brisk)
    }

    pub(crate) fn draw_ending(&mut self) -> Ending {
        let disk = &self.settings.disk;
        let weights = [disk.power, disk.process, disk.torn, disk.sync_fails];
        match self.rng.weighted(&weights) {
            0 => Ending::Power,
            1 => Ending::Process,
            2 => Ending::Torn,
            _ => Ending::SyncFails,
        }
    }

    /// Has a node's disk fail soon; the process ends when it does.
    pub(crate) fn doom(&mut self, number: usize, ending: Ending) {
        let cut_in = 1 + self.rng.below(5);
        let node = &mut self.nodes[number];
        node.doomed = Some(ending);
        match ending {
            Ending::SyncFails => node.disk.fail_sync(true),
            _ => node.disk.cut_power_at(node.disk.operations() + cut_in),
        }
    }

    /// Decides what is on the disk of a node that has ended.
    pub(crate) fn settle_disk(&mut self, number: usize, ending: Ending) {
        let seed = self.rng.next();
        let node = &mut self.nodes[number];
        node.disk.fail_sync(false);
        match ending {
            Ending::Process => node.disk.kill_process(),
            _ => node.disk.crash(seed),
        }
    }

    /// Whether this restart meets a flipped bit.
    pub(crate) fn draw_flip(&mut self) -> bool {
        let flipped = self.settings.disk.flipped;
        self.rng.chance(flipped)
    }

    /// Nothing of the node runs for a while.
    pub(crate) fn stall(&mut self, number: usize) {
        let longest = self.settings.disasters.pause_ms;
        let pause = Duration::from_millis(self.rng.between(longest / 4, longest));
        if let Some(process) = &self.nodes[number].process {
            process.stall(tokio::time::Instant::now() + pause);
        }
    }

    /// The node's disk takes nothing for a while.
    pub(crate) fn hang_disk(&mut self, number: usize) {
        let longest = self.settings.disasters.hang_ms;
        let hang = Duration::from_millis(self.rng.between(longest / 4, longest));
        self.nodes[number].pace.hang(tokio::time::Instant::now() + hang);
    }

    /// The disk gives no new segment, until told otherwise.
    pub(crate) fn fill_disk(&mut self, number: usize, full: bool) {
        let node = &self.nodes[number];
        let slots = node.disk.slots().unwrap_or_default().len() as u64;
        let used = slots * u64::from(self.settings.log.segment_bytes);
        node.disk.limit_capacity(full.then_some(used));
    }

    /// Asks the group's leader to hand over to another member.
    pub(crate) fn hand_over(&mut self, group: usize, id: GroupId) -> bool {
        let leader = self.leader(group, id);
        let others: Vec<usize> =
            self.members[group].iter().copied().filter(|&node| node != leader).collect();
        let to = *self.rng.pick(&others);
        let Some((process, handle)) = self.replica(id, leader) else { return false };
        process.spawn(async move {
            // Where it fails the group elects.
            let _ = handle.transfer_leader(to as u32 + 1).await;
        });
        true
    }
}
