//! Receipts as a cluster gives them: votes in shared entries, checkpoints over many entries, signed
//! by exactly a majority, so that nothing in a receipt is to spare.

use std::collections::BTreeMap;
use vatic_core::{
    body::{Body, Part},
    codec,
    command::{Applied, Command, Reply, Vote},
    delta::{Delta, Op},
    draft::Draft,
    estimate::{Choice, Resolution},
    expected::{Expected, STEP},
    finding::Unjudged,
    footprint::Footprint,
    group::Group,
    hash::Hash,
    id::{GroupId, Timestamp},
    key::Key,
    limits::Limits,
    memory::MemoryState,
    receipt::Receipt,
    request::RequestId,
    ring::{Ring, RingSpec},
    rules::Rules,
    sign::{NodeKey, TrustedKeys},
    strategy::{Basis, Strategy},
    value::Fields,
    verdict::{Conditions, Forecast},
};

/// The cluster that signs.
pub(super) const CLUSTER: &str = "example";
/// Replicas of each group.
const NODES: u64 = 3;
/// Those that sign: a majority.
const SIGNERS: [u64; 2] = [1, 3];
/// Other transactions in each entry beside the one that counts.
const FILLERS: u64 = 3;

/// A complete receipt and what its client kept.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) receipt: Receipt,
    pub(super) deltas: Vec<Vec<u8>>,
}

/// Groups and the transactions that they committed.
pub(super) struct Samples {
    pub(super) keys: TrustedKeys,
    pub(super) samples: Vec<Sample>,
    /// What was not judged, for each reason, and what was resolved, each with its name.
    pub(super) found: Vec<(&'static str, Sample)>,
}

/// What a body says beside what was read and written.
#[derive(Clone, Copy)]
enum Says {
    /// That it was judged, where it is of more than four transitions.
    AsUsual,
    Unjudged(Unjudged),
    Resolved(Resolution),
}

const FOUND: [(&str, Says); 8] = [
    ("not judged: too few like it", Says::Unjudged(Unjudged::Unknown)),
    ("not judged: its gateway still learns", Says::Unjudged(Unjudged::Unlearnt)),
    ("not judged: its gateway did not follow it", Says::Unjudged(Unjudged::Unfollowed)),
    ("not judged: no forecast in time", Says::Unjudged(Unjudged::Unforecast { waited_ms: 100 })),
    ("not judged: no tolerance in time", Says::Unjudged(Unjudged::Untolerated { waited_ms: 7 })),
    ("resolved: cheapest", Says::Resolved(CHEAPEST)),
    ("resolved: its own is fixed", Says::Resolved(FIXED)),
    ("resolved: nothing is known", Says::Resolved(UNRATED)),
];

const CHEAPEST: Resolution = Resolution {
    own: Strategy::Optimistic,
    chosen: Strategy::Lock,
    why: Choice::Cheapest,
    conflict_ppm: Some(0),
    latency_us: Some(2_500),
    own_latency_us: Some(4_000),
    freed: true,
};
const FIXED: Resolution = Resolution {
    own: Strategy::Snapshot,
    chosen: Strategy::Snapshot,
    why: Choice::Fixed,
    conflict_ppm: Some(300_000),
    latency_us: None,
    own_latency_us: None,
    freed: false,
};
const UNRATED: Resolution = Resolution {
    own: Strategy::Adaptive,
    chosen: Strategy::Adaptive,
    why: Choice::Unrated,
    conflict_ppm: None,
    latency_us: None,
    own_latency_us: None,
    freed: true,
};

struct Forum {
    ring: Ring,
    groups: BTreeMap<GroupId, (Group, MemoryState)>,
    nonce: u64,
}

fn expected(deltas: &[Vec<u8>]) -> Footprint {
    let mut footprint = Footprint::default();
    for delta in deltas {
        footprint.add_delta(&codec::decode(delta).expect("a valid delta"));
    }
    footprint
}

/// A node's key; the seed of node n is the byte n, 32 times.
pub(super) fn node_key(node: u64) -> NodeKey {
    NodeKey::from_seed(&[node as u8; 32])
}

/// Receipts over one, two and three groups, several of each; those over two serve requests, those
/// over three are judged.
pub(super) fn samples() -> Samples {
    let mut forum = Forum::new(3);
    let mut open = Vec::new();
    for round in 0..4 {
        for width in 1..=3 {
            open.push(forum.transact(width, round, Says::AsUsual));
        }
    }
    forum.attest();
    let samples = open.into_iter().map(|sample| forum.endorse(sample)).collect();
    // Behind a checkpoint of their own, so that those above stay what they are.
    let say = |(round, (name, says))| (name, forum.transact(1, round, says));
    let open: Vec<_> = (4..).zip(FOUND).map(say).collect();
    forum.attest();
    let found = open.into_iter().map(|(name, sample)| (name, forum.endorse(sample))).collect();
    Samples { keys: forum.keys(), samples, found }
}

impl Forum {
    fn new(count: u32) -> Forum {
        let ids: Vec<GroupId> = (1..=count).map(GroupId).collect();
        let open = |&id: &GroupId| {
            let state = MemoryState::default();
            (id, (Group::open(id, &state, Rules::default()), state))
        };
        let groups = ids.iter().map(open).collect();
        let ring = Ring::new(RingSpec { epoch: 1, virtual_nodes: 16, groups: ids });
        Forum { ring, groups, nonce: 0 }
    }

    fn keys(&self) -> TrustedKeys {
        let nodes: BTreeMap<_, _> =
            (1..=NODES).map(|node| (node, node_key(node).public())).collect();
        let groups = self.groups.keys().map(|&group| (group, nodes.clone())).collect();
        TrustedKeys { cluster: CLUSTER.into(), groups }
    }

