//! A draft: a transaction while its stream still runs, at the gateway.
//!
//! It chains transitions as they come, notes which group takes which run of them, remembers every
//! version that the client was shown, and lets later reads see earlier deltas. Its seal yields the
//! body and the parts that the participants vote on; they recompute all of it.

use crate::{
    body::{Body, KeyRead, Part, Participant, RangeRead},
    chain::{self, Seal, Segment, Transition},
    codec::{self, DecodeError},
    conflict::Touch,
    delta::{Delta, Rejection},
    estimate::Resolution,
    expected::Score,
    finding::{Finding, Unjudged},
    footprint::Footprint,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyError, KeyRange},
    limits::{Limits, RANGES_MAX},
    read::{RangeRecords, Record},
    request::Claim,
    ring::Ring,
    strategy::Basis,
    verdict::{Conditions, Forecast, Judgement},
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

/// A running stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Draft {
    ring: Arc<Ring>,
    limits: Limits,
    mint: Timestamp,
    nonce: u64,
    home: Option<GroupId>,
    seal: Seal,
    segments: Vec<Segment>,
    parts: BTreeMap<GroupId, DraftPart>,
    claim: Option<Claim>,
    finding: Finding,
    basis: Basis,
    /// Bytes of all deltas so far.
    delta_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct DraftPart {
    reads: BTreeMap<Key, Timestamp>,
    ranges: Vec<RangeRead>,
    transitions: Vec<Transition>,
    /// Bytes of `transitions`, which the vote would carry.
    carried_bytes: u64,
    deltas: BTreeMap<Key, Vec<Delta>>,
    footprint: Footprint,
}

/// What an accepted transition came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its place in the stream.
    pub seq: u64,
    /// The chain after it.
    pub digest: Hash,
    /// Who takes it.
    pub group: GroupId,
}

/// Why a draft refuses something. The stream can go on after `Limit`, `Key` and `Delta`; the
/// others mean that it cannot commit any more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DraftError {
    /// The key is not one that a client may name.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The bytes are not a delta.
    #[error("transition {seq} does not parse: {error}")]
    Delta {
        /// The place that it would have had.
        seq: u64,
        /// Why not.
        error: DecodeError,
    },
    /// The client's digest is not the one that its bytes give.
    #[error("transition {seq}: the client's digest is not that of its bytes")]
    Digest {
        /// Which transition.
        seq: u64,
        /// The digest that the bytes give.
        expected: Hash,
        /// The digest that the client sent.
        sent: Hash,
    },
    /// The transitions are out of order.
    #[error("transition {sent} arrived where {expected} was due")]
    Sequence {
        /// The number due.
        expected: u64,
        /// The number sent.
        sent: u64,
    },
    /// A second read of a record found another version.
    #[error("{key} was read at version {first} and then at {second}")]
    Unrepeatable {
        /// The record.
        key: Key,
        /// The version read first.
        first: Timestamp,
        /// The version read later.
        second: Timestamp,
    },
    /// A limit is reached.
    #[error("{limit} is {max}, this would make it {actual}")]
    Limit {
        /// The limit's name.
        limit: &'static str,
        /// Its value.
        max: u64,
        /// What was asked for.
        actual: u64,
    },
    /// The ring has no groups.
    #[error("the ring has no groups yet")]
    NoRing,
    /// Nothing was read or written.
    #[error("the transaction is empty")]
    Empty,
    /// A read of the transaction's own writes does not apply.
    #[error("{key}: {rejection}")]
    Rejected {
        /// The record.
        key: Key,
        /// Why.
        rejection: Rejection,
    },
}

impl Draft {
    /// Begins a stream. `nonce` and `seed` are random, `mint` is the gateway's wall clock.
    pub fn begin(
        ring: impl Into<Arc<Ring>>,
        limits: Limits,
        mint: Timestamp,
        nonce: u64,
        seed: Hash,
    ) -> Draft {
        Draft {
            ring: ring.into(),
            limits,
            mint,
            nonce,
            home: None,
            seal: Seal { seed, count: 0, head: seed },
            segments: Vec::new(),
            parts: BTreeMap::new(),
            claim: None,
            finding: Finding::Nothing,
            basis: Basis::Reads,
            delta_bytes: 0,
        }
    }

