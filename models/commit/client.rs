//! A transaction's client and gateway: reads, then the core's own draft, then its body and parts.
//!
//! A read happens in one step in one group, and may show an old version beside an undecided write,
//! as reads inside read-write transactions may. The draft is made when the last read is in; until
//! then nothing of it can influence anybody.

use crate::{
    commit::{
        plan::{Item, Judged, Place, Plan},
        serial::{KeyId, Seen, Write},
        site::Site,
    },
    shared::Shared,
};
use std::{collections::BTreeMap, sync::Arc};
use vatic_core::{
    body::Body,
    codec,
    command::{Command, Vote},
    delta::{Delta, Op},
    draft::Draft,
    estimate::Resolution,
    expected::Score,
    finding::Unjudged,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    limits::Limits,
    read::{RangeRecords, Record},
    request::RequestId,
    ring::{Ring, RingSpec},
    strategy::{Basis, Strategy},
    value::Fields,
    verdict::{Conditions, Forecast},
};

/// The field that holds a record's value.
const FIELD: &str = "v";

/// Places in this collection stand for the record of a request id.
pub(crate) const REQUESTS: &str = "request";

/// The most records that a range read returns; more than any scenario has.
pub(crate) const RANGE_MAX: usize = 8;

/// Where the scenario's records lie on the core's ring.
#[derive(Clone, Debug)]
pub struct Atlas {
    ring: Arc<Ring>,
    places: Vec<usize>,
    keys: Vec<Key>,
}

/// What a client was shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Observed {
    /// A record.
    Record(Record),
    /// A range.
    Range(RangeRecords),
}

/// A transaction that is ready to be voted on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sealed {
    /// Its body.
    pub body: Body,
    /// The vote that each participant is asked for.
    pub votes: BTreeMap<usize, Shared<Command>>,
    /// What is staged before, at each participant.
    pub stages: BTreeMap<usize, Shared<Command>>,
    /// What it read, for the oracle.
    pub seen: Seen,
}

impl Atlas {
    /// Finds a partition for each place on the ring of this many groups.
    pub fn new(groups: usize, places: &[Place]) -> Atlas {
        let groups = (0..groups).map(group_id).collect();
        let ring = Arc::new(Ring::new(RingSpec { epoch: 1, virtual_nodes: 16, groups }));
        let keys = places
            .iter()
            .map(|place| {
                let partition = partition_of(&ring, place.group);
                Key::new(place.collection, &partition, place.sort).expect("scenarios name keys")
            })
            .collect();
        Atlas { ring, places: places.iter().map(|place| place.group).collect(), keys }
    }

    /// A record's key.
    pub fn key(&self, key: KeyId) -> &Key {
        &self.keys[key]
    }

    /// The group that a record lies in, by place.
    pub fn place(&self, key: KeyId) -> usize {
        self.places[key]
    }

    /// The range that an item means.
    pub fn range(&self, keys: &[KeyId]) -> KeyRange {
        let Key { collection, partition, .. } = self.key(keys[0]);
        KeyRange::partition(collection, partition)
    }

    /// What a read inside a transaction shows.
    pub fn peek(&self, site: &Site, item: &Item) -> Observed {
        match item {
            Item::Key(key) => Observed::Record(site.group.peek(&site.state, self.key(*key)).0),
            Item::Range(keys) => {
                let range = self.range(keys);
                Observed::Range(site.group.peek_range(&site.state, &range, RANGE_MAX).0)
            }
        }
    }

    /// A record as of a snapshot; `None` where somebody may yet commit a write at or before it.
    pub fn snapshot(&self, site: &Site, key: KeyId, at: Timestamp) -> Option<Observed> {
        let found = site.group.get_at(&site.state, self.key(key), at);
        found.ok().map(Observed::Record)
    }

    /// Translates records for the oracle: what is not among them is absent.
    pub fn seen(&self, item: &Item, records: &[Record]) -> Seen {
        let value = |key: KeyId| {
            let record = records.iter().find(|record| record.key == self.keys[key])?;
            record.fields.as_ref()?.get(FIELD)?.as_i64()
        };
        item.keys().into_iter().map(|key| (key, value(key))).collect()
    }

    /// A record's latest value.
    pub fn value(&self, sites: &[Shared<Site>], key: KeyId) -> Option<i64> {
        let site = &sites[self.place(key)];
        if self.key(key).collection == REQUESTS {
            let held = site.group.request(&site.state, &self.request(key));
            return held.is_ok_and(|held| held.is_some()).then_some(1);
        }
        site.group.peek(&site.state, self.key(key)).0.fields?.get(FIELD)?.as_i64()
    }

