//! A world for the crash tests: a log on a simulated disk beside a reference model.
//!
//! The model keeps the state after every queued record since the last acknowledged one. After a
//! crash the log must equal one of these states as a whole (the order of the queue is the order on
//! disk), and everything that was called durable must still be there. Checks answer with an error
//! instead of a panic, so that a test can demand that they fail.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;

use crate::{Entry, Limits, Log, OpenError, ReplicaId, SimDisk, Step, Writer};

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
    Step {
        times: u8,
    },
    Close,
}

/// Mostly appends and steps, over few groups, so that segments roll and are recycled.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    let group = || 0..4_u32;
    prop_oneof![
        8 => (group(), 1..6_u64, 0..200_usize)
            .prop_map(|(group, count, bytes)| Command::Append { group, count, bytes }),
        2 => group().prop_map(|group| Command::Vote { group }),
        2 => group().prop_map(|group| Command::Committed { group }),
        2 => (group(), 0..5_u64).prop_map(|(group, back)| Command::Truncate { group, back }),
        3 => (group(), 0..6_u64).prop_map(|(group, keep)| Command::Purge { group, keep }),
        1 => (group(), 0..4_u64).prop_map(|(group, ahead)| Command::PurgeBeyond { group, ahead }),
        1 => group().prop_map(|group| Command::Remove { group }),
        8 => (1..4_u8).prop_map(|times| Command::Step { times }),
        1 => Just(Command::Close),
    ]
}

pub(crate) fn script(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Command>> {
    proptest::collection::vec(command(), length)
}

type Model = BTreeMap<ReplicaId, ModelReplica>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ModelReplica {
    entries: BTreeMap<u64, (u64, Bytes)>,
    purged: Option<(u64, Bytes)>,
    vote: Option<Bytes>,
}

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    limits: Limits,
    log: Option<Log>,
    writer: Option<Writer>,
    /// States after the acknowledged records, and after each one queued since.
    states: VecDeque<Model>,
    queued: u64,
    first_state: u64,
    acknowledged: Arc<Mutex<Acknowledged>>,
    serial: u64,
    committed: BTreeMap<ReplicaId, Saved>,
}

#[derive(Default)]
struct Acknowledged {
    records: u64,
    out_of_order: bool,
}

#[derive(Clone, Copy, Default)]
struct Saved {
    floor: u64,
    latest: u64,
}

impl World {
    pub(crate) fn new(limits: Limits) -> World {
        let mut world = World {
            disk: SimDisk::new(),
            limits,
            log: None,
            writer: None,
            states: VecDeque::from([Model::new()]),
            queued: 0,
            first_state: 0,
            acknowledged: Arc::default(),
            serial: 0,
            committed: BTreeMap::new(),
        };
        world.open().expect("an empty disk opens");
        world
    }

    /// Runs until the end, or until the power is cut. Whether it ran to the end.
    pub(crate) fn run(&mut self, script: &[Command]) -> Result<bool, String> {
        for command in script {
            let alive = match command {
                Command::Step { times } => (0..*times).all(|_| self.step()),
                Command::Close => self.close()?,
                _ => {
                    self.issue(command);
                    true
                }
            };
            if !alive {
                return Ok(false);
            }
            self.check_live()?;
        }
        Ok(true)
    }

