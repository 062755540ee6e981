//! What a sealed transaction is: one body that every participant hashes, and one part for each.
//!
//! A transaction id names one body. The body lists the participants with the digest of what each
//! one is asked, so that a vote for this body in one group and for another in a second group can
//! never add up. A part's transitions are not in its digest: the segments' chain already commits
//! to their bytes, and staged ones need not be sent again.

use crate::{
    chain::{ChainFault, Seal, Segment, Transition},
    finding::Finding,
    footprint::Footprint,
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyError, KeyRange},
    request::Claim,
    strategy::Basis,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The part of a sealed transaction that all participants share.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Body {
    /// The attempt.
    pub tid: Tid,
    /// What ended the stream.
    pub seal: Seal,
    /// All groups' segments, in stream order.
    pub segments: Vec<Segment>,
    /// All groups that vote, ascending by id; read-only ones too.
    pub participants: Vec<Participant>,
    /// The request that this attempt serves, if the caller named one.
    pub claim: Option<Claim>,
    /// What was forecast of it and how it was judged, or why it was not.
    pub finding: Finding,
    /// What of its reads holds.
    pub basis: Basis,
}

/// One participant in a body.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Participant {
    /// The group.
    pub group: GroupId,
    /// Digest of what it is asked to validate: [`Part::digest`].
    pub part: Hash,
    /// The footprint of its transitions, which it recomputes.
    pub footprint: Footprint,
}

/// What one participant is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The participant.
    pub group: GroupId,
    /// Versions read; absence is version 0.
    pub reads: Vec<KeyRead>,
    /// Ranges scanned.
    pub ranges: Vec<RangeRead>,
    /// Transitions that are not in its applied stage, in stream order.
    pub transitions: Vec<Transition>,
}

/// A version that the transaction read.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct KeyRead {
    /// The record.
    pub key: Key,
    /// Its version then; 0 where it was absent.
    pub version: Timestamp,
}

/// A range that the transaction scanned.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RangeRead {
    /// What was covered: up to and with the last record returned, where a limit cut it.
    pub range: KeyRange,
    /// Digest of the keys and versions in it.
    pub fingerprint: Hash,
}

/// Why a body or a part is refused without a vote: it is not what it claims to be.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// The transaction id already names another body.
    #[error("transaction {tid} already names another body")]
    BodyMismatch {
        /// The id.
        tid: Tid,
    },
    /// The participants are not ascending, lack the home group, or lack this group.
    #[error("group {group} is not a well-formed participant of transaction {tid}")]
    Participants {
        /// The id.
        tid: Tid,
        /// The group that was asked.
        group: GroupId,
    },
    /// The part's digest or footprint is not the one in the body.
    #[error("the part of group {group} is not the one that the body lists")]
    Part {
        /// The group that was asked.
        group: GroupId,
    },
    /// The verdict is not what the forecast and the footprint give.
    #[error("the verdict on transaction {tid} is not what its forecast and its footprint give")]
    Judgement {
        /// The id.
        tid: Tid,
    },
    /// The segments or the transitions do not chain.
    #[error(transparent)]
    Chain(ChainFault),
    /// A transition's bytes do not parse as a delta.
    #[error("transition {seq} does not parse as a delta")]
    Delta {
        /// Which one.
        seq: u64,
    },
    /// A key may not be named by a client.
    #[error(transparent)]
    Key(KeyError),
    /// A key belongs to another group.
    #[error("{key} belongs to group {owner}, not to group {group}")]
    WrongGroup {
        /// The key.
        key: Key,
        /// Who owns it.
        owner: GroupId,
        /// The group that was asked.
        group: GroupId,
    },
    /// A limit of the group's configuration is passed.
    #[error("{limit} is {max}, the transaction has {value}")]
    Limit {
        /// The limit's name.
        limit: LimitName,
        /// Its value.
        max: u64,
        /// What was asked for.
        value: u64,
    },
}

/// The limits that a [`Fault`] can name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LimitName {
    TransitionsMax,
    ReadsMax,
    RangesMax,
    ParticipantsMax,
    RangeRecordsMax,
    TransactionBytesMax,
}

impl LimitName {
    /// The limit's name as errors give it.
    pub fn name(self) -> &'static str {
        match self {
            LimitName::TransitionsMax => "transitions_max",
            LimitName::ReadsMax => "reads_max",
            LimitName::RangesMax => "ranges_max",
            LimitName::ParticipantsMax => "participants_max",
            LimitName::RangeRecordsMax => "range_records_max",
            LimitName::TransactionBytesMax => "transaction_bytes_max",
        }
    }
}