    /// Ties the draft to a request id, whose record counts as touched.
    pub fn claim(
        &mut self,
        request: crate::request::RequestId,
        content: Hash,
    ) -> Result<GroupId, DraftError> {
        Key::new("request", &request.route, "")?;
        let group = self.ring.group_of(&request.route).ok_or(DraftError::NoRing)?;
        self.touch_partition(&request.route)?;
        self.claim = Some(Claim { request, group, content });
        Ok(group)
    }

    /// The group that owns a key, which becomes home if it is the first one touched.
    pub fn touch(&mut self, key: &Key) -> Result<GroupId, DraftError> {
        key.check()?;
        self.touch_partition(&key.partition)
    }

    /// The transaction id, once something was touched.
    pub fn tid(&self) -> Option<Tid> {
        self.home.map(|home| Tid { mint: self.mint, home, nonce: self.nonce })
    }

    /// Where the chain stands.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Notes what a read showed the client, and answers what it shows with this transaction's own
    /// deltas applied.
    pub fn note_read(&mut self, record: &Record) -> Result<Record, DraftError> {
        let group = self.touch(&record.key)?;
        if !self.keeps_reads() {
            return self.with_own(record);
        }
        self.check_reads_limit()?;
        let part = self.parts.entry(group).or_default();
        let first = *part.reads.entry(record.key.clone()).or_insert(record.version);
        if first != record.version {
            let (key, second) = (record.key.clone(), record.version);
            return Err(DraftError::Unrepeatable { key, first, second });
        }
        self.with_own(record)
    }

    /// Notes what a scan showed. The rows carry committed state; own deltas on them are applied,
    /// and records that only this transaction would create are not in them.
    pub fn note_scan(&mut self, found: &RangeRecords) -> Result<Vec<Record>, DraftError> {
        let KeyRange { collection, partition, .. } = &found.covered;
        let group = self.touch(&Key::new(collection, partition, "")?)?;
        self.check_reads_limit()?;
        let read = RangeRead { range: found.covered.clone(), fingerprint: found.fingerprint };
        let keeps = self.keeps_reads();
        let ranges = &mut self.parts.entry(group).or_default().ranges;
        if keeps && !ranges.contains(&read) {
            let actual = ranges.len() as u64 + 1;
            if actual > RANGES_MAX {
                return Err(DraftError::Limit { limit: "ranges_max", max: RANGES_MAX, actual });
            }
            ranges.push(read);
        }
        found.records.iter().map(|record| self.with_own(record)).collect()
    }

    /// Takes a transition: its delta's bytes, and the sequence number and digest if the client
    /// sends its own.
    pub fn push(
        &mut self,
        delta: Vec<u8>,
        seq: Option<u64>,
        digest: Option<Hash>,
    ) -> Result<Accepted, DraftError> {
        self.push_seen(delta, seq, digest, |_| ())
    }

    /// The same, and shows the delta, once it is taken, to whoever follows the stream.
    pub fn push_seen(
        &mut self,
        delta: Vec<u8>,
        seq: Option<u64>,
        digest: Option<Hash>,
        seen: impl FnOnce(&Delta),
    ) -> Result<Accepted, DraftError> {
        let next = self.seal.count + 1;
        if let Some(sent) = seq.filter(|&sent| sent != next) {
            return Err(DraftError::Sequence { expected: next, sent });
        }
        let parsed: Delta =
            codec::decode(&delta).map_err(|error| DraftError::Delta { seq: next, error })?;
        if next > self.limits.transitions_max {
            let max = self.limits.transitions_max;
            return Err(DraftError::Limit { limit: "transitions_max", max, actual: next });
        }
        let delta_bytes = self.delta_bytes + delta.len() as u64;
        if delta_bytes > self.limits.transaction_bytes_max {
            let max = self.limits.transaction_bytes_max;
            let limit = "transaction_bytes_max";
            return Err(DraftError::Limit { limit, max, actual: delta_bytes });
        }
        let expected = chain::link(&self.seal.head, next, &delta);
        if let Some(sent) = digest.filter(|&sent| sent != expected) {
            return Err(DraftError::Digest { seq: next, expected, sent });
        }
        let group = self.touch(&parsed.key)?;
        seen(&parsed);
        self.extend_segment(group, next, expected);
        let part = self.parts.entry(group).or_default();
        part.footprint.add_delta(&parsed);
        part.carried_bytes += delta.len() as u64;
        part.deltas.entry(parsed.key.clone()).or_default().push(parsed);
        part.transitions.push(Transition { seq: next, delta });
        self.seal.count = next;
        self.seal.head = expected;
        self.delta_bytes = delta_bytes;
        Ok(Accepted { seq: next, digest: expected, group })
    }

