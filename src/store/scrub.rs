//! The scrub: reads all that is at rest of one replica, a bounded chunk at a time.
//!
//! A value that nobody asks for can rot for years; when it is needed, the other copies may have
//! rotted too. Each step takes the moment that is published just then and lets go of it, so a scrub
//! keeps no page from being reused however slowly it goes. What changes behind its back was written
//! a moment ago; what it has yet to reach it reads as it is then. After an install it begins anew.

use std::sync::Arc;

use crate::damage::Damage;
use crate::error::InstallError;
use crate::id::Incarnation;
use crate::lmdb::StorageError;
use crate::published::Published;
use crate::replica::Replica;
use crate::snapshot_file::{Chunk, SnapshotReader};

/// A scrub under way. The caller sets its pace.
pub struct Scrub {
    replica: Replica,
    place: Place,
    report: ScrubReport,
}

/// What a scrub has read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Entries of the state, and of the latest snapshot file.
    pub records: u64,
    /// Their keys and values.
    pub bytes: u64,
    pub damaged: u64,
    /// Snapshot files that had rotted, and were deleted: the state that they were of is whole.
    pub snapshots_discarded: u64,
    pub first_damage: Option<Damage>,
}

enum Place {
    Pointer,
    State { incarnation: Incarnation, next: Vec<u8> },
    Snapshot(Option<Box<SnapshotReader>>),
    End,
}

impl Replica {
    /// Begins to read all of this replica that is at rest: its pointer, its state in LMDB, and its
    /// latest snapshot file. Overlays are not at rest.
    pub fn scrub(&self) -> Scrub {
        let report = ScrubReport::default();
        Scrub { replica: self.clone(), place: Place::Pointer, report }
    }
}

impl Scrub {
    /// Reads on by at most about `Limits::scrub_chunk_bytes` (one chunk of a snapshot file).
    /// Whether there is more. Damage is counted and read past; where LMDB itself cannot go on, the
    /// scrub ends.
    pub fn step(&mut self) -> bool {
        let pair = self.replica.cell.pair();
        let place = std::mem::replace(&mut self.place, Place::End);
        self.place = match place {
            Place::Pointer => self.pointer(&pair),
            Place::State { incarnation, next } if incarnation == pair.incarnation => {
                self.state(&pair, next)
            }
            Place::State { .. } => self.begin_state(&pair),
            Place::Snapshot(reader) => self.snapshot(reader),
            Place::End => Place::End,
        };
        !matches!(self.place, Place::End)
    }

    pub fn report(&self) -> &ScrubReport {
        &self.report
    }

    fn pointer(&mut self, pair: &Arc<Published>) -> Place {
        if pair.removed {
            return Place::End;
        }
        let id = self.replica.id();
        match pair.base.pointer(id) {
            Ok(Some(_)) => self.begin_state(pair),
            Ok(None) => {
                let what = "the replica's record is missing".into();
                let replica = Some(id);
                self.note(Damage { database: "replicas", replica, key: Vec::new(), what });
                self.begin_state(pair)
            }
            Err(error) => {
                self.note(self.damage_of("replicas", error));
                self.begin_state(pair)
            }
        }
    }

    fn begin_state(&mut self, pair: &Arc<Published>) -> Place {
        if pair.removed {
            return Place::End;
        }
        (self.report.records, self.report.bytes) = (0, 0);
        Place::State { incarnation: pair.incarnation, next: Vec::new() }
    }

    fn state(&mut self, pair: &Arc<Published>, next: Vec<u8>) -> Place {
        let (shared, incarnation) = (&self.replica.shared, pair.incarnation);
        let (shard, bytes_max) = (shared.next_shard(), shared.limits.scrub_chunk_bytes);
        match pair.base.scrub(shard, &pair.prefix, &next, bytes_max) {
            Ok(read) => {
                self.report.records += read.records;
                self.report.bytes += read.bytes;
                read.damaged.into_iter().for_each(|damage| self.note(damage));
                match read.next {
                    Some(next) => Place::State { incarnation, next },
                    None => Place::Snapshot(None),
                }
            }
            Err(error) => {
                self.note(self.damage_of("state", error));
                Place::Snapshot(None)
            }
        }
    }

    fn snapshot(&mut self, reader: Option<Box<SnapshotReader>>) -> Place {
        let latest = || self.replica.latest_snapshot_path();
        let Some(path) = reader.as_ref().map(|it| it.path().to_owned()).or_else(latest) else {
            return Place::End;
        };
        let opened = match reader {
            Some(reader) => Ok(reader),
            None => SnapshotReader::open(&path).map(Box::new),
        };
        let read = opened.and_then(|mut reader| Ok((reader.next_chunk()?, reader)));
        match read {
            Ok((Chunk::Entries(entries), reader)) => {
                self.report.records += entries.len() as u64;
                let bytes = entries.iter().map(|(key, value)| key.len() + value.len());
                self.report.bytes += bytes.sum::<usize>() as u64;
                Place::Snapshot(Some(reader))
            }
            Ok((Chunk::End(_), _)) => Place::End,
            // A newer one has taken its place.
            Err(InstallError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Place::End
            }
            Err(error) => {
                if !matches!(error, InstallError::Io { .. }) {
                    self.replica.discard_snapshot(&path, &error);
                }
                self.report.snapshots_discarded += 1;
                Place::End
            }
        }
    }

    fn damage_of(&self, database: &'static str, error: StorageError) -> Damage {
        match error {
            StorageError::Damaged(damage) => damage,
            error => {
                let (replica, key) = (Some(self.replica.id()), Vec::new());
                Damage { database, replica, key, what: error.to_string() }
            }
        }
    }

    fn note(&mut self, damage: Damage) {
        self.report.damaged += 1;
        self.report.first_damage.get_or_insert(damage);
    }
}