    /// Crashes, opens again, and compares.
    pub(crate) fn crash(&mut self, seed: u64) -> Result<(), String> {
        let durable = self.durable_entries();
        self.writer = None;
        self.log = None;
        if seed % 5 < 2 {
            // The process dies first: what it wrote is read back, and is durable from then on.
            self.disk.kill_process();
            self.open().map_err(|error| format!("does not open after a kill: {error}"))?;
            self.compare()?;
            self.writer = None;
            self.log = None;
        }
        self.disk.crash(seed);
        if seed.is_multiple_of(3) {
            // The power goes again while the log recovers.
            self.disk.cut_power_at(self.disk.operations() + 1 + seed % 2);
            let _ = self.open();
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
        let writer = self.writer.as_mut().expect("the log is open");
        loop {
            match writer.step() {
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

    pub(crate) fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is open")
    }

    pub(crate) fn step(&mut self) -> bool {
        let step = self.writer.as_mut().expect("the log is open").step();
        step != Step::Failed
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let disk = Arc::new(self.disk.clone());
        let opened = Log::open_stepped(disk, self.limits.clone(), Arc::new(|_| {}));
        let (log, writer) = opened?;
        (self.log, self.writer) = (Some(log), Some(writer));
        Ok(())
    }

    fn issue(&mut self, command: &Command) {
        let mut model = self.states.back().expect("there is a state").clone();
        match *command {
            Command::Append { group, count, bytes } => {
                self.append(replica(group), count, bytes);
            }
            Command::Vote { group } => {
                let vote = self.value();
                model.entry(replica(group)).or_default().vote = Some(vote.clone());
                self.push(model);
                self.log().replica(replica(group)).save_vote(vote, self.done());
            }
            Command::Committed { group } => self.save_committed(replica(group)),
            Command::Truncate { group, back } => {
                let one = model.entry(replica(group)).or_default();
                let from = (one.next() + 1).saturating_sub(back).max(one.floor());
                one.entries.split_off(&from);
                self.push(model);
                self.log().replica(replica(group)).truncate_from(from, self.done());
            }
            Command::Purge { group, keep } => {
                let next = model.get(&replica(group)).map_or(0, ModelReplica::next);
                if let Some(to) = next.checked_sub(keep + 1) {
                    self.purge(replica(group), to, model);
                }
            }
            Command::PurgeBeyond { group, ahead } => {
                let next = model.get(&replica(group)).map_or(0, ModelReplica::next);
                self.purge(replica(group), next + ahead, model);
            }
            Command::Remove { group } => {
                model.remove(&replica(group));
                self.committed.remove(&replica(group));
                self.push(model);
                self.log().remove_replica(replica(group), self.done());
            }
            Command::Step { .. } | Command::Close => unreachable!("not a write"),
        }
    }

    fn append(&mut self, id: ReplicaId, count: u64, bytes: usize) {
        let mut model = self.states.back().expect("there is a state").clone();
        let mut entries = Vec::new();
        for _ in 0..count {
            self.serial += 1;
            let one = model.entry(id).or_default();
            let (index, term) = (one.next(), self.serial);
            let payload = Bytes::from(vec![self.serial as u8; bytes]);
            one.entries.insert(index, (term, payload.clone()));
            entries.push(Entry { index, term, payload });
            self.push(model.clone());
        }
        self.log().replica(id).append(entries, self.done());
    }

    fn purge(&mut self, id: ReplicaId, to: u64, mut model: Model) {
        let value = self.value();
        let one = model.entry(id).or_default();
        if one.purged.as_ref().is_none_or(|(purged, _)| *purged < to) {
            one.entries = one.entries.split_off(&(to + 1));
            one.purged = Some((to, value.clone()));
        }
        self.push(model);
        self.log().replica(id).purge_to(to, value, self.done());
    }

    fn save_committed(&mut self, id: ReplicaId) {
        let value = self.value();
        self.committed.entry(id).or_default().latest = self.serial;
        self.log().replica(id).save_committed(value).expect("the value is small");
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
            if result.is_ok() {
                let mut acknowledged = acknowledged.lock().unwrap();
                acknowledged.out_of_order |= record <= acknowledged.records;
                acknowledged.records = record;
            }
        }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.lock().unwrap().records
    }

    /// What callers see now is the newest state.
    fn check_live(&mut self) -> Result<(), String> {
        if self.acknowledged.lock().unwrap().out_of_order {
            return Err("callbacks ran out of order".into());
        }
        while self.first_state < self.acknowledged() {
            self.states.pop_front();
            self.first_state += 1;
        }
        let seen = self.observe()?;
        let wanted = visible(self.states.back().expect("there is a state"));
        if seen != wanted {
            return Err(format!("reads show {seen:?}, not {wanted:?}"));
        }
        let violation = self.log().replica(replica(0)).shared.lock().index.violation();
        violation.map_or(Ok(()), Err)
    }

    /// What was recovered is one of the states since the acknowledged one; go on from there.
    fn compare(&mut self) -> Result<(), String> {
        let seen = self.observe()?;
        let acknowledged = (self.acknowledged() - self.first_state) as usize;
        let matching = self.states.iter().skip(acknowledged).find(|state| visible(state) == seen);
        let Some(matching) = matching.cloned() else {
            let possible: Vec<_> = self.states.iter().skip(acknowledged).map(visible).collect();
            return Err(format!("recovered {seen:?}, which is none of {possible:?}"));
        };
        self.states = VecDeque::from([matching]);
        self.acknowledged =
            Arc::new(Mutex::new(Acknowledged { records: self.queued, ..Acknowledged::default() }));
        self.first_state = self.queued;
        self.compare_committed()
    }

    fn compare_committed(&mut self) -> Result<(), String> {
        for (id, saved) in &mut self.committed {
            let found = self.log.as_ref().expect("open").replica(*id).state().committed;
            let found = found.map_or(0, |v| u64::from_le_bytes(v[..].try_into().unwrap()));
            if !(saved.floor..=saved.latest).contains(&found) {
                return Err(format!("{id:?} has committed {found} outside of what was saved"));
            }
            *saved = Saved { floor: found, latest: found };
        }
        Ok(())
    }

    /// Every entry that the log calls durable.
    fn durable_entries(&self) -> Model {
        let mut model = visible(self.states.back().expect("there is a state"));
        for (id, one) in &mut model {
            let log = self.log.as_ref().map(|log| log.replica(*id));
            one.entries.retain(|index, _| log.as_ref().is_some_and(|log| log.is_durable(*index)));
        }
        model
    }

    fn check_durable(&self, durable: &Model) -> Result<(), String> {
        let seen = self.observe()?;
        for (id, one) in durable {
            for (index, entry) in &one.entries {
                let found = seen.get(id).and_then(|one| one.entries.get(index));
                if found != Some(entry) && seen.get(id).is_none_or(|one| one.floor() <= *index) {
                    return Err(format!("{id:?}: durable entry {index} is {found:?}"));
                }
            }
        }
        Ok(())
    }

    fn observe(&self) -> Result<Model, String> {
        let mut model = Model::new();
        for id in self.log().replicas() {
            let log = self.log().replica(id);
            let state = log.state();
            let entries = log.read(0..u64::MAX).map_err(|error| error.to_string())?;
            let last = entries.last().map(|entry| (entry.index, entry.term));
            if last != state.last {
                return Err(format!("{id:?}: last is {:?}, reads end at {last:?}", state.last));
            }
            let entries = entries.into_iter().map(|e| (e.index, (e.term, e.payload))).collect();
            model.insert(id, ModelReplica { entries, purged: state.purged, vote: state.vote });
        }
        Ok(visible(&model))
    }
}

impl ModelReplica {
    fn floor(&self) -> u64 {
        self.purged.as_ref().map_or(0, |(to, _)| to + 1)
    }

    fn next(&self) -> u64 {
        self.entries.last_key_value().map_or(self.floor(), |(index, _)| index + 1)
    }
}

pub(crate) fn replica(group: u32) -> ReplicaId {
    ReplicaId { group, generation: 7 }
}

/// Replicas that are only known by name say nothing.
fn visible(model: &Model) -> Model {
    let blank = ModelReplica::default();
    model.iter().filter(|(_, one)| **one != blank).map(|(id, one)| (*id, one.clone())).collect()
}