impl core::fmt::Display for LimitName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl Body {
    /// The digest that names this body: `H("vatic/body/v3"; …)`, framed as [`crate::hash`] says,
    /// over the transaction id's 20 bytes as a byte string, the seal's seed, count and head; the
    /// number of segments and of each group, first, last, before, after; the number of participants
    /// and of each group, part, the number of its footprint's cells and each one's place and count
    /// (two's complement); 0, or where it serves a request 1, principal, id, route, mint, group,
    /// content; 0, or where it was judged 1, class, the number of the forecast footprint's cells,
    /// each one's place and sum (two's complement), its count, prefix and spread, the count that
    /// came, the verdict as 1 (valid) or 0, distance, spread, score, tolerance and prefix, round
    /// trip, mean round trip, missing partial digests, transactions in flight; or where it was to
    /// be judged and was not 2, why (0 too few like it, 1 not learnt yet, 2 not followed, 3 no
    /// forecast, 4 no tolerance) and the milliseconds waited; or where it was resolved 3, what
    /// follows a 1, the strategies that it had and went on under (0 optimistic, 1 rebase,
    /// 2 snapshot, 3 lock, 4 last writer wins, 5 adaptive), why (0 cheapest, 1 fixed, 2 unrated),
    /// conflicts in parts per million, latency and that of its own strategy, for each of these 0 or
    /// 1 and the number, and 1 if nobody was in the way, else 0; and what its reads stand for: 0
    /// all hold, 1 or rebase, 2 and the snapshot's time, 3 none.
    pub fn digest(&self) -> Hash {
        let hasher = Hasher::new("vatic/body/v3")
            .bytes(&self.tid.to_bytes())
            .hash(&self.seal.seed)
            .u64(self.seal.count)
            .hash(&self.seal.head);
        let hasher =
            self.segments.iter().fold(hasher.u64(self.segments.len() as u64), |hasher, segment| {
                hasher
                    .u64(u64::from(segment.group.0))
                    .u64(segment.first)
                    .u64(segment.last)
                    .hash(&segment.before)
                    .hash(&segment.after)
            });
        let hasher = self.participants.iter().fold(
            hasher.u64(self.participants.len() as u64),
            |hasher, participant| {
                let hasher = hasher.u64(u64::from(participant.group.0)).hash(&participant.part);
                participant.footprint.feed(hasher)
            },
        );
        let hasher = feed_claim(self.claim.as_ref(), hasher);
        self.basis.feed(self.finding.feed(hasher)).finish()
    }

    /// Whether the participants are what each of them would vote on: ascending, and among them the
    /// home group, the group that keeps the request, and whoever has a segment. So there is one.
    pub(crate) fn is_well_formed(&self) -> bool {
        let listed = &self.participants;
        let takes_part =
            |group: GroupId| listed.binary_search_by_key(&group, |listed| listed.group).is_ok();
        listed.windows(2).all(|pair| pair[0].group < pair[1].group)
            && takes_part(self.tid.home)
            && self.claim.as_ref().is_none_or(|claim| takes_part(claim.group))
            && self.segments.iter().all(|segment| takes_part(segment.group))
    }

    /// The participants' group ids, ascending.
    pub fn groups(&self) -> Vec<GroupId> {
        self.participants.iter().map(|participant| participant.group).collect()
    }

    /// The footprint of the whole transaction.
    pub fn footprint(&self) -> Footprint {
        let mut sum = Footprint::default();
        self.participants.iter().for_each(|participant| sum.add(&participant.footprint));
        sum
    }
}

impl Part {
    /// The digest of what this part asks to validate.
    pub fn digest(&self) -> Hash {
        let hasher = Hasher::new("vatic/part/v1").u64(u64::from(self.group.0));
        let hasher = self.reads.iter().fold(hasher.u64(self.reads.len() as u64), |hasher, read| {
            hasher.bytes(&read.key.encode()).u64(read.version.0)
        });
        let hasher =
            self.ranges.iter().fold(hasher.u64(self.ranges.len() as u64), |hasher, read| {
                let (from, to) = read.range.bounds();
                hasher.bytes(&from).bytes(&to).hash(&read.fingerprint)
            });
        hasher.finish()
    }
}

fn feed_claim(claim: Option<&Claim>, hasher: Hasher) -> Hasher {
    let Some(Claim { request, group, content }) = claim else { return hasher.u64(0) };
    hasher
        .u64(1)
        .bytes(request.principal.as_bytes())
        .bytes(&request.id)
        .bytes(request.route.as_bytes())
        .u64(request.mint.0)
        .u64(u64::from(group.0))
        .hash(content)
}
