//! Receipts as a cluster gives them: votes in shared entries, checkpoints over many entries, signed
//! by exactly a majority, so that nothing in a receipt is to spare.

use std::collections::BTreeMap;
use vatic_core::{
    body::{Body, Part},
    codec,
    command::{Applied, Command, Reply, Vote},
    delta::{Delta, Op},
    draft::Draft,
    expected::{Expected, STEP},
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
    strategy::Basis,
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
}

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
            open.push(forum.transact(width, round));
        }
    }
    forum.attest();
    let samples = open.into_iter().map(|sample| forum.endorse(sample)).collect();
    Samples { keys: forum.keys(), samples }
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
    fn transact(&mut self, width: u32, round: u64) -> Sample {
        let route = (width == 2).then(|| self.key_in(GroupId(1), round).partition);
        let mut deltas = Vec::new();
        for group in (1..=width).map(GroupId) {
            let key = self.key_in(group, round);
            let fields = Fields::from([("balance".into(), (100 * round as i64).into())]);
            deltas.push(codec::encode(&Delta { key: key.clone(), op: Op::Put(fields) }));
            let op = Op::Add { field: "balance".into(), by: i64::from(width) };
            deltas.push(codec::encode(&Delta { key, op }));
        }
        let (body, parts) = self.seal(&deltas, route);
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
        let (body, mut parts) = self.seal(&[codec::encode(&delta)], None);
        vote(&body, parts.remove(0))
    }

    /// A sealed transaction; with a route it serves a request, and may be moved. One of more than
    /// four transitions is judged by a forecast of the first four.
    fn seal(&mut self, deltas: &[Vec<u8>], route: Option<String>) -> (Body, Vec<Part>) {
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
        if deltas.len() > 4 {
            let forecast = Expected::from(&expected(&deltas[..4]));
            let forecast = Forecast { footprint: forecast, count: 4, prefix: 2, spread: STEP / 2 };
            let conditions = Conditions { in_flight: 3, ..Conditions::default() };
            draft.judge(7, forecast, (conditions, STEP));
        }
        if serves {
            draft.rest_on(Basis::Rebase);
        }
        draft.finish().expect("something was touched")
    }

    fn attest(&mut self) {
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            let (machine, state) = &self.groups[&group];
            let checkpoint = machine.next_checkpoint(state).expect("votes wait");
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