    fn key_in(&self, group: GroupId, nth: u64) -> Key {
        (0..)
            .map(|n| Key::new("account", &format!("p{n}"), "").expect("a valid key"))
            .filter(|key| self.ring.group_of(&key.partition) == Some(group))
            .nth(nth as usize)
            .expect("the ring covers all groups")
    }

    /// A commit over the first `width` groups; `round` tells apart what it writes.
    fn transact(&mut self, width: u32, round: u64, says: Says) -> Sample {
        let route = (width == 2).then(|| self.key_in(GroupId(1), round).partition);
        let mut deltas = Vec::new();
        for group in (1..=width).map(GroupId) {
            let key = self.key_in(group, round);
            let fields = Fields::from([("balance".into(), (100 * round as i64).into())]);
            deltas.push(codec::encode(&Delta { key: key.clone(), op: Op::Put(fields) }));
            let op = Op::Add { field: "balance".into(), by: i64::from(width) };
            deltas.push(codec::encode(&Delta { key, op }));
        }
        let (body, parts) = self.seal(&deltas, route, says);
        let mut proofs = Vec::new();
        for part in parts {
            let group = part.group;
            let mut commands = vec![vote(&body, part)];
            commands.extend((0..FILLERS).map(|n| self.filler(group, 50 + n)));
            let Applied { proof, .. } = self.apply(group, &commands).swap_remove(0);
            proofs.push(proof.expect("a Yes has a proof"));
        }
        let ts = proofs.iter().map(|proof| proof.ts).max().expect("a vote");
        let (tid, digest) = (body.tid, Some(body.digest()));
        for group in body.groups().into_iter().filter(|_| width > 1) {
            let decision = vatic_core::command::Decision::Committed { ts };
            let proofs = proofs.clone();
            self.apply(group, &[Command::Decide { tid, body: digest, decision, proofs }]);
        }
        Sample { receipt: Receipt::new(body, ts, proofs), deltas }
    }

    fn filler(&mut self, group: GroupId, nth: u64) -> Command {
        let fields = Fields::from([("filler".into(), 1.into())]);
        let delta = Delta { key: self.key_in(group, nth), op: Op::Put(fields) };
        let (body, mut parts) = self.seal(&[codec::encode(&delta)], None, Says::AsUsual);
        vote(&body, parts.remove(0))
    }

    /// A sealed transaction; with a route it serves a request, and may be moved. What is judged is
    /// judged by a forecast of the first four transitions; what is resolved, of the first, from
    /// which it strayed.
    fn seal(&mut self, deltas: &[Vec<u8>], route: Option<String>, says: Says) -> (Body, Vec<Part>) {
        self.nonce += 1;
        let (mint, seed) = (Timestamp(1_000 + self.nonce), Hash([self.nonce as u8; 32]));
        let (ring, limits) = (self.ring.clone(), Limits::production());
        let mut draft = Draft::begin(ring, limits, mint, self.nonce, seed);
        let serves = route.is_some();
        if let Some(route) = route {
            let (principal, id) = ("someone".into(), vec![self.nonce as u8; 16]);
            let request = RequestId { principal, id, route, mint };
            draft.claim(request, Hash([0xAB; 32])).expect("a plain route");
        }
        for delta in deltas {
            draft.push(delta.clone(), None, None).expect("a valid delta");
        }
        let by_first = |count: usize| {
            let footprint = Expected::from(&expected(&deltas[..count]));
            let (count, prefix) = (count as u64, (count as u64 / 2).max(1));
            Forecast { footprint, count, prefix, spread: STEP / 2 }
        };
        let conditions = Conditions { in_flight: 3, ..Conditions::default() };
        match says {
            Says::AsUsual if deltas.len() > 4 => {
                draft.judge(7, by_first(4), (conditions, STEP));
            }
            Says::AsUsual => {}
            Says::Unjudged(why) => draft.leave_unjudged(why),
            Says::Resolved(resolution) => {
                let judged = draft.judge(7, by_first(1), (conditions, STEP / 4));
                assert!(!judged.verdict.valid, "nothing that is valid is resolved");
                draft.resolve(resolution);
            }
        }
        if serves {
            draft.rest_on(Basis::Rebase);
        }
        draft.finish().expect("something was touched")
    }

    /// Of each group in which votes wait for it.
    fn attest(&mut self) {
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            let (machine, state) = &self.groups[&group];
            let Some(checkpoint) = machine.next_checkpoint(state) else { continue };
            let sign = |&node: &u64| checkpoint.sign(CLUSTER, node, &node_key(node));
            let signatures = SIGNERS.iter().map(sign).collect();
            let applied = self.apply(group, &[Command::Attest { checkpoint, signatures }]);
            assert_eq!(applied[0].reply, Reply::Done);
        }
    }

    fn endorse(&self, mut sample: Sample) -> Sample {
        for proof in sample.receipt.proofs.clone() {
            let (machine, state) = &self.groups[&proof.group];
            let endorsement = machine.endorsement(state, proof.index).expect("just attested");
            sample.receipt.endorse(endorsement);
        }
        sample
    }

    fn apply(&mut self, group: GroupId, commands: &[Command]) -> Vec<Applied> {
        let (machine, state) = self.groups.get_mut(&group).expect("a known group");
        let bytes: Vec<Vec<u8>> = commands.iter().map(codec::encode).collect();
        let index = machine.chain().index + 1;
        let applied = machine.apply_entry(state, index, bytes.iter().map(Vec::as_slice));
        applied.expect("no contradiction")
    }
}

fn vote(body: &Body, part: Part) -> Command {
    Command::Vote(Box::new(Vote { body: body.clone(), part, hint: Timestamp(5_000) }))
}
