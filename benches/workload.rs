//! Transactions on the core alone: a draft, its seal, votes and decisions, on states in memory.
//!
//! Old versions and outcomes are collected and forgotten as a leader would, so that the state stays
//! the size of its records.

use std::{hint::black_box, sync::Arc};
use vatic_core::{
    body::{Body, Part},
    chain, codec,
    command::{Command, Decision, Reply, Standing, Vote},
    delta::{Delta, Op},
    draft::Draft,
    group::Group,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    key::Key,
    limits::Limits,
    memory::MemoryState,
    ring::{Ring, RingSpec},
    rules::Rules,
};

/// Records in each group.
const RECORDS: u64 = 1_000;
/// Transactions between two collections.
const COLLECT_EVERY: u64 = 256;

/// The hashes that a transaction's chain takes at the least: two for each transition, at the
/// gateway and at its participant.
pub(crate) fn hash_floor(transitions: u64) {
    let delta = [7; 32];
    let mut digest = Hash::ZERO;
    for seq in 0..2 * transitions {
        digest = chain::link(&digest, seq, black_box(&delta));
    }
    black_box(digest);
}

/// Groups with records, and a counter that makes each transaction another one.
pub(crate) struct Workload {
    ring: Arc<Ring>,
    groups: Vec<(Group, MemoryState, u64)>,
    keys: Vec<Vec<Key>>,
    transitions: u64,
    done: u64,
}

impl Workload {
    pub(crate) fn new(groups: u32, transitions: u64) -> Workload {
        let ids: Vec<GroupId> = (1..=groups).map(GroupId).collect();
        let spec = RingSpec { epoch: 1, virtual_nodes: 64, groups: ids.clone() };
        let ring = Arc::new(Ring::new(spec));
        let keys = ids.iter().map(|&id| keys_of(&ring, id)).collect();
        let open = |&id: &GroupId| {
            let state = MemoryState::default();
            (Group::open(id, &state, Rules::default()), state, 0)
        };
        let groups = ids.iter().map(open).collect();
        Workload { ring, groups, keys, transitions, done: 0 }
    }

    /// One transaction, from its first transition to its last decision.
    pub(crate) fn transact(&mut self) {
        self.done += 1;
        let mut draft = self.begin();
        self.deltas().into_iter().for_each(|delta| push(&mut draft, delta));
        let (body, parts) = draft.finish().expect("something was touched");
        let mut latest = Timestamp::ZERO;
        for part in parts {
            let hint = Timestamp(self.done);
            let (group, vote) = (part.group, Vote { body: body.clone(), part, hint });
            latest = latest.max(self.vote(group, vote));
        }
        if self.keys.len() > 1 {
            self.decide(body.tid, Some(body.digest()), latest);
        }
        if self.done.is_multiple_of(COLLECT_EVERY) {
            self.collect(body.tid);
        }
    }

    /// A transaction's stream that has sent nothing yet.
    pub(crate) fn begin(&self) -> Draft {
        let seed = Hash([self.done as u8; 32]);
        let (limits, mint) = (Limits::production(), Timestamp(self.done));
        Draft::begin(self.ring.clone(), limits, mint, self.done, seed)
    }

    /// What it sends: additions in all groups by turns.
    pub(crate) fn deltas(&self) -> Vec<Vec<u8>> {
        let count = self.transitions.max(self.keys.len() as u64);
        let delta = |at: u64| {
            let keys = &self.keys[at as usize % self.keys.len()];
            let key = keys[(self.done.wrapping_mul(31) + at) as usize % keys.len()].clone();
            codec::encode(&Delta { key, op: Op::Add { field: "balance".into(), by: 1 } })
        };
        (0..count).map(delta).collect()
    }

    /// Its seal: what is voted on.
    pub(crate) fn sealed(&self) -> (Body, Vec<Part>) {
        let mut draft = self.begin();
        self.deltas().into_iter().for_each(|delta| push(&mut draft, delta));
        draft.finish().expect("something was touched")
    }

    fn vote(&mut self, group: GroupId, vote: Vote) -> Timestamp {
        match self.apply(group, &Command::Vote(Box::new(vote))) {
            Reply::Standing(
                Standing::Yes { ts, .. } | Standing::Decided(Decision::Committed { ts }),
            ) => ts,
            other => panic!("an uncontended transaction was not accepted: {other:?}"),
        }
    }

    fn decide(&mut self, tid: Tid, body: Option<Hash>, ts: Timestamp) {
        for at in 0..self.groups.len() {
            let decision = Decision::Committed { ts };
            let command = Command::Decide { tid, body, decision, proofs: Vec::new() };
            self.apply(GroupId(at as u32 + 1), &command);
        }
    }

    /// All transactions so far are applied everywhere, so all may be forgotten.
    fn collect(&mut self, last: Tid) {
        for at in 0..self.groups.len() {
            let id = GroupId(at as u32 + 1);
            let (group, state, _) = &self.groups[at];
            let (horizon, watermark) = (group.clock(), last.mint);
            let unsettled = group.unsettled(state, watermark);
            let settled = unsettled.into_iter().map(|known| known.tid).collect();
            self.apply(id, &Command::Forget { watermark, settled });
            self.apply(id, &Command::Collect { horizon, items_max: u32::MAX });
        }
    }

    fn apply(&mut self, id: GroupId, command: &Command) -> Reply {
        let (group, state, index) = &mut self.groups[id.0 as usize - 1];
        *index += 1;
        let bytes = codec::encode(command);
        let applied = group.apply_entry(state, *index, [bytes.as_slice()]);
        applied.expect("no contradiction").remove(0).reply
    }
}

/// Takes one transition.
pub(crate) fn push(draft: &mut Draft, delta: Vec<u8>) {
    draft.push(delta, None, None).expect("a valid delta");
}

fn keys_of(ring: &Ring, group: GroupId) -> Vec<Key> {
    (0..)
        .map(|n| Key::new("account", &format!("p{n}"), "").expect("a valid key"))
        .filter(|key| ring.group_of(&key.partition) == Some(group))
        .take(RECORDS as usize)
        .collect()
}
