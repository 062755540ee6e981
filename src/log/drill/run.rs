//! Crashes a script at every operation, damages what it leaves, and counts.

use std::sync::Arc;

use super::script::{Command, script};
use super::world::World;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::limits::Limits;
use crate::log::Log;
use crate::random::Random;
use crate::sim_disk::SimDisk;

/// What a drill does with each seed.
#[derive(Clone, Debug)]
pub struct Drill {
    /// Length of the script: appends, votes, truncations, purges, removals, steps, closes.
    pub commands: usize,
    /// Crashes at each operation of the disk; they differ in what persists of unsynced writes.
    pub crashes_per_operation: u64,
    /// Bits flipped, one at a time, in what a whole script left on the disk.
    pub damages: u64,
    /// The disk answers a sync and does nothing: the drill must find violations then.
    pub sync_is_stubbed: bool,
}

/// What drills did, and what they found.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub seeds: u64,
    /// Writes, syncs, creations and removals that the scripts made: each was a crash point.
    pub operations: u64,
    /// Segments that the scripts filled or began.
    pub segments: u64,
    pub crashes: u64,
    /// Times that a whole log was compared with the model.
    pub states_compared: u64,
    pub damages: u64,
    /// Damages at which the log refused to start, and named the segment.
    pub damages_refused: u64,
    /// Damages that left a state as a crash in the last batch might have; the others hit nothing.
    pub damages_like_a_tear: u64,
    pub violations: u64,
    /// The first few.
    pub examples: Vec<Violation>,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    pub seed: u64,
    /// The operation at which the power was cut, if it was.
    pub cut: Option<u64>,
    pub what: String,
}

const EXAMPLES_MAX: usize = 5;

impl Drill {
    /// Seconds of work in a debug build, for a fixed set of seeds.
    pub fn short() -> Drill {
        Drill { commands: 200, crashes_per_operation: 2, damages: 200, sync_is_stubbed: false }
    }

    /// For as long as one likes.
    pub fn long() -> Drill {
        Drill { commands: 300, crashes_per_operation: 3, damages: 400, sync_is_stubbed: false }
    }

    /// Runs one seed's script whole, then with a crash at each operation, then damages it.
    pub fn run(&self, seed: u64, summary: &mut Summary) {
        let script = script(seed, self.commands);
        summary.seeds += 1;
        let operations = match self.whole(&script, seed, summary) {
            Ok(operations) => operations,
            Err(what) => return summary.note(Violation { seed, cut: None, what }),
        };
        summary.operations += operations;
        for cut in 1..=operations + 1 {
            for variant in 0..self.crashes_per_operation {
                let chance = cut.wrapping_mul(31).wrapping_add(variant).wrapping_add(seed << 20);
                summary.crashes += 2;
                if let Err(what) = self.cut(&script, cut, chance, summary) {
                    summary.note(Violation { seed, cut: Some(cut), what });
                }
            }
        }
    }

    /// The script undisturbed, watched at each command, and what damage then does. The number of
    /// operations.
    fn whole(&self, script: &[Command], seed: u64, summary: &mut Summary) -> Result<u64, String> {
        let mut world = World::new(Limits::simulation(), true)?;
        world.disk.stub_sync(self.sync_is_stubbed);
        let ran = world.run(script)?;
        let operations = world.disk.operations();
        if !ran || !world.close()? {
            return Err("the log failed on a disk without faults".into());
        }
        summary.states_compared += world.compared;
        summary.segments += world.segments();
        world.drop_log();
        let mut random = Random::new(seed ^ 0xda3a_9ed0);
        let slots = world.disk.slots().map_err(|error| error.to_string())?;
        for _ in 0..self.damages {
            let slot = slots[random.below(slots.len() as u64) as usize];
            let offset = random.below(u64::from(Limits::simulation().segment_bytes));
            let found = damage(&world, slot, offset, summary);
            found.map_err(|what| format!("slot {slot}, offset {offset} damaged: {what}"))?;
        }
        Ok(operations)
    }

    /// Power fails at one operation; the log goes on after it, and the power fails again.
    fn cut(
        &self,
        script: &[Command],
        cut: u64,
        chance: u64,
        summary: &mut Summary,
    ) -> Result<(), String> {
        let mut world = World::new(Limits::simulation(), false)?;
        world.disk.stub_sync(self.sync_is_stubbed);
        world.disk.cut_power_at(cut);
        let outcome = world.crashes(script, chance);
        summary.states_compared += world.compared;
        outcome
    }
}

impl World {
    fn crashes(&mut self, script: &[Command], chance: u64) -> Result<(), String> {
        self.run(script)?;
        self.crash(chance)?;
        self.run(&script[..script.len() / 4])?;
        self.crash(chance.wrapping_add(1))?;
        self.close().map(|_| ())
    }
}

impl Summary {
    /// Adds what another drill did.
    pub fn add(&mut self, other: Summary) {
        self.seeds += other.seeds;
        self.operations += other.operations;
        self.segments += other.segments;
        self.crashes += other.crashes;
        self.states_compared += other.states_compared;
        self.damages += other.damages;
        self.damages_refused += other.damages_refused;
        self.damages_like_a_tear += other.damages_like_a_tear;
        self.violations += other.violations;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }

    fn note(&mut self, violation: Violation) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(violation);
        }
    }
}

/// Flips a bit on a copy of the disk: the log must refuse and say where, or show a state that
/// undamaged disks can leave.
fn damage(world: &World, slot: u64, offset: u64, summary: &mut Summary) -> Result<(), String> {
    let disk = world.disk.fork();
    disk.damage(slot, offset as usize);
    summary.damages += 1;
    match open(&disk) {
        Ok(log) => {
            summary.damages_like_a_tear += u64::from(world.check_damaged(&log)?);
            return Ok(());
        }
        Err(OpenError::Damaged { segment, offset: named, .. })
            if segment == disk.name(slot) && named <= offset => {}
        Err(OpenError::Missing { unread, newest, end, .. })
            if unread.contains(&disk.name(slot))
                || (newest == disk.name(slot) && end <= offset) => {}
        Err(error) => return Err(format!("refused for another place: {error}")),
    }
    summary.damages_refused += 1;
    Ok(())
}

fn open(disk: &SimDisk) -> Result<Log, OpenError> {
    let disk = Arc::new(disk.clone());
    Log::open_stepped(disk, Limits::simulation(), Arc::new(|_| {})).map(|(log, _writer)| log)
}
