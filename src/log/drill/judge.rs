//! What a world compares its log with.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::model::{Model, ModelReplica};
use super::script::replica;
use super::world::{Acknowledged, Saved, World};
use crate::log::Log;

impl World {
    /// What callers see now is the newest state.
    pub(super) fn check_live(&mut self) -> Result<(), String> {
        if self.acknowledged.lock().is_ok_and(|acknowledged| acknowledged.out_of_order) {
            return Err("callbacks ran out of order".into());
        }
        let seen = self.observe()?;
        let wanted = self.newest().visible();
        if seen != wanted {
            return Err(format!("reads show {seen:?}, not {wanted:?}"));
        }
        let Some(log) = &self.log else { return Err("the log is not open".into()) };
        let violation = log.replica(replica(0)).shared.lock().index.violation();
        violation.map_or(Ok(()), Err)
    }

    /// What was recovered is one of the states since the acknowledged one; go on from there.
    pub(super) fn compare(&mut self) -> Result<(), String> {
        let seen = self.observe()?;
        let acknowledged = (self.acknowledged() - self.first_state) as usize;
        let mut possible = self.states.iter().skip(acknowledged);
        let Some(matching) = possible.find(|state| state.visible() == seen).cloned() else {
            let possible: Vec<_> =
                self.states.iter().skip(acknowledged).map(Model::visible).collect();
            return Err(format!("recovered {seen:?}, which is none of {possible:?}"));
        };
        self.states = VecDeque::from([matching]);
        let acknowledged = Acknowledged { records: self.queued, ..Acknowledged::default() };
        self.acknowledged = Arc::new(Mutex::new(acknowledged));
        self.first_state = self.queued;
        self.compare_committed()
    }

    fn compare_committed(&mut self) -> Result<(), String> {
        let Some(log) = &self.log else { return Err("the log is not open".into()) };
        for (id, saved) in &mut self.committed {
            let found = log.replica(*id).state().committed;
            let found = found.and_then(|value| value[..].try_into().ok());
            let found = found.map_or(0, u64::from_le_bytes);
            if !(saved.floor..=saved.latest).contains(&found) {
                return Err(format!("{id:?} has committed {found} outside of what was saved"));
            }
            *saved = Saved { floor: found, latest: found };
        }
        Ok(())
    }

    /// Every entry that the log calls durable.
    pub(super) fn durable_entries(&self) -> Model {
        let newest = self.newest().visible();
        let mut durable = Model::default();
        for (id, one) in newest.iter() {
            let mut one = one.clone();
            let log = self.log.as_ref().map(|log| log.replica(id));
            one.entries.retain(|index, _| log.as_ref().is_some_and(|log| log.is_durable(*index)));
            durable.insert(id, one);
        }
        durable
    }

    pub(super) fn check_durable(&mut self, durable: &Model) -> Result<(), String> {
        let seen = self.observe()?;
        for (id, one) in durable.iter() {
            let now = seen.replica(id);
            for (index, entry) in &one.entries {
                let found = now.and_then(|one| one.entries.get(index));
                if found != Some(entry) && now.is_none_or(|one| one.floor() <= *index) {
                    return Err(format!("{id:?}: durable entry {index} is {found:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whether a log that opened on a damaged copy of the disk shows the newest state (the damage
    /// lies where nothing is), or one that a crash in the last batch might have left, which cannot
    /// be told from damage: whether it is the latter.
    pub(super) fn check_damaged(&self, log: &Log) -> Result<bool, String> {
        let seen = observe(log)?;
        if self.newest().visible() == seen {
            return Ok(false);
        }
        if self.last_batch.iter().any(|state| state.visible() == seen) {
            return Ok(true);
        }
        Err(format!("shows {seen:?}, which no crash could have left"))
    }

    /// How many segments the log has had.
    pub(super) fn segments(&self) -> u64 {
        let newest = |log: &Log| log.replica(replica(0)).shared.lock().index.newest();
        self.log.as_ref().and_then(newest).map_or(0, u64::from)
    }

    fn newest(&self) -> Model {
        self.states.back().cloned().unwrap_or_default()
    }

    fn observe(&mut self) -> Result<Model, String> {
        self.compared += 1;
        observe(self.log.as_ref().ok_or("the log is not open")?)
    }
}

fn observe(log: &Log) -> Result<Model, String> {
    let mut model = Model::default();
    for id in log.replicas() {
        let log = log.replica(id);
        let state = log.state();
        let entries = log.read(0..u64::MAX).map_err(|error| error.to_string())?;
        let last = entries.last().map(|entry| (entry.index, entry.term));
        if last != state.last {
            return Err(format!("{id:?}: last is {:?}, reads end at {last:?}", state.last));
        }
        let entries = entries.into_iter().map(|e| (e.index, (e.term, e.payload))).collect();
        model.insert(id, ModelReplica { entries, purged: state.purged, vote: state.vote });
    }
    Ok(model.visible())
}
