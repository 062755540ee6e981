//! The one-at-a-time world: all committed transactions applied in the order of their timestamps.
//!
//! If the protocol is right, this is what every read saw and what the replicas hold in the end.
//! Rollbacks, locks, votes, recoveries and forgetting do not occur here at all.

use crate::history::{Attempt, History};
use std::collections::BTreeMap;
use vatic_core::{
    codec,
    delta::Delta,
    hash::Hash,
    id::Timestamp,
    key::{Key, KeyRange},
    limits::Limits,
    read::Record,
    value::Fields,
};

pub(crate) struct Replay {
    /// Each key's versions, oldest first; before the first it is absent.
    pub(super) chains: BTreeMap<Key, Vec<Version>>,
    /// What could not have committed in this order.
    pub(super) faults: Vec<String>,
}

pub(super) struct Version {
    pub(super) ts: Timestamp,
    /// None for a deletion.
    pub(super) fields: Option<Fields>,
    /// The body that wrote it.
    pub(super) by: Hash,
}

impl Replay {
    pub(super) fn of(history: &History, limits: &Limits) -> Replay {
        let mut replay = Replay { chains: BTreeMap::new(), faults: Vec::new() };
        for (ts, attempt) in history.committed() {
            replay.apply(ts, attempt, limits);
        }
        replay
    }

    fn apply(&mut self, ts: Timestamp, attempt: &Attempt, limits: &Limits) {
        let mut images: BTreeMap<Key, (Record, bool)> = BTreeMap::new();
        for bytes in &attempt.deltas {
            let Ok(Delta { key, op }) = codec::decode::<Delta>(bytes) else {
                return self.faults.push(format!("{:?} holds a broken delta", attempt.body.tid));
            };
            let before = self.at(&key, ts);
            let (image, written) = images.entry(key).or_insert((before, false));
            match op.apply(image.version, image.fields.take(), limits) {
                Ok(fields) => image.fields = fields,
                Err(rejection) => {
                    return self.faults.push(format!(
                        "{:?} committed at {ts}, and in this order {}: {rejection}",
                        attempt.body.tid, image.key
                    ));
                }
            }
            *written |= op.writes();
        }
        for (key, (image, _)) in images.into_iter().filter(|(_, (_, written))| *written) {
            let chain = self.chains.entry(key.clone()).or_default();
            if chain.last().is_some_and(|last| last.ts >= ts) {
                self.faults.push(format!("{key} has two versions at {ts}"));
            }
            chain.push(Version { ts, fields: image.fields, by: attempt.digest });
        }
    }

    /// A record as of a timestamp, that one included.
    pub(super) fn at(&self, key: &Key, at: Timestamp) -> Record {
        let chain = self.chains.get(key).map_or(&[][..], Vec::as_slice);
        let found = chain.iter().rev().find(|version| version.ts <= at);
        let fields = found.and_then(|version| version.fields.clone());
        let version = match (found, &fields) {
            (Some(version), Some(_)) => version.ts,
            _ => Timestamp::ZERO,
        };
        Record { key: key.clone(), version, fields }
    }

    /// The records of a range as of a timestamp.
    pub(super) fn range_at(&self, range: &KeyRange, at: Timestamp) -> Vec<Record> {
        let records = self.keys_in(range).map(|key| self.at(key, at));
        records.filter(|record| record.fields.is_some()).collect()
    }

    pub(super) fn keys_in(&self, range: &KeyRange) -> impl Iterator<Item = &Key> {
        self.chains.keys().filter(|key| {
            let inside = range.to.as_ref().is_none_or(|to| key.sort < *to);
            key.collection == range.collection
                && key.partition == range.partition
                && key.sort >= range.from
                && inside
        })
    }
}
