//! Receipts of one group under the largest checkpoint that there is: made, signed, verified.
//!
//! Each call of [`Signed::attest`] starts from the same state, whose copy is part of what it takes;
//! the state is small.

use std::{collections::BTreeMap, hint::black_box};
use vatic_core::{
    checkpoint::Checkpoint,
    codec,
    command::{Command, Vote},
    delta::{Delta, Op},
    draft::Draft,
    group::Group,
    hash::Hash,
    id::{GroupId, Timestamp},
    key::Key,
    limits::Limits,
    memory::MemoryState,
    receipt::{Assurance, Receipt},
    ring::{Ring, RingSpec},
    rules::Rules,
    sign::{NodeKey, NodeSignature, TrustedKeys},
};

const GROUP: GroupId = GroupId(1);
const CLUSTER: &str = "bench";
const NODES: u64 = 3;
/// Commands in the entry beside the vote.
const BESIDE: usize = 63;

/// A group with one receipt, before and after its checkpoint was attested.
pub(crate) struct Signed {
    deltas: Vec<Vec<u8>>,
    receipt: Receipt,
    own: NodeKey,
    keys: TrustedKeys,
    checkpoint: Checkpoint,
    signatures: Vec<NodeSignature>,
    before: (Group, MemoryState),
    after: (Group, MemoryState),
}

impl Signed {
    pub(crate) fn new(transitions: u64) -> Signed {
        let state = MemoryState::default();
        let mut before = (Group::open(GROUP, &state, Rules::default()), state);
        let (vote, deltas) = vote(transitions);
        let tid = vote.body.tid;
        let advance = Command::Advance { to: Timestamp(1) };
        let mut entry = vec![advance.clone(); BESIDE];
        entry.push(Command::Vote(Box::new(vote)));
        apply(&mut before, &entry);
        for _ in 1..Limits::production().checkpoint_entries_max {
            apply(&mut before, std::slice::from_ref(&advance));
        }
        let checkpoint = before.0.next_checkpoint(&before.1).expect("a vote waits");
        let sign = |node| checkpoint.sign(CLUSTER, node, &key(node));
        let signatures: Vec<NodeSignature> = (1..NODES).map(sign).collect();
        let mut after = before.clone();
        attest(&mut after, checkpoint, &signatures);
        let receipt = after.0.complete_receipt(&after.1, tid).expect("it is home");
        let nodes = (1..=NODES).map(|node| (node, key(node).public())).collect();
        let groups = BTreeMap::from([(GROUP, nodes)]);
        let keys = TrustedKeys { cluster: CLUSTER.into(), groups };
        let own = key(1);
        Signed { deltas, receipt, own, keys, checkpoint, signatures, before, after }
    }

    pub(crate) fn verify(&self) {
        let deltas = self.deltas.iter().map(Vec::as_slice);
        let verified = self.receipt.verify_signed(deltas, &self.keys);
        assert_eq!(black_box(verified), Ok(Assurance::Complete));
    }

    pub(crate) fn endorse(&self) {
        let (group, state) = &self.after;
        black_box(group.endorsement(state, self.receipt.proofs[0].index));
    }

    pub(crate) fn checkpoint(&self) {
        let ((group, state), Checkpoint { first, last, .. }) = (&self.before, self.checkpoint);
        black_box(group.checkpoint(state, first, last));
    }

    pub(crate) fn sign(&self) {
        black_box(self.checkpoint.sign(CLUSTER, 1, &self.own));
    }

    pub(crate) fn attest(&mut self) {
        let mut fresh = self.before.clone();
        attest(&mut fresh, self.checkpoint, &self.signatures);
    }

    pub(crate) fn receipt_bytes(&self) -> usize {
        codec::encode(&self.receipt).len()
    }
}

fn attest(to: &mut (Group, MemoryState), checkpoint: Checkpoint, signatures: &[NodeSignature]) {
    let signatures = signatures.to_vec();
    apply(to, &[Command::Attest { checkpoint, signatures }]);
}

fn apply((group, state): &mut (Group, MemoryState), commands: &[Command]) {
    let bytes: Vec<Vec<u8>> = commands.iter().map(codec::encode).collect();
    let index = group.chain().index + 1;
    let applied = group.apply_entry(state, index, bytes.iter().map(Vec::as_slice));
    black_box(applied.expect("no contradiction"));
}

fn vote(transitions: u64) -> (Vote, Vec<Vec<u8>>) {
    let ring = Ring::new(RingSpec { epoch: 1, virtual_nodes: 64, groups: vec![GROUP] });
    let (limits, mint) = (Limits::production(), Timestamp(1));
    let mut draft = Draft::begin(ring, limits, mint, 1, Hash([1; 32]));
    let mut deltas = Vec::new();
    for n in 0..transitions {
        let key = Key::new("account", &format!("p{n}"), "").expect("a valid key");
        let op = Op::Add { field: "balance".into(), by: 1 };
        deltas.push(codec::encode(&Delta { key, op }));
        draft.push(deltas[n as usize].clone(), None, None).expect("a valid delta");
    }
    let (body, mut parts) = draft.finish().expect("something was touched");
    (Vote { body, part: parts.remove(0), hint: mint }, deltas)
}

fn key(node: u64) -> NodeKey {
    NodeKey::from_seed(&[node as u8; 32])
}
