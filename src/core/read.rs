//! Reads: what a group answers from its applied state.
//!
//! Linearizability is the shell's part (it asks for a read index first); which answers are allowed
//! is decided here. Outside a transaction a key or range with an undecided write is not answered:
//! that write may already be acknowledged. Inside a read-write transaction the old version may be
//! given with the holder's name, since the vote will catch it. A snapshot at T is served only
//! where the clock has reached T, and waits for undecided writes voted at or before T.

use crate::{
    aggregate::OutcomeRead,
    body::{KeyRead, RangeRead},
    command::Decision,
    group::{Group, Trees},
    hash::{Hash, Hasher},
    id::{Tid, Timestamp},
    key::{Key, KeyRange},
    limits::SCAN_BYTES_MAX,
    lock,
    multiread::{Seen, Wanted},
    receipt::Receipt,
    request::{Held, RequestId},
    rules::broken,
    state::Read,
    tables::{self, Kept, Prepared, Stored},
    value::{self, Fields},
    vote,
};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// A record as read: its version, 0 and no fields where it is absent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The record's name.
    pub key: Key,
    /// The commit that wrote it.
    pub version: Timestamp,
    /// Its fields.
    pub fields: Option<Fields>,
}

/// What a scan saw.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RangeRecords {
    /// The records, in key order.
    pub records: Vec<Record>,
    /// What they cover: the range asked for, cut after the last record where a limit was hit.
    pub covered: KeyRange,
    /// Digest of the keys and versions covered.
    pub fingerprint: Hash,
    /// Whether the limit asked for, or the one on bytes, cut the range.
    pub more: bool,
}

/// An undecided write is in the way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Blocked {
    /// Who holds it.
    pub by: Tid,
}

/// Why a snapshot read is not answered now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum SnapshotFault {
    /// The clock has not reached the snapshot.
    ClockBehind {
        /// The applied clock.
        clock: Timestamp,
    },
    /// Versions that the snapshot needs may be collected.
    BelowHorizon {
        /// The horizon.
        horizon: Timestamp,
    },
    /// An undecided write may belong to the snapshot.
    Blocked(Blocked),
}

impl Group {
    /// A record with whoever is about to write it: for reads inside a read-write transaction.
    pub fn peek(&self, state: &impl Read, key: &Key) -> (Record, Option<Tid>) {
        let (version, fields) = latest(state, key);
        let holder = writer(state, key);
        (Record { key: key.clone(), version, fields }, holder)
    }

    /// A record as it will be once the decisions that are on their way are applied: for reads in a
    /// read-write transaction whose vote will lie behind those decisions in the log. `decided`
    /// says how a transaction was decided, if it was. Should a decision be lost on its way, or lie
    /// behind the vote, the vote finds the lock and is a No.
    pub fn peek_ahead(
        &self,
        state: &impl Read,
        key: &Key,
        decided: impl FnOnce(Tid) -> Option<Decision>,
    ) -> (Record, Option<Tid>) {
        let (record, holder) = self.peek(state, key);
        let Some(tid) = holder else { return (record, None) };
        match decided(tid) {
            None => (record, holder),
            Some(Decision::RolledBack(_)) => (record, None),
            Some(Decision::Committed { ts }) => {
                let prepared: Option<Prepared> = tables::load(state, &tables::prepared(tid));
                let images = prepared.map(|prepared| prepared.images).unwrap_or_default();
                let image = images.into_iter().find(|image| image.key == *key);
                debug_assert!(image.is_some(), "{tid} holds {key} without an image");
                let fields = image.and_then(|image| image.fields);
                let version = fields.as_ref().map_or(Timestamp::ZERO, |_| ts);
                (Record { key: key.clone(), version, fields }, None)
            }
        }
    }

    /// A record, where nobody is about to write it.
    pub fn get(&self, state: &impl Read, key: &Key) -> Result<Record, Blocked> {
        match self.peek(state, key) {
            (record, None) => Ok(record),
            (record, _) if broken!(self.rules, ReadSkipsUndecided) => Ok(record),
            (_, Some(by)) => Err(Blocked { by }),
        }
    }

    /// A range with whoever is about to write in it.
    pub fn peek_range(
        &self,
        state: &impl Read,
        range: &KeyRange,
        limit: usize,
    ) -> (RangeRecords, Option<Tid>) {
        let found = scan(state, range, limit);
        let holder = lock::writer_in(state, &found.covered, |_| true);
        (found, holder.map(|(_, writer)| writer.tid))
    }

