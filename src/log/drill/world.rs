//! A log on a simulated disk, beside the reference model.
//!
//! The world keeps the model after every queued record since the last acknowledged one. After a
//! crash the log must equal one of these as a whole (the order of the queue is the order on disk),
//! and everything that was called durable must still be there: nothing acknowledged is missing,
//! nothing appears that was never appended, no vote goes back. Checks answer with an error instead
//! of a panic, so that a test can demand that they fail.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::model::Model;
use super::payload::payload;
use super::script::{Command, replica};
use crate::error::OpenError;
use crate::limits::Limits;
use crate::log::Log;
use crate::record::{Entry, ReplicaId};
use crate::sim_disk::SimDisk;
use crate::writer::{Step, Writer};

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(super) log: Option<Log>,
    /// States after the acknowledged records, and after each one queued since.
    pub(super) states: VecDeque<Model>,
    /// The states that a crash in the last batch might have left: damage in it looks like that.
    pub(super) last_batch: Vec<Model>,
    pub(super) queued: u64,
    pub(super) first_state: u64,
    pub(super) acknowledged: Arc<Mutex<Acknowledged>>,
    pub(super) committed: BTreeMap<ReplicaId, Saved>,
    /// Comparisons of a whole log with the model so far.
    pub(super) compared: u64,
    limits: Limits,
    writer: Option<Writer>,
    serial: u64,
    /// Compare after every command, not only after crashes and closes.
    watched: bool,
}

#[derive(Default)]
pub(super) struct Acknowledged {
    pub(super) records: u64,
    pub(super) out_of_order: bool,
}

/// Committed values are hints: any between the last one known to be on disk and the last saved.
#[derive(Clone, Copy, Default)]
pub(super) struct Saved {
    pub(super) floor: u64,
    pub(super) latest: u64,
}

impl World {
    /// Opens a log on an empty disk.
    pub(crate) fn new(limits: Limits, watched: bool) -> Result<World, String> {
        let mut world = World {
            disk: SimDisk::new(),
            log: None,
            states: VecDeque::from([Model::default()]),
            last_batch: Vec::new(),
            queued: 0,
            first_state: 0,
            acknowledged: Arc::default(),
            committed: BTreeMap::new(),
            compared: 0,
            limits,
            writer: None,
            serial: 0,
            watched,
        };
        world.open().map_err(|error| format!("an empty disk does not open: {error}"))?;
        Ok(world)
    }

    /// Runs until the end, or until the power is cut. Whether it ran to the end.
    pub(crate) fn run(&mut self, script: &[Command]) -> Result<bool, String> {
        for command in script {
            let alive = match command {
                Command::Step { times } => (0..*times).all(|_| self.step()),
                Command::Close => self.close()?,
                Command::DiskFull => self.full(Some(0)),
                Command::DiskRoom => self.full(None),
                _ => {
                    self.issue(command)?;
                    true
                }
            };
            if !alive {
                return Ok(false);
            }
            if self.watched {
                self.check_live()?;
            }
        }
        Ok(true)
    }

    /// Crashes, opens again, and compares.
    pub(crate) fn crash(&mut self, seed: u64) -> Result<(), String> {
        let durable = self.durable_entries();
        self.drop_log();
        if seed % 5 < 2 {
            // The process dies first: what it wrote is read back, and is durable from then on.
            self.disk.kill_process();
            self.open().map_err(|error| format!("does not open after a kill: {error}"))?;
            self.compare()?;
            self.drop_log();
        }
        self.disk.crash(seed);
        if seed.is_multiple_of(3) {
            // The power goes again while the log recovers.
            self.disk.cut_power_at(self.disk.operations() + 1 + seed / 3 % 5);
            let _ = self.open();
            self.drop_log();
            self.disk.crash(seed ^ 0xabcd);
        }
        self.open().map_err(|error| format!("does not open after a crash: {error}"))?;
        self.compare()?;
        self.check_durable(&durable)?;
        self.check_live()
    }

    /// Writes all there is, closes, opens again: nothing may be missing.
    pub(crate) fn close(&mut self) -> Result<bool, String> {
        self.log = None;
        if !self.full(None) {
            return Ok(false);
        }
        loop {
            match self.write() {
                Step::Wrote => {}
                Step::Idle => break,
                Step::Stalled => return Err("stalled on a disk with room".into()),
                Step::Failed => return Ok(false),
            }
        }
        for saved in self.committed.values_mut() {
            saved.floor = saved.latest;
        }
        self.writer = None;
        if self.acknowledged() != self.queued {
            return Err("closed with writes that were not acknowledged".into());
        }
        match self.open() {
            Ok(()) => {}
            Err(OpenError::Disk(_)) => return Ok(false),
            Err(error) => return Err(format!("does not open after a close: {error}")),
        }
        self.compare()?;
        Ok(true)
    }

