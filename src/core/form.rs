//! The form of a vote: whether body and part are what they claim to be.
//!
//! A participant trusts nobody's digests: it recomputes those of its own transitions, stitches all
//! segments into the sealed chain, and recomputes its part's digest and footprint. What fails here
//! is a fault, not a No: no vote is recorded, and the right body may still come.

use crate::{
    body::{Body, Fault, LimitName, Part},
    chain::{self, ChainFault},
    codec,
    delta::Delta,
    footprint::Footprint,
    group::Group,
    key::{Key, KeyRange},
    limits::RANGES_MAX,
    rules::broken,
    state::Read,
    tables,
};
use alloc::{borrow::Cow, vec::Vec};

/// A part whose form has been checked: its deltas, decoded, in stream order.
pub(crate) struct Checked {
    pub(crate) deltas: Vec<(u64, Delta)>,
}

/// Transitions' bytes by their number, ascending.
type Numbered<'a> = Vec<(u64, Cow<'a, [u8]>)>;

impl Group {
    pub(crate) fn check(
        &self,
        state: &impl Read,
        body: &Body,
        part: &Part,
    ) -> Result<Checked, Fault> {
        self.check_participants(body, part)?;
        self.check_limits(body, part)?;
        self.stitch(body)?;
        let transitions = self.gather(state, body, part)?;
        let mut deltas = Vec::with_capacity(transitions.len());
        let mut footprint = Footprint::default();
        for (seq, bytes) in transitions {
            let delta: Delta = codec::decode(&bytes).map_err(|_| Fault::Delta { seq })?;
            self.check_key(&delta.key)?;
            footprint.add_delta(&delta);
            deltas.push((seq, delta));
        }
        for read in &part.reads {
            self.check_key(&read.key)?;
        }
        for range in part.ranges.iter().map(|read| &read.range) {
            range.check().map_err(Fault::Key)?;
            let KeyRange { collection, partition, .. } = range;
            self.check_key(&Key::new(collection, partition, "").map_err(Fault::Key)?)?;
        }
        if let Some(claim) = body.claim.as_ref().filter(|claim| claim.group == self.id) {
            self.check_key(&Key::new("request", &claim.request.route, "").map_err(Fault::Key)?)?;
        }
        let listed = body.participants.iter().find(|participant| participant.group == self.id);
        if listed.is_none_or(|listed| listed.footprint != footprint) {
            return Err(Fault::Part { group: self.id });
        }
        let holds = || body.finding.holds(&body.footprint(), &body.seal);
        if body.finding.judgement().is_some()
            && !holds()
            && !broken!(self.rules, JudgementUnchecked)
        {
            return Err(Fault::Judgement { tid: body.tid });
        }
        Ok(Checked { deltas })
    }

    /// All segments, in the body's order, are the sealed chain.
    fn stitch(&self, body: &Body) -> Result<(), Fault> {
        let stitched = if broken!(self.rules, StitchOutOfOrder) {
            let mut segments = body.segments.clone();
            segments.sort_by_key(|segment| segment.first);
            chain::stitch(&body.seal, &segments)
        } else {
            chain::stitch(&body.seal, &body.segments)
        };
        match stitched {
            Err(ChainFault::Gap { .. }) if broken!(self.rules, StitchOverGap) => Ok(()),
            stitched => stitched.map_err(Fault::Chain),
        }
    }

    fn check_participants(&self, body: &Body, part: &Part) -> Result<(), Fault> {
        let mut listed = body.participants.iter();
        let listed = listed.find(|participant| participant.group == self.id);
        let Some(listed) = listed.filter(|_| body.is_well_formed()) else {
            return Err(Fault::Participants { tid: body.tid, group: self.id });
        };
        let same = listed.part == part.digest() || broken!(self.rules, PartUnchecked);
        if part.group != self.id || !same {
            return Err(Fault::Part { group: self.id });
        }
        Ok(())
    }

    fn check_limits(&self, body: &Body, part: &Part) -> Result<(), Fault> {
        let limits = &self.config.limits;
        let reads = (part.reads.len() + part.ranges.len()) as u64;
        let participants = body.participants.len() as u64;
        for (limit, max, value) in [
            (LimitName::TransitionsMax, limits.transitions_max, body.seal.count),
            (LimitName::ReadsMax, limits.reads_max, reads),
            (LimitName::RangesMax, RANGES_MAX, part.ranges.len() as u64),
            (LimitName::ParticipantsMax, limits.participants_max, participants),
        ] {
            if value > max {
                return Err(Fault::Limit { limit, max, value });
            }
        }
        Ok(())
    }

    fn check_key(&self, key: &Key) -> Result<(), Fault> {
        key.check().map_err(Fault::Key)?;
        match self.ring.as_ref().and_then(|ring| ring.group_of(&key.partition)) {
            Some(owner) if owner != self.id && !broken!(self.rules, OwnerUnchecked) => {
                Err(Fault::WrongGroup { key: key.clone(), owner, group: self.id })
            }
            _ => Ok(()),
        }
    }

    /// The transitions of this group's segments, carried or staged, each digest recomputed.
    fn gather<'a>(
        &self,
        state: &impl Read,
        body: &Body,
        part: &'a Part,
    ) -> Result<Numbered<'a>, Fault> {
        let mut transitions = Vec::with_capacity(part.transitions.len());
        if self.census.staged > 0 {
            let (from, to) = tables::stage_of(body.tid);
            state.scan(&from, &to, &mut |key, delta| {
                let seq = key[21..29].try_into().expect("stage keys end in a u64");
                transitions.push((u64::from_be_bytes(seq), Cow::Owned(delta.to_vec())));
                true
            });
        }
        let carried = part.transitions.iter();
        transitions.extend(carried.map(|it| (it.seq, Cow::Borrowed(it.delta.as_slice()))));
        keep_last_of_each(&mut transitions);
        let (max, value) = (
            self.config.limits.transaction_bytes_max,
            transitions.iter().map(|(_, delta)| delta.len() as u64).sum(),
        );
        if value > max {
            return Err(Fault::Limit { limit: LimitName::TransactionBytesMax, max, value });
        }
        let mut taken = 0;
        for segment in body.segments.iter().filter(|segment| segment.group == self.id) {
            let from = transitions.partition_point(|(seq, _)| *seq < segment.first);
            let to = transitions.partition_point(|(seq, _)| *seq <= segment.last);
            let run = transitions[from..to].iter().map(|(seq, delta)| (*seq, &**delta));
            match chain::recompute(segment, run) {
                Err(ChainFault::Broken { .. }) if broken!(self.rules, DigestUnchecked) => {}
                recomputed => recomputed.map_err(Fault::Chain)?,
            }
            taken += to - from;
        }
        if taken != transitions.len() {
            return Err(Fault::Part { group: self.id });
        }
        Ok(transitions)
    }
}

/// Sorts by number; of several under one number the last stands.
fn keep_last_of_each<T>(transitions: &mut Vec<(u64, T)>) {
    transitions.sort_by_key(|(seq, _)| *seq);
    transitions.dedup_by(|later, kept| {
        let again = later.0 == kept.0;
        if again {
            core::mem::swap(later, kept);
        }
        again
    });
}