    /// A range, where nobody is about to write in it.
    pub fn scan(
        &self,
        state: &impl Read,
        range: &KeyRange,
        limit: usize,
    ) -> Result<RangeRecords, Blocked> {
        match self.peek_range(state, range, limit) {
            (records, None) => Ok(records),
            (records, _) if broken!(self.rules, ReadSkipsUndecided) => Ok(records),
            (_, Some(by)) => Err(Blocked { by }),
        }
    }

    /// A snapshot that shows a range as it is now, for reading it in pieces. Nobody is about to
    /// write in it, so whatever was acknowledged is decided here, at or below the clock; and
    /// whoever votes from now on is stamped above it.
    pub fn snapshot_of(&self, state: &impl Read, range: &KeyRange) -> Result<Timestamp, Blocked> {
        match lock::writer_in(state, range, |_| true) {
            None => Ok(self.head.clock),
            Some(_) if broken!(self.rules, ReadSkipsUndecided) => Ok(self.head.clock),
            Some((_, writer)) => Err(Blocked { by: writer.tid }),
        }
    }

    /// A record as of a snapshot.
    pub fn get_at(
        &self,
        state: &impl Read,
        key: &Key,
        at: Timestamp,
    ) -> Result<Record, SnapshotFault> {
        self.check_snapshot(at)?;
        if let Some(writer) = lock::writer(state, key).filter(|writer| writer.ts <= at) {
            return Err(SnapshotFault::Blocked(Blocked { by: writer.tid }));
        }
        Ok(version_at(state, key, at))
    }

    /// A range as of a snapshot; `more` says that the limit cut it.
    pub fn scan_at(
        &self,
        state: &impl Read,
        range: &KeyRange,
        limit: usize,
        at: Timestamp,
    ) -> Result<RangeRecords, SnapshotFault> {
        self.check_snapshot(at)?;
        if let Some((_, writer)) = lock::writer_in(state, range, |writer| writer.ts <= at) {
            return Err(SnapshotFault::Blocked(Blocked { by: writer.tid }));
        }
        let keep = |stored: Stored, key: Key| match stored.version <= at {
            true => Record { key, version: live_version(&stored), fields: stored.fields },
            false => version_at(state, &key, at),
        };
        Ok(scan_with(state, range, limit, &keep))
    }

    /// The first pass of a strict read over several groups.
    pub fn first_pass(&self, state: &impl Read, wanted: &Wanted) -> Seen {
        let records = wanted.keys.iter().map(|key| self.peek(state, key).0);
        let ranges = wanted.ranges.iter();
        let ranges = ranges.map(|(range, limit)| self.peek_range(state, range, *limit).0);
        Seen { records: records.collect(), ranges: ranges.collect(), clock: self.head.clock }
    }

    /// The second pass of a strict read over several groups: whether what the first pass saw, when
    /// the clock was `since`, has stood ever since and no undecided write is on it.
    pub fn still_stands(
        &self,
        state: &impl Read,
        reads: &[KeyRead],
        ranges: &[RangeRead],
        since: Timestamp,
    ) -> Result<bool, Blocked> {
        if !broken!(self.rules, SecondPassIgnoresLocks) {
            let by_key = reads.iter().find_map(|read| lock::writer(state, &read.key));
            let by_range = ranges
                .iter()
                .find_map(|read| lock::writer_in(state, &read.range, |_| true))
                .map(|(_, writer)| writer);
            if let Some(writer) = by_key.or(by_range) {
                return Err(Blocked { by: writer.tid });
            }
        }
        if since < self.head.horizon {
            // What came and went since may have been collected.
            return Ok(false);
        }
        let trusts_absence = broken!(self.rules, SecondPassTrustsAbsence);
        let records_max = self.config.limits.range_records_max;
        Ok(reads.iter().all(|read| {
            let came_and_went = removed_at(state, &read.key).is_some_and(|at| at > since);
            version(state, &read.key) == read.version && (trusts_absence || !came_and_went)
        }) && ranges.iter().all(|read| {
            let same = fingerprint(state, &read.range, records_max) == Some(read.fingerprint);
            same && (trusts_absence || !removed_in(state, &read.range, since))
        }))
    }

    /// The attempt that a request id committed, if one did; or that is about to.
    pub fn request(&self, state: &impl Read, request: &RequestId) -> Result<Option<Held>, Blocked> {
        let key = request.key();
        match lock::writer(state, &key) {
            Some(writer) => Err(Blocked { by: writer.tid }),
            None => Ok(vote::held(state, &key)),
        }
    }