    /// Writes one batch. Whether the log is still alive.
    pub(crate) fn step(&mut self) -> bool {
        self.write() != Step::Failed
    }

    fn full(&mut self, capacity_bytes: Option<u64>) -> bool {
        self.disk.limit_capacity(capacity_bytes);
        self.writer.as_mut().is_some_and(Writer::look_for_room)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.lock().map_or(0, |acknowledged| acknowledged.records)
    }

    fn write(&mut self) -> Step {
        let Some(writer) = self.writer.as_mut() else { return Step::Failed };
        let before = self.disk.syncs();
        let step = writer.step();
        if step == Step::Wrote {
            // A batch of records without frames leaves the last batch on the disk as it is.
            if self.disk.syncs() > before {
                self.last_batch.clear();
            }
            let synced = (self.acknowledged() - self.first_state) as usize;
            self.last_batch.extend(self.states.drain(..synced));
            self.first_state += synced as u64;
        }
        step
    }

    pub(super) fn open(&mut self) -> Result<(), OpenError> {
        let disk = Arc::new(self.disk.clone());
        let (log, writer) = Log::open_stepped(disk, self.limits.clone(), Arc::new(|_| {}))?;
        (self.log, self.writer) = (Some(log), Some(writer));
        Ok(())
    }

    pub(super) fn drop_log(&mut self) {
        (self.writer, self.log) = (None, None);
    }

    fn issue(&mut self, command: &Command) -> Result<(), String> {
        let Some(log) = &self.log else { return Err("the log is not open".into()) };
        let mut model = self.states.back().cloned().unwrap_or_default();
        match *command {
            Command::Append { group, count, bytes } => {
                let log = log.replica(replica(group));
                let entries = self.entries(model, log.id(), count, bytes);
                log.append(entries, self.done());
            }
            Command::Vote { group } => {
                let log = log.replica(replica(group));
                let vote = self.value();
                model.replica_mut(log.id()).vote = Some(vote.clone());
                self.push(model);
                log.save_vote(vote, self.done());
            }
            Command::Committed { group } => {
                let log = log.replica(replica(group));
                let value = self.value();
                self.committed.entry(log.id()).or_default().latest = self.serial;
                log.save_committed(value).map_err(|refusal| refusal.to_string())?;
            }
            Command::Truncate { group, back } => {
                let log = log.replica(replica(group));
                let one = model.replica_mut(log.id());
                let from = (one.next() + 1).saturating_sub(back).max(one.floor());
                one.entries.split_off(&from);
                self.push(model);
                log.truncate_from(from, self.done());
            }
            Command::Purge { group, keep } => {
                if let Some(to) = model.next(replica(group)).checked_sub(keep + 1) {
                    self.purge(replica(group), to, model);
                }
            }
            Command::PurgeBeyond { group, ahead } => {
                let to = model.next(replica(group)) + ahead;
                self.purge(replica(group), to, model);
            }
            Command::Remove { group } => {
                model.remove(replica(group));
                self.committed.remove(&replica(group));
                self.push(model);
                let done = self.done();
                if let Some(log) = &self.log {
                    log.remove_replica(replica(group), done);
                }
            }
            _ => return Err("not a write".into()),
        }
        Ok(())
    }

    fn entries(&mut self, mut model: Model, id: ReplicaId, count: u64, bytes: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        for _ in 0..count {
            self.serial += 1;
            let one = model.replica_mut(id);
            let (index, term) = (one.next(), self.serial);
            let payload = payload(&self.disk, self.serial, bytes);
            one.entries.insert(index, (term, payload.clone()));
            entries.push(Entry { index, term, payload });
            self.push(model.clone());
        }
        entries
    }

    fn purge(&mut self, id: ReplicaId, to: u64, mut model: Model) {
        let value = self.value();
        let one = model.replica_mut(id);
        if one.purged.as_ref().is_none_or(|(purged, _)| *purged < to) {
            one.entries = one.entries.split_off(&(to + 1));
            one.purged = Some((to, value.clone()));
        }
        self.push(model);
        let done = self.done();
        if let Some(log) = &self.log {
            log.replica(id).purge_to(to, value, done);
        }
    }

    fn value(&mut self) -> Bytes {
        self.serial += 1;
        Bytes::copy_from_slice(&self.serial.to_le_bytes())
    }

    fn push(&mut self, model: Model) {
        self.queued += 1;
        self.states.push_back(model);
    }

    fn done(&self) -> impl FnOnce(io::Result<()>) + Send + 'static {
        let (acknowledged, record) = (self.acknowledged.clone(), self.queued);
        move |result| {
            if let (Ok(()), Ok(mut acknowledged)) = (result, acknowledged.lock()) {
                acknowledged.out_of_order |= record <= acknowledged.records;
                acknowledged.records = record;
            }
        }
    }
}