    /// Says what of its reads shall hold. Those that need not are let go, and later ones are not
    /// kept.
    pub fn rest_on(&mut self, basis: Basis) {
        self.basis = basis;
        if !self.keeps_reads() {
            for part in self.parts.values_mut() {
                part.reads.clear();
                part.ranges.clear();
            }
        }
    }

    /// What of its reads shall hold.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Makes it another attempt: a transaction of its own.
    pub fn again(&mut self, mint: Timestamp, nonce: u64) {
        (self.mint, self.nonce) = (mint, nonce);
    }

    /// Whether it serves a named request.
    pub fn is_claimed(&self) -> bool {
        self.claim.is_some()
    }

    /// The records that it read or has deltas on, the first `most` of each group, with the versions
    /// that it read; 0 where it read none.
    pub fn touched(&self, most: usize) -> Vec<(GroupId, Vec<KeyRead>)> {
        let of = |(group, part): (&GroupId, &DraftPart)| {
            let unread = part.deltas.keys().filter(|key| !part.reads.contains_key(key));
            let unread = unread.map(|key| (key, &Timestamp::ZERO));
            let all = part.reads.iter().chain(unread).take(most);
            let all = all.map(|(key, &version)| KeyRead { key: key.clone(), version });
            (*group, all.collect())
        };
        self.parts.iter().map(of).collect()
    }

    /// The records that it read or has deltas on, the first `most` of each group, as a conflict
    /// model sees them: a touch for each delta, and one for a record that was only read.
    pub fn touches(&self, most: usize) -> Vec<(GroupId, Vec<Touch>)> {
        let of = |(group, part): (&GroupId, &DraftPart)| {
            let written = part.deltas.values().take(most).flatten();
            let written = written.map(|delta| Touch::of_delta(delta, codec::encoded_bytes(delta)));
            let left = most.saturating_sub(part.deltas.len());
            let read = part.reads.keys().filter(|key| !part.deltas.contains_key(key)).take(left);
            let read = read.map(|key| Touch { writes: false, ..Touch::of_key(key) });
            (*group, written.chain(read).collect())
        };
        self.parts.iter().map(of).collect()
    }

    /// The records that it writes, by group and key.
    pub fn written(&self) -> Vec<(GroupId, Key)> {
        let parts = self.parts.iter().flat_map(|(group, part)| {
            let written = part.deltas.iter().filter(|(_, deltas)| write(deltas));
            written.map(|(key, _)| (*group, key.clone()))
        });
        parts.collect()
    }

    /// Whether it has written a record so far.
    pub fn writes(&self, group: GroupId, key: &Key) -> bool {
        let deltas = self.parts.get(&group).and_then(|part| part.deltas.get(key));
        deltas.is_some_and(|deltas| write(deltas))
    }

    /// Judges the whole by what was forecast of it; part of its body from here on.
    pub fn judge(
        &mut self,
        class: u64,
        forecast: Forecast,
        given: (Conditions, Score),
    ) -> Judgement {
        let mut footprint = Footprint::default();
        self.parts.values().for_each(|part| footprint.add(&part.footprint));
        let judged = Judgement::of(class, forecast, given, (&footprint, &self.seal));
        self.finding = Finding::Judged(judged.clone());
        judged
    }

    /// Says what it was resolved to be voted on under, if it was judged; part of its body as well.
    pub fn resolve(&mut self, resolution: Resolution) {
        self.finding = match core::mem::take(&mut self.finding) {
            Finding::Judged(judgement) => Finding::Resolved(judgement, resolution),
            other => other,
        };
    }

    /// Whether it read nothing of what it writes.
    pub fn writes_unread(&self) -> bool {
        self.parts.values().all(|part| {
            part.ranges.is_empty() && part.deltas.keys().all(|key| !part.reads.contains_key(key))
        })
    }