    /// What this group, as a transaction's home, knows of its outcome.
    pub fn outcome(&self, state: &impl Read, tid: Tid) -> OutcomeRead {
        let kept = tables::load_kept(state, tid);
        let standing = self.standing_of(tid, kept.as_ref().map(|kept| kept.txn.clone()));
        let body = kept.as_ref().and_then(|kept| kept.aggregate.as_ref()?.body.as_ref());
        let finding = body.map(|body| body.finding.clone()).unwrap_or_default();
        let receipt = kept.and_then(|kept| self.receipt(state, kept));
        OutcomeRead { standing, finding, receipt }
    }

    /// Whether this group still answers for a transaction whose home it is.
    pub fn keeps_outcome(&self, state: &impl Read, tid: Tid) -> bool {
        tables::load_kept(state, tid).is_some_and(|kept| kept.aggregate.is_some())
    }

    fn receipt(&self, state: &impl Read, kept: Kept) -> Option<Receipt> {
        let ts = match &kept.txn.decision {
            Some(Decision::Committed { ts }) => *ts,
            Some(_) if broken!(self.rules, ReceiptOfRollback) => Timestamp::ZERO,
            _ => return None,
        };
        let own = self.proof_of(state, &kept, &mut Trees::new());
        kept.aggregate?.receipt(ts, own, self.rules)
    }

    fn check_snapshot(&self, at: Timestamp) -> Result<(), SnapshotFault> {
        let (clock, horizon) = (self.head.clock, self.head.horizon);
        if at < horizon {
            return Err(SnapshotFault::BelowHorizon { horizon });
        }
        if clock < at && !broken!(self.rules, SnapshotAboveClock) {
            return Err(SnapshotFault::ClockBehind { clock });
        }
        Ok(())
    }
}

/// How many records a group holds. Reads them all.
pub fn count(state: &impl Read) -> u64 {
    let (from, to) = tables::whole(tables::LATEST);
    let mut records = 0;
    state.scan(&from, &to, &mut |_, value| {
        records += u64::from(tables::stored::<Stored>(value).fields.is_some());
        true
    });
    records
}

/// How many records a range holds, up to `max`. Their fields stay unread.
pub fn count_in(state: &impl Read, range: &KeyRange, max: u64) -> u64 {
    let (from, to) = range.bounds();
    let tag = |bound: Vec<u8>| [&[tables::LATEST], bound.as_slice()].concat();
    let mut records = 0;
    state.scan(&tag(from), &tag(to), &mut |_, stored| {
        records += u64::from(tables::measure_of(stored).1 > 0);
        records < max
    });
    records
}

/// The latest version of a record; 0 and nothing where it is absent.
pub(crate) fn latest(state: &impl Read, key: &Key) -> (Timestamp, Option<Fields>) {
    match tables::load::<Stored>(state, &tables::latest(key)) {
        Some(stored) => (live_version(&stored), stored.fields),
        None => (Timestamp::ZERO, None),
    }
}

/// The latest version number of a record that clients can name, and what it counts against the
/// quota; 0 where it is absent. Its fields stay unread.
pub(crate) fn measure(state: &impl Read, key: &Key) -> (Timestamp, u64) {
    live(state.get(&tables::latest(key)).map(|stored| tables::measure_of(&stored)))
}

/// As if nothing had ever been there, for a tombstone. What clients can name has a name, so only a
/// tombstone counts nothing against the quota.
pub(crate) fn live(measured: Option<(Timestamp, u64)>) -> (Timestamp, u64) {
    measured.filter(|(_, bytes)| *bytes > 0).unwrap_or_default()
}

/// Whose undecided vote is about to write the record.
pub fn writer(state: &impl Read, key: &Key) -> Option<Tid> {
    lock::writer(state, key).map(|writer| writer.tid)
}

/// What an undecided vote is about to write.
pub fn writes_of(state: &impl Read, tid: Tid) -> Vec<Key> {
    let prepared: Option<Prepared> = tables::load(state, &tables::prepared(tid));
    let images = prepared.map(|prepared| prepared.images).unwrap_or_default();
    images.into_iter().map(|image| image.key).collect()
}

/// The latest version number of a record; 0 where it is absent.
pub(crate) fn version(state: &impl Read, key: &Key) -> Timestamp {
    measure(state, key).0
}

/// When the record was removed, where it was and that is still kept.
fn removed_at(state: &impl Read, key: &Key) -> Option<Timestamp> {
    let stored = tables::load::<Stored>(state, &tables::latest(key))?;
    stored.fields.is_none().then_some(stored.version)
}

