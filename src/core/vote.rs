//! The vote: a pure function of the group's state and the part, recorded in the log.
//!
//! A Yes fixes the after-images and takes the locks, so that installing later cannot fail; a No
//! names what stood in the way. No vote waits, so votes cannot deadlock. What is malformed gets a
//! fault instead of a vote: whoever sent it may still send the right body.

use crate::{
    aggregate::AggregateRef,
    body::{Body, Fault, Part},
    census::Census,
    chain::Transition,
    codec,
    command::{Cause, Decision, Refusal, Reply, Standing, Vote, Why},
    delta::{Delta, Op},
    finding::Finding,
    form::Checked,
    group::{Group, Origin, YesEffect},
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    lock,
    policy::Validation,
    quota, read, receipt,
    request::{self, Claim, Held},
    rules::broken,
    state::{Read, State},
    tables::{self, Garbage, Image, KeptRef, Place, Prepared, Stored, Txn, VoteCast},
    tolerance,
    value::{Fields, Scalar, Value},
    verdict::{Action, Verdict},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::cmp::Reverse;

/// What a Yes would hold and install.
#[derive(Default)]
struct Granted {
    reads: Vec<Key>,
    ranges: Vec<KeyRange>,
    images: Vec<Image>,
    /// What the images replace, as stored.
    replaced: Vec<Option<Vec<u8>>>,
    growth: i64,
}

/// A record while deltas are applied to it.
struct Touched {
    version: Timestamp,
    fields: Option<Fields>,
    written: bool,
    /// The last transition that touched it.
    seq: u64,
    stored: Option<Vec<u8>>,
    /// What `stored` counts against the quota.
    bytes: u64,
}

impl Group {
    pub(crate) fn vote(
        &mut self,
        state: &mut impl State,
        vote: &Vote,
        origin: Option<Origin>,
    ) -> (Reply, Option<YesEffect>) {
        let Vote { body, part, hint } = vote;
        let tid = body.tid;
        let digest = body.digest();
        if let Some(known) = self.known(state, tid, Some(digest)) {
            return (known, None);
        }
        let checked = match self.check(state, body, part) {
            Ok(checked) => checked,
            Err(fault) => return (Reply::Fault(fault), None),
        };
        match self.weigh(state, body, part, checked) {
            Ok(granted) => self.vote_yes(state, body, digest, granted, (*hint, origin)),
            Err(why) => (self.vote_no(state, body, digest, why), None),
        }
    }

    /// Records a No unless there is a vote already; answers where the transaction stands.
    pub(crate) fn force(
        &mut self,
        state: &mut impl State,
        tid: Tid,
        body: Option<Hash>,
        participants: &[GroupId],
    ) -> Reply {
        if let Some(known) = self.known(state, tid, body) {
            let votes = matches!(known, Reply::Standing(Standing::Yes { .. }));
            if !votes || !broken!(self.rules, ForceTakesBackYes) {
                return known;
            }
        }
        let cause = Cause { group: self.id, why: Why::Forced };
        let vote = VoteCast::No(cause.clone());
        let participants = participants.to_vec();
        self.clear(state, tid);
        self.keep(state, tid, &Txn { body, participants, vote, decision: None }, None, None);
        Reply::Standing(Standing::No(cause))
    }

    /// What a question about this transaction is answered with, if anything is known of it.
    fn known(&self, state: &impl Read, tid: Tid, meant: Option<Hash>) -> Option<Reply> {
        let txn = tables::load_txn(state, tid);
        if self.is_other_body(txn.as_ref(), meant) {
            return Some(Reply::Fault(Fault::BodyMismatch { tid }));
        }
        let standing = self.standing_of(tid, txn);
        (standing != Standing::None).then_some(Reply::Standing(standing))
    }

    /// Keeps transitions for a later vote. Ignored once there is a vote.
    pub(crate) fn stage(
        &mut self,
        state: &mut impl State,
        tid: Tid,
        transitions: &[Transition],
    ) -> Reply {
        let voted = self.standing(state, tid) != Standing::None;
        if voted && !broken!(self.rules, StagedAfterVote) {
            return Reply::Done;
        }
        let limit = self.config.limits.transitions_max;
        if transitions.iter().any(|transition| transition.seq > limit) {
            return Reply::Refused(Refusal::StageFull { limit });
        }
        // The first one stands; a changed repeat breaks the digest chain at the vote.
        let fresh: BTreeMap<Vec<u8>, &Vec<u8>> = transitions
            .iter()
            .rev()
            .map(|transition| (tables::stage(tid, transition.seq), &transition.delta))
            .filter(|(place, _)| state.get(place).is_none())
            .collect();
        self.census.staged += fresh.len() as u64;
        for (place, delta) in fresh {
            state.put(place, delta.clone());
        }
        Reply::Done
    }

    fn vote_yes(
        &mut self,
        state: &mut impl State,
        body: &Body,
        digest: Hash,
        granted: Granted,
        (hint, origin): (Timestamp, Option<Origin>),
    ) -> (Reply, Option<YesEffect>) {
        let tid = body.tid;
        let snapshot = body.basis.snapshot().map(Timestamp::next).unwrap_or_default();
        let ts = self.head.clock.next().max(hint).max(snapshot);
        self.head.clock = ts;
        let images = Hasher::new("vatic/images/v1").bytes(&codec::encode(&granted.images)).finish();
        let participants = body.groups();
        let alone = participants.len() == 1;
        let decision = alone.then_some(Decision::Committed { ts });
        let vote = VoteCast::Yes { ts };
        let place = origin.map(|origin| {
            let Origin { index, leaf, command } = origin;
            Place { index, leaf, command, images }
        });
        let aggregate = alone.then_some(AggregateRef { body: Some(body), proofs: &[] });
        let txn = Txn { body: Some(digest), participants, vote, decision };
        self.keep(state, tid, &txn, place, aggregate);
        self.drop_stage(state, tid);
        if alone {
            for (image, replaced) in granted.images.iter().zip(granted.replaced) {
                self.install_over(state, body.claim.as_ref(), image, replaced, ts);
            }
        } else {
            let Granted { reads, ranges, images, growth, .. } = granted;
            let prepared = Prepared { body: body.clone(), ts, reads, ranges, images, growth };
            tables::save(state, tables::prepared(tid), &prepared);
            lock::acquire(state, tid, &prepared);
            self.census.add(&prepared);
            self.head.quota.promise(prepared.growth);
        }
        let effect = receipt::vote_effect(tid, &digest, self.id, ts, &images);
        let yes = YesEffect { tid, ts, place, digest: effect };
        (Reply::Standing(self.standing_of(tid, Some(txn))), Some(yes))
    }

    fn vote_no(&mut self, state: &mut impl State, body: &Body, digest: Hash, why: Why) -> Reply {
        let cause = Cause { group: self.id, why };
        let (tid, participants) = (body.tid, body.groups());
        let decision = (participants.len() == 1).then(|| Decision::RolledBack(cause.clone()));
        let txn = Txn { body: Some(digest), participants, vote: VoteCast::No(cause), decision };
        let home = tid.home == self.id;
        let aggregate = home.then_some(AggregateRef { body: Some(body), proofs: &[] });
        self.clear(state, tid);
        self.keep(state, tid, &txn, None, aggregate);
        Reply::Standing(self.standing_of(tid, Some(txn)))
    }

    /// Drops what a transaction that is now a No holds here.
    fn clear(&mut self, state: &mut impl State, tid: Tid) {
        if let Some(prepared) = tables::load::<Prepared>(state, &tables::prepared(tid)) {
            lock::release(state, tid, &prepared);
            self.census.remove(&prepared);
            self.head.quota.settle(prepared.growth);
            state.delete(&tables::prepared(tid));
        }
        self.drop_stage(state, tid);
    }

    /// Writes what the group keeps of a transaction, the aggregate record at its home alone.
    pub(crate) fn keep(
        &mut self,
        state: &mut impl State,
        tid: Tid,
        txn: &Txn,
        place: Option<Place>,
        aggregate: Option<AggregateRef<'_>>,
    ) {
        debug_assert!(aggregate.is_none() || tid.home == self.id, "kept by another group");
        // Its time begins with the decision.
        if aggregate.is_some() && txn.decision.is_some() {
            self.list(Garbage::Outcome(tid), self.config.limits.outcome_ttl_us);
        }
        let folds = match txn.decision {
            None => broken!(self.rules, FoldedUndecided),
            Some(Decision::RolledBack(_)) => !broken!(self.rules, FoldsCommitsAlone),
            Some(Decision::Committed { .. }) => true,
        };
        if folds {
            let judged = aggregate.and_then(|aggregate| aggregate.body?.finding.judgement());
            judged.into_iter().for_each(|judged| tolerance::fold_into(state, judged));
        }
        tables::save(state, tables::txn(tid), &KeptRef { txn, place, aggregate });
    }

    /// The rule itself: what a Yes would hold and install, or why it is a No.
    fn weigh(
        &self,
        state: &impl Read,
        body: &Body,
        part: &Part,
        checked: Checked,
    ) -> Result<Granted, Why> {
        self.check_foreseen(body, &checked)?;
        let claim = body.claim.as_ref().filter(|claim| claim.group == self.id);
        let claimed = claim.map(|claim| claim.request.key());
        let (writes, reads) = touched(part, &checked, claimed.as_ref());
        check_locks(state, self.census, (&writes, &reads), part)?;
        self.check_basis(state, body, part, &checked)?;
        // A vote that decides as well locks nothing.
        let alone = body.participants.len() == 1;
        let (reads, ranges) =
            if alone { Default::default() } else { self.held_reads(&reads, part) };
        let mut granted = self.images(state, checked)?;
        if let Some(claim) = claim {
            granted.push(self.claim_image(state, body.tid, claim)?, None, 0);
        }
        self.head.quota.check(granted.growth, &self.config.limits)?;
        Ok(Granted { reads, ranges, ..granted })
    }

    /// Why a vote on these deltas, with their numbers, would be a No if it came now and had read
    /// nothing. Changes nothing.
    pub fn try_out(&self, state: &impl Read, deltas: Vec<(u64, Delta)>) -> Option<Cause> {
        let checked = Checked { deltas };
        let (reads, ranges, transitions) = Default::default();
        let part = Part { group: self.id, reads, ranges, transitions };
        let weigh = || {
            let (writes, reads) = touched(&part, &checked, None);
            check_locks(state, self.census, (&writes, &reads), &part)
        };
        let fits = weigh().and_then(|()| {
            let granted = self.images(state, checked)?;
            self.head.quota.check(granted.growth, &self.config.limits)
        });
        fits.err().map(|why| Cause { group: self.id, why })
    }

    /// What is not what was forecast of it, or says that it could not be judged, is rolled back
    /// where a collection that it writes here enforces that; of several the strictest is named, and
    /// of those the first that is written.
    fn check_foreseen(&self, body: &Body, checked: &Checked) -> Result<(), Why> {
        let finding = &body.finding;
        let refuses = |(_, delta): &(u64, Delta)| {
            let collection = &delta.key.collection;
            let validation = self.config.policies.of(collection).validation;
            let refuses = finding.action(validation) == Action::RollBack;
            (refuses && delta.op.writes()).then(|| (validation, collection.clone()))
        };
        let refusing = checked.deltas.iter().filter_map(refuses);
        let strictest = refusing.min_by_key(|(validation, _)| Reverse(*validation));
        let strictest = strictest.filter(|_| !broken!(self.rules, EnforcesNothing));
        let Some((validation, collection)) = strictest else { return Ok(()) };
        Err(match finding {
            Finding::Nothing => return Ok(()),
            Finding::Unjudged(why) => Why::Unjudged { collection, why: *why },
            Finding::Judged(judged) | Finding::Resolved(judged, _) => {
                let Verdict { score, tolerance, .. } = judged.verdict;
                match validation {
                    Validation::Quarantine => Why::Quarantined { collection, score, tolerance },
                    _ => Why::Unforeseen { collection, score, tolerance },
                }
            }
        })
    }

    fn held_reads(&self, reads: &BTreeSet<&Key>, part: &Part) -> (Vec<Key>, Vec<KeyRange>) {
        let reads = reads.iter().filter(|_| !broken!(self.rules, NoReadLocks));
        let ranges = part.ranges.iter().filter(|_| !broken!(self.rules, NoRangeLocks));
        let ranges = ranges.map(|read| read.range.clone());
        (reads.map(|key| Key::clone(key)).collect(), ranges.collect())
    }

    /// The images of what is written.
    fn images(&self, state: &impl Read, checked: Checked) -> Result<Granted, Why> {
        let mut records: BTreeMap<Key, Touched> = BTreeMap::new();
        for (seq, Delta { key, op }) in checked.deltas {
            let record = records.entry(key).or_insert_with_key(|key| Touched::by(state, key, &op));
            record.seq = seq;
            record.written |= op.writes();
            match op.into_image(record.version, record.fields.take(), &self.config.limits) {
                Ok(fields) => record.fields = fields,
                Err(rejection) => {
                    let mut keys = records.into_iter().filter(|(_, record)| record.seq == seq);
                    let (key, _) = keys.next().expect("this transition touched a record");
                    return Err(Why::Rejected { key, seq, rejection });
                }
            }
        }
        let mut granted = Granted::default();
        for (key, record) in records.into_iter().filter(|(_, record)| record.written) {
            granted.push(Image { key, fields: record.fields }, record.stored, record.bytes);
        }
        Ok(granted)
    }

    fn claim_image(&self, state: &impl Read, tid: Tid, claim: &Claim) -> Result<Image, Why> {
        let request = &claim.request;
        let (mint, clock) = (request.mint, self.head.clock);
        if mint.plus_us(self.config.limits.request_ttl_us) <= clock {
            return Err(Why::RequestExpired { mint, clock });
        }
        let key = request.key();
        let served = held(state, &key).filter(|_| !broken!(self.rules, RequestServedAgain));
        if let Some(held) = served {
            let by = held.tid;
            let same = held.content == claim.content;
            return Err(if same { Why::RequestHeld { by } } else { Why::RequestMismatch { by } });
        }
        let held = Held { tid, content: claim.content };
        let value = Value::One(Scalar::Bytes(codec::encode(&held)));
        Ok(Image { key, fields: Some(Fields::from([("held".into(), value)])) })
    }

    pub(crate) fn drop_stage(&mut self, state: &mut impl State, tid: Tid) {
        // Hardly any transaction stages anything: no bounds are made for the others.
        if self.census.staged > 0 {
            self.drop_staged(state, tables::stage_of(tid));
        }
    }

    /// Drops what was staged within these bounds.
    pub(crate) fn drop_staged(&mut self, state: &mut impl State, (from, to): (Vec<u8>, Vec<u8>)) {
        if self.census.staged == 0 {
            return;
        }
        let staged = read::keys(state, &from, &to);
        self.census.staged -= staged.len() as u64;
        staged.iter().for_each(|key| state.delete(key));
    }
}

impl Granted {
    fn push(&mut self, image: Image, replaced: Option<Vec<u8>>, replaced_bytes: u64) {
        let bytes = quota::record_bytes(&image.key, image.fields.as_ref());
        self.growth += bytes as i64 - replaced_bytes as i64;
        self.images.push(image);
        self.replaced.push(replaced);
    }
}

impl Touched {
    /// A record that this operation is the first to touch; fields that it replaces unseen are not
    /// read.
    fn by(state: &impl Read, key: &Key, op: &Op) -> Touched {
        let stored = state.get(&tables::latest(key));
        let measured = stored.as_ref().map(|stored| tables::measure_of(stored));
        let (version, bytes) = read::live(measured);
        let replaced = matches!(op, Op::Put(_));
        let read = stored.as_ref().filter(|_| !replaced);
        let fields = read.and_then(|stored| tables::stored::<Stored>(stored).fields);
        Touched { version, fields, written: false, seq: 0, stored, bytes }
    }
}

/// Who committed the request that a record stands for.
pub(crate) fn held(state: &impl Read, key: &Key) -> Option<Held> {
    let (_, fields) = read::latest(state, key);
    match fields?.get("held") {
        Some(Value::One(Scalar::Bytes(bytes))) => Some(tables::stored(bytes)),
        _ => None,
    }
}

/// No undecided transaction writes what this one touches or relies on what it writes.
fn check_locks(
    state: &impl Read,
    held: Census,
    (writes, reads): (&BTreeSet<&Key>, &BTreeSet<&Key>),
    part: &Part,
) -> Result<(), Why> {
    // What is skipped finds nothing: the order in which locks are met does not change.
    for key in writes.iter().chain(reads).filter(|_| held.writes > 0) {
        if let Some(writer) = lock::writer(state, key) {
            return Err(Why::Locked { key: Key::clone(key), by: writer.tid });
        }
    }
    for key in writes.iter().filter(|_| held.reads > 0) {
        if let Some(by) = lock::reader(state, key) {
            return Err(Why::Locked { key: Key::clone(key), by });
        }
    }
    if held.ranges > 0
        && let Some((key, by)) = lock::range_reader(state, writes)
    {
        return Err(Why::RangeLocked { key: key.clone(), by });
    }
    let mut ranges = part.ranges.iter().filter(|_| held.writes > 0);
    let in_ranges = ranges.find_map(|read| lock::writer_in(state, &read.range, |_| true));
    match in_ranges {
        Some((key, writer)) => Err(Why::Locked { key, by: writer.tid }),
        None => Ok(()),
    }
}

/// Keys that the part writes, and keys that it relies on without writing them.
fn touched<'a>(
    part: &'a Part,
    checked: &'a Checked,
    claimed: Option<&'a Key>,
) -> (BTreeSet<&'a Key>, BTreeSet<&'a Key>) {
    let (mut writes, mut reads) = (BTreeSet::new(), BTreeSet::new());
    for (_, delta) in &checked.deltas {
        let keys = if delta.op.writes() { &mut writes } else { &mut reads };
        keys.insert(&delta.key);
    }
    reads.extend(part.reads.iter().map(|read| &read.key));
    writes.extend(claimed);
    debug_assert!(writes.iter().filter(|key| key.collection == request::COLLECTION).count() <= 1);
    reads.retain(|key| !writes.contains(key));
    (writes, reads)
}