    /// The deltas on the first `most` records of each group, numbered by the group.
    pub fn deltas(&self, most: usize) -> BTreeMap<GroupId, Vec<(u64, Delta)>> {
        let of = |(group, part): (&GroupId, &DraftPart)| {
            let deltas = part.deltas.values().take(most).flatten().cloned();
            (*group, (1..).zip(deltas).collect())
        };
        let parts = self.parts.iter().filter(|(_, part)| !part.deltas.is_empty());
        parts.map(of).collect()
    }

    /// Says why it is not judged; part of its body from here on.
    pub fn leave_unjudged(&mut self, why: Unjudged) {
        self.finding = Finding::Unjudged(why);
    }

    /// Takes the transitions that a group's vote would have to carry, once they have at least
    /// `bytes_min` bytes: to be staged there ahead of the vote, which then finds them.
    pub fn take_to_stage(&mut self, group: GroupId, bytes_min: u64) -> Vec<Transition> {
        let part = self.parts.get_mut(&group).filter(|part| part.carried_bytes >= bytes_min);
        part.map_or_else(Vec::new, |part| {
            part.carried_bytes = 0;
            core::mem::take(&mut part.transitions)
        })
    }

    /// The groups touched so far, ascending.
    pub fn groups(&self) -> Vec<GroupId> {
        self.parts.keys().copied().collect()
    }

    /// Ends the stream.
    pub fn finish(self) -> Result<(Body, Vec<Part>), DraftError> {
        let tid = self.tid().ok_or(DraftError::Empty)?;
        let actual = self.parts.len() as u64;
        if actual > self.limits.participants_max {
            let max = self.limits.participants_max;
            return Err(DraftError::Limit { limit: "participants_max", max, actual });
        }
        let mut participants = Vec::with_capacity(self.parts.len());
        let mut parts = Vec::with_capacity(self.parts.len());
        for (group, draft) in self.parts {
            let DraftPart { reads, ranges, transitions, footprint, .. } = draft;
            let reads = reads.into_iter().map(|(key, version)| KeyRead { key, version }).collect();
            let part = Part { group, reads, ranges, transitions };
            participants.push(Participant { group, part: part.digest(), footprint });
            parts.push(part);
        }
        let (seal, segments) = (self.seal, self.segments);
        let (claim, finding, basis) = (self.claim, self.finding, self.basis);
        Ok((Body { tid, seal, segments, participants, claim, finding, basis }, parts))
    }

    fn touch_partition(&mut self, partition: &str) -> Result<GroupId, DraftError> {
        let group = self.ring.group_of(partition).ok_or(DraftError::NoRing)?;
        self.home.get_or_insert(group);
        self.parts.entry(group).or_default();
        Ok(group)
    }

    fn extend_segment(&mut self, group: GroupId, seq: u64, after: Hash) {
        match self.segments.last_mut() {
            Some(segment) if segment.group == group => {
                segment.last = seq;
                segment.after = after;
            }
            _ => {
                let before = self.seal.head;
                self.segments.push(Segment { group, first: seq, last: seq, before, after });
            }
        }
    }

    fn with_own(&self, record: &Record) -> Result<Record, DraftError> {
        let mut seen = record.clone();
        let parts = self.parts.values();
        for delta in parts.filter_map(|part| part.deltas.get(&record.key)).flatten() {
            let applied = delta.op.apply(record.version, seen.fields.take(), &self.limits);
            seen.fields = applied
                .map_err(|rejection| DraftError::Rejected { key: record.key.clone(), rejection })?;
        }
        Ok(seen)
    }

    fn keeps_reads(&self) -> bool {
        matches!(self.basis, Basis::Reads | Basis::Rebase)
    }

    fn check_reads_limit(&self) -> Result<(), DraftError> {
        let max = self.limits.reads_max;
        let most = self.parts.values().map(|part| part.reads.len() + part.ranges.len()).max();
        let actual = most.unwrap_or(0) as u64 + 1;
        if actual > max {
            return Err(DraftError::Limit { limit: "reads_max", max, actual });
        }
        Ok(())
    }
}

fn write(deltas: &[Delta]) -> bool {
    deltas.iter().any(|delta| delta.op.writes())
}