/// Whether any record of the range was removed after `since`.
fn removed_in(state: &impl Read, range: &KeyRange, since: Timestamp) -> bool {
    let mut found = false;
    visit_latest(state, range, &mut |_, stored| {
        found = stored.fields.is_none() && stored.version > since;
        !found
    });
    found
}

/// Digest of the keys and versions of a range; `None` where it holds more records than the limit.
/// It keeps no fields, since it runs inside the vote.
pub(crate) fn fingerprint(state: &impl Read, range: &KeyRange, records_max: u64) -> Option<Hash> {
    let mut fingerprint = Fingerprint::default();
    visit_latest(state, range, &mut |key, stored| {
        if stored.fields.is_some() {
            fingerprint.add(&key, stored.version);
        }
        fingerprint.count <= records_max
    });
    (fingerprint.count <= records_max).then(|| fingerprint.finish())
}

/// Keys in `[from, to)`.
pub(crate) fn keys(state: &impl Read, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    keys_up_to(state, from, to, usize::MAX)
}

/// The first `limit` keys in `[from, to)`.
pub(crate) fn keys_up_to(state: &impl Read, from: &[u8], to: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    state.scan(from, to, &mut |key, _| {
        if keys.len() < limit {
            keys.push(key.to_vec());
        }
        keys.len() < limit
    });
    keys
}

fn scan(state: &impl Read, range: &KeyRange, limit: usize) -> RangeRecords {
    let keep =
        |stored: Stored, key| Record { key, version: live_version(&stored), fields: stored.fields };
    scan_with(state, range, limit, &keep)
}

fn scan_with(
    state: &impl Read,
    range: &KeyRange,
    limit: usize,
    as_seen: &dyn Fn(Stored, Key) -> Record,
) -> RangeRecords {
    let mut records: Vec<Record> = Vec::new();
    let (mut more, mut bytes) = (false, 0);
    visit_latest(state, range, &mut |key, stored| {
        let record = as_seen(stored, key);
        let Some(fields) = &record.fields else { return true };
        bytes += value::size_bytes(fields);
        more = records.len() == limit || (bytes > SCAN_BYTES_MAX && !records.is_empty());
        if !more {
            records.push(record);
        }
        !more
    });
    let mut covered = range.clone();
    if more {
        // The first sort value after the last record; nothing where the limit was 0.
        covered.to = Some(match records.last() {
            Some(last) => [last.key.sort.as_str(), "\0"].concat(),
            None => String::from(&range.from),
        });
    }
    let mut fingerprint = Fingerprint::default();
    records.iter().for_each(|record| fingerprint.add(&record.key, record.version));
    RangeRecords { records, covered, fingerprint: fingerprint.finish(), more }
}

/// Visits the latest versions in a range, tombstones too, until the visitor returns `false`.
fn visit_latest(state: &impl Read, range: &KeyRange, visit: &mut dyn FnMut(Key, Stored) -> bool) {
    let (from, to) = range.bounds();
    let tag = |bound: Vec<u8>| [&[tables::LATEST], bound.as_slice()].concat();
    state.scan(&tag(from), &tag(to), &mut |place, value| {
        let key = Key::decode(&place[1..]).expect("record places hold encoded keys");
        visit(key, tables::stored(value))
    });
}

/// The digest of a range's keys and versions, as they are added in key order.
struct Fingerprint {
    hasher: Hasher,
    count: u64,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Fingerprint { hasher: Hasher::new("vatic/range/v1"), count: 0 }
    }
}

impl Fingerprint {
    fn add(&mut self, key: &Key, version: Timestamp) {
        self.hasher = self.hasher.clone().bytes(&key.encode()).u64(version.0);
        self.count += 1;
    }

    fn finish(self) -> Hash {
        self.hasher.u64(self.count).finish()
    }
}

pub(crate) fn version_at(state: &impl Read, key: &Key, at: Timestamp) -> Record {
    let mut found = tables::load::<Stored>(state, &tables::latest(key));
    if found.as_ref().is_some_and(|stored| stored.version > at) {
        found = None;
        let (from, to) = tables::history_at(key, at);
        state.scan(&from, &to, &mut |_, value| {
            found = Some(tables::stored(value));
            false
        });
    }
    let version = found.as_ref().map_or(Timestamp::ZERO, live_version);
    Record { key: key.clone(), version, fields: found.and_then(|stored| stored.fields) }
}

/// A tombstone counts as version 0.
fn live_version(stored: &Stored) -> Timestamp {
    if stored.fields.is_some() { stored.version } else { Timestamp::ZERO }
}