    /// The draft of a transaction that has read what it wanted, of the snapshot at `at` if it reads
    /// one, and what of that shall hold.
    pub fn draft(
        &self,
        plan: &Plan,
        observed: &[Shared<Observed>],
        at: Timestamp,
    ) -> (Draft, Seen) {
        let mint = Timestamp(plan.identity);
        let seed = Hash([plan.identity as u8; 32]);
        let limits = Limits::production();
        let mut draft = Draft::begin(self.ring.clone(), limits, mint, plan.identity, seed);
        draft.rest_on(match plan.strategy {
            Strategy::Optimistic | Strategy::Lock | Strategy::Adaptive => Basis::Reads,
            Strategy::Rebase => Basis::Rebase,
            Strategy::Snapshot => Basis::Snapshot(at),
            Strategy::LastWriterWins => Basis::Nothing,
        });
        let mut seen = Seen::new();
        if let Some(claim) = plan.claim {
            draft.claim(self.request(claim), Hash::ZERO).expect("the route is valid");
            seen.push((claim, None));
        }
        for (item, observed) in plan.reads.iter().zip(observed) {
            match &**observed {
                Observed::Record(record) => {
                    draft.note_read(record).expect("read once");
                    seen.extend(self.seen(item, std::slice::from_ref(record)));
                }
                Observed::Range(found) => {
                    draft.note_scan(found).expect("scanned once");
                    seen.extend(self.seen(item, &found.records));
                }
            }
        }
        seen.retain(|&(key, _)| plan.shall_hold(key));
        for &(key, write) in &plan.writes {
            let delta = Delta { key: self.key(key).clone(), op: operation(write) };
            draft.push(codec::encode(&delta), None, None).expect("the delta is valid");
        }
        if let Some(judged) = plan.judged {
            judge(&mut draft, judged);
        }
        (draft, seen)
    }

    /// Seals a draft.
    pub fn seal(&self, plan: &Plan, (draft, seen): (Draft, Seen)) -> Sealed {
        let (mut body, parts) = draft.finish().expect("something was touched");
        if plan.judged == Some(Judged::PassedOff) {
            body.finding.judgement_mut().into_iter().for_each(|judged| judged.verdict.valid = true);
        }
        let mut sealed = Sealed { body, votes: BTreeMap::new(), stages: BTreeMap::new(), seen };
        for mut part in parts {
            let at = place_of(part.group);
            if plan.staged && !plan.streamed {
                let transitions = std::mem::take(&mut part.transitions);
                let stage = Command::Stage { tid: sealed.body.tid, transitions };
                sealed.stages.insert(at, Shared::new(stage));
            }
            let hint = Timestamp(plan.hints.get(at).copied().unwrap_or(0));
            let vote = Vote { body: sealed.body.clone(), part, hint };
            sealed.votes.insert(at, Shared::new(Command::Vote(vote.into())));
        }
        sealed
    }

    /// The request whose record the oracle knows by this key.
    fn request(&self, claim: KeyId) -> RequestId {
        let route = self.keys[claim].partition.clone();
        RequestId { principal: "caller".into(), id: vec![1], route, mint: Timestamp(1) }
    }
}

impl Sealed {
    /// The transaction's id.
    pub fn tid(&self) -> Tid {
        self.body.tid
    }

    /// The participants, by place.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.votes.keys().copied()
    }
}

/// Nothing at all was forecast of it; a tolerance without bounds has it foreseen.
fn judge(draft: &mut Draft, judged: Judged) {
    let tolerance = match judged {
        Judged::Unjudged => {
            return draft.leave_unjudged(Unjudged::Unforecast { waited_ms: 1 });
        }
        Judged::Unknown => return draft.leave_unjudged(Unjudged::Unknown),
        Judged::Foreseen => Score::MAX,
        Judged::Strange | Judged::PassedOff | Judged::Resolved => 0,
    };
    draft.judge(1, Forecast::default(), (Conditions::default(), tolerance));
    if judged == Judged::Resolved {
        draft.resolve(Resolution::choose(Strategy::Optimistic, &[Strategy::Optimistic], &[]));
    }
}

/// The id of a group, by place.
pub fn group_id(place: usize) -> GroupId {
    GroupId(place as u32 + 1)
}

/// The place of a group, by id.
pub fn place_of(group: GroupId) -> usize {
    group.0 as usize - 1
}

fn partition_of(ring: &Ring, place: usize) -> String {
    (0..)
        .map(|n| format!("p{n}"))
        .find(|partition| ring.group_of(partition) == Some(group_id(place)))
        .expect("the ring covers all groups")
}

fn operation(write: Write) -> Op {
    match write {
        Write::Put(value) => Op::Put(Fields::from([(FIELD.into(), value.into())])),
        Write::Add(by) => Op::Add { field: FIELD.into(), by },
        Write::Delete => Op::Delete,
    }
}
