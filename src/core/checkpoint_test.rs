//! Chain heads, the checkpoints over them and what is kept of both.

use crate::{
    checkpoint::{Checkpoint, Endorsement},
    codec,
    command::{Applied, Command, Config, Decision, Refusal, Reply, Vote},
    fixture_test::{Groups, put},
    group::Group,
    hash::Hash,
    id::{GroupId, Timestamp},
    limits::Limits,
    memory::MemoryState,
    receipt::{Assurance, EndorsementFault, Lacking, Receipt, ReceiptFault},
    request::RequestId,
    rules::Rules,
    sign::{NodeKey, NodeSignature, SignatureFault, TrustedKeys},
    state::State,
    tables,
};
use alloc::{collections::BTreeMap, vec, vec::Vec};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);
const CLUSTER: &str = "test";
const NODES: u64 = 3;

fn key(node: u64) -> NodeKey {
    NodeKey::from_seed(&[node as u8; 32])
}

fn trusted() -> TrustedKeys {
    let nodes: BTreeMap<_, _> = (1..=NODES).map(|node| (node, key(node).public())).collect();
    let groups = [(ONE, nodes.clone()), (TWO, nodes)].into();
    TrustedKeys { cluster: CLUSTER.into(), groups }
}

fn sign(checkpoint: &Checkpoint, nodes: &[u64]) -> Vec<NodeSignature> {
    nodes.iter().map(|&node| checkpoint.sign(CLUSTER, node, &key(node))).collect()
}

fn small(groups: &mut Groups) {
    let config = Config::new(Limits::simulation(), None);
    for group in [ONE, TWO] {
        groups.apply(group, &[Command::Configure(config.clone())]);
    }
}

/// A commit over both groups, each vote in an entry of its own, and its deltas.
fn commit(groups: &mut Groups, nonce: u64) -> (Receipt, Vec<Vec<u8>>) {
    let deltas = vec![put(&groups.key_in(ONE), 1), put(&groups.key_in(TWO), 2)];
    let mut draft = groups.draft(nonce);
    for delta in &deltas {
        draft.push(delta.clone(), None, None).expect("accepted");
    }
    let (body, parts) = draft.finish().expect("touched");
    let mut proofs = Vec::new();
    for part in parts {
        let (group, vote) = (part.group, Vote { body: body.clone(), part, hint: Timestamp::ZERO });
        let Applied { proof, .. } = groups.apply(group, &[Command::Vote(vote.into())]).remove(0);
        proofs.push(proof.expect("a Yes has a proof"));
    }
    let ts = proofs.iter().map(|proof| proof.ts).max().expect("two votes");
    let (tid, digest) = (body.tid, Some(body.digest()));
    for group in [ONE, TWO] {
        let (decision, proofs) = (Decision::Committed { ts }, proofs.clone());
        groups.apply(group, &[Command::Decide { tid, body: digest, decision, proofs }]);
    }
    (Receipt::new(body, ts, proofs), deltas)
}

fn next(groups: &Groups, group: GroupId) -> Option<Checkpoint> {
    let (machine, state) = &groups.groups[&group];
    machine.next_checkpoint(state)
}

fn attest(groups: &mut Groups, group: GroupId, checkpoint: Checkpoint, nodes: &[u64]) -> Reply {
    let signatures = sign(&checkpoint, nodes);
    groups.apply(group, &[Command::Attest { checkpoint, signatures }]).remove(0).reply
}

fn endorsement(groups: &Groups, receipt: &Receipt, group: GroupId) -> Option<Endorsement> {
    let (machine, state) = &groups.groups[&group];
    let proof = receipt.proofs.iter().find(|proof| proof.group == group).expect("takes part");
    machine.endorsement(state, proof.index)
}

/// A commit with both groups' endorsements by these nodes.
fn endorsed(nodes: &[u64]) -> (Receipt, Vec<Vec<u8>>) {
    let mut groups = Groups::new(2);
    commit(&mut groups, 1);
    let (mut receipt, deltas) = commit(&mut groups, 2);
    for group in [ONE, TWO] {
        let checkpoint = next(&groups, group).expect("votes wait");
        assert_eq!(attest(&mut groups, group, checkpoint, nodes), Reply::Done);
        receipt.endorse(endorsement(&groups, &receipt, group).expect("just attested"));
    }
    (receipt, deltas)
}

fn verify(receipt: &Receipt, deltas: &[Vec<u8>]) -> Result<Assurance, ReceiptFault> {
    receipt.verify_signed(deltas.iter().map(Vec::as_slice), &trusted())
}

fn fault(receipt: &Receipt, deltas: &[Vec<u8>]) -> EndorsementFault {
    match verify(receipt, deltas) {
        Err(ReceiptFault::Endorsement { group: ONE, fault }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn receipt_is_complete_with_a_majority_of_each_groups_replicas_and_not_before() {
    for (nodes, signed) in [(&[2][..], 1), (&[1, 3], 2), (&[1, 2, 3], 3)] {
        let (mut receipt, deltas) = endorsed(nodes);
        let lacking = |group, signed| Lacking { group, signed, needed: 2 };
        let expected = match signed {
            1 => Assurance::Incomplete(vec![lacking(ONE, 1), lacking(TWO, 1)]),
            _ => Assurance::Complete,
        };
        assert_eq!(verify(&receipt, &deltas), Ok(expected));
        receipt.endorsements.remove(0);
        let Ok(Assurance::Incomplete(found)) = verify(&receipt, &deltas) else { panic!() };
        assert_eq!(found[0], lacking(ONE, 0));
        let bytes = codec::encode(&receipt);
        assert_eq!(Receipt::from_bytes(&bytes), Ok(receipt));
    }
}

#[test]
fn leaders_own_signature_is_an_endorsement_of_one_entry_that_a_better_one_replaces() {
    let mut groups = Groups::new(2);
    let (mut receipt, deltas) = commit(&mut groups, 1);
    for proof in receipt.positions().expect("whole") {
        let head = crate::command::ChainHead { index: proof.index, digest: proof.digest };
        let checkpoint = Checkpoint::of_entry(proof.group, head);
        let (machine, state) = &groups.groups[&proof.group];
        assert_eq!(machine.checkpoint(state, head.index, head.index), Some(checkpoint));
        receipt.endorse(Endorsement::of_entry(checkpoint, sign(&checkpoint, &[3])[0]));
    }
    let Ok(Assurance::Incomplete(lacking)) = verify(&receipt, &deltas) else { panic!() };
    assert!(lacking.iter().all(|lacking| lacking.signed == 1));
    for group in [ONE, TWO] {
        let checkpoint = next(&groups, group).expect("a vote waits");
        attest(&mut groups, group, checkpoint, &[1, 2]);
        receipt.endorse(endorsement(&groups, &receipt, group).expect("attested"));
    }
    assert_eq!(verify(&receipt, &deltas), Ok(Assurance::Complete));
}

#[test]
fn fault_of_an_endorsement_names_group_and_step() {
    let (good, deltas) = endorsed(&[1, 2]);
    let broken = |change: &dyn Fn(&mut Endorsement)| {
        let mut receipt = good.clone();
        change(&mut receipt.endorsements[0]);
        fault(&receipt, &deltas)
    };
    let Checkpoint { first, last, .. } = good.endorsements[0].checkpoint;
    let index = good.proofs[0].index;
    let range = broken(&|found| found.checkpoint.last = index - 1);
    assert_eq!(range, EndorsementFault::Range { index, first, last: index - 1 });
    let root = broken(&|found| found.checkpoint.root.0[0] ^= 1);
    assert_eq!(root, EndorsementFault::Root);
    let order = broken(&|found| found.signatures.swap(0, 1));
    assert_eq!(order, EndorsementFault::Order { node: 1 });
    let twice = broken(&|found| found.signatures[1] = found.signatures[0]);
    assert_eq!(twice, EndorsementFault::Order { node: 1 });
    let stranger = broken(&|found| found.signatures[1].node = 9);
    assert_eq!(stranger, EndorsementFault::Node { node: 9 });
    for forged in [
        broken(&|found| found.checkpoint.last = last + 1),
        broken(&|found| found.signatures[1].s[0] ^= 1),
        broken(&|found| found.checkpoint.head.0[0] ^= 1),
    ] {
        let EndorsementFault::Signature { fault, .. } = forged else { panic!("{forged:?}") };
        assert_eq!(fault, SignatureFault::Signature);
    }
    let mut unpinned = trusted();
    unpinned.groups.remove(&ONE);
    let verified = good.verify_signed(deltas.iter().map(Vec::as_slice), &unpinned);
    let fault = EndorsementFault::Unpinned;
    assert_eq!(verified, Err(ReceiptFault::Endorsement { group: ONE, fault }));
    let mut extra = good.clone();
    extra.endorsements.push(good.endorsements[0].clone());
    assert_eq!(verify(&extra, &deltas), Err(ReceiptFault::Endorsements));
}

#[test]
fn key_pinned_for_two_nodes_or_another_cluster_does_not_verify() {
    let (receipt, deltas) = endorsed(&[1, 2]);
    let verify = |keys: &TrustedKeys| receipt.verify_signed(deltas.iter().map(Vec::as_slice), keys);
    let mut shared = trusted();
    shared.groups.get_mut(&ONE).expect("pinned").insert(2, key(1).public());
    assert!(verify(&shared).is_err());
    let mut other = trusted();
    other.cluster = "other".into();
    assert!(verify(&other).is_err());
}

#[test]
fn checkpoint_is_asked_for_only_while_a_vote_waits() {
    let mut groups = Groups::new(2);
    assert_eq!(next(&groups, ONE), None);
    commit(&mut groups, 1);
    let checkpoint = next(&groups, ONE).expect("a vote waits");
    assert_eq!(attest(&mut groups, ONE, checkpoint, &[1, 2]), Reply::Done);
    assert_eq!(next(&groups, ONE), None, "its own entry asks for no other");
    groups.apply(ONE, &[Command::Advance { to: Timestamp(1_000) }]);
    assert_eq!(next(&groups, ONE), None, "nobody has a receipt for an advance");
}

#[test]
fn checkpoint_that_does_not_follow_or_is_not_of_this_chain_is_refused() {
    let mut groups = Groups::new(2);
    commit(&mut groups, 1);
    let good = next(&groups, ONE).expect("a vote waits");
    let refused = |attested| Reply::Refused(Refusal::Checkpoint { attested });
    let mut bad = [good; 5];
    bad[0].root.0[0] ^= 1;
    bad[1].head.0[0] ^= 1;
    bad[2].first += 1;
    bad[3].last += 10;
    bad[4].group = TWO;
    for bad in bad {
        assert_eq!(attest(&mut groups, ONE, bad, &[1, 2]), refused(0), "{bad:?}");
    }
    assert_eq!(attest(&mut groups, ONE, good, &[]), refused(0));
    assert_eq!(attest(&mut groups, ONE, good, &[2, 1]), refused(0));
    let (machine, state) = &groups.groups[&ONE];
    let skips = machine.checkpoint(state, good.first + 1, good.last).expect("kept");
    assert_eq!(attest(&mut groups, ONE, skips, &[1, 2]), refused(0));
    assert_eq!(attest(&mut groups, ONE, good, &[1, 2]), Reply::Done);
    assert_eq!(attest(&mut groups, ONE, good, &[1, 2]), refused(good.last));
}

#[test]
fn heads_are_trimmed_to_the_limit_and_late_attestation_starts_where_they_do() {
    let mut groups = Groups::new(2);
    small(&mut groups);
    let Limits { heads_max, checkpoint_entries_max, .. } = Limits::simulation();
    for nonce in 1..=heads_max {
        commit(&mut groups, nonce);
    }
    let (machine, state) = &groups.groups[&ONE];
    let heads = machine.heads(state, 0..=u64::MAX, usize::MAX);
    let last = machine.chain().index;
    assert_eq!(heads.len() as u64, heads_max);
    assert_eq!((heads[0].index, *heads.last().unwrap()), (last + 1 - heads_max, machine.chain()));
    let restarted = Group::open(ONE, state, Rules::default());
    assert_eq!(restarted.next_checkpoint(state), machine.next_checkpoint(state));
    let late = next(&groups, ONE).expect("votes wait");
    assert!(late.first > heads[0].index);
    assert_eq!(late.last - late.first + 1, checkpoint_entries_max);
    groups.apply(ONE, &[Command::Advance { to: Timestamp(1) }]);
    assert_eq!(attest(&mut groups, ONE, late, &[1, 2]), Reply::Done);
    let config = Limits { heads_max: 4, ..Limits::simulation() };
    groups.apply(ONE, &[Command::Configure(Config::new(config, None))]);
    let (machine, state) = &groups.groups[&ONE];
    assert_eq!(machine.heads(state, 0..=u64::MAX, usize::MAX).len(), 4);
}

#[test]
fn endorsement_outlives_its_heads_and_goes_with_the_outcomes() {
    let mut groups = Groups::new(2);
    small(&mut groups);
    let (receipt, _) = commit(&mut groups, 1);
    let checkpoint = next(&groups, ONE).expect("a vote waits");
    attest(&mut groups, ONE, checkpoint, &[1, 2]);
    let Limits { heads_max, outcome_ttl_us, .. } = Limits::simulation();
    for _ in 0..=heads_max {
        groups.apply(ONE, &[Command::Advance { to: Timestamp(1) }]);
    }
    let (machine, state) = &groups.groups[&ONE];
    assert_eq!(machine.checkpoint(state, checkpoint.first, checkpoint.last), None);
    let tid = receipt.body.tid;
    let complete = machine.complete_receipt(state, tid).expect("it is home");
    assert_eq!(complete.endorsements, [endorsement(&groups, &receipt, ONE).expect("kept")]);
    let horizon = machine.clock().plus_us(2 * outcome_ttl_us);
    let collect = Command::Collect { horizon, items_max: 100 };
    groups.apply(ONE, &[Command::Advance { to: horizon }, collect]);
    assert_eq!(endorsement(&groups, &receipt, ONE), None);
}

/// Replies alone would not show it: the decision answers "done" whatever it installs.
#[test]
fn replica_that_writes_something_else_has_another_head() {
    let mut groups = Groups::new(2);
    commit(&mut groups, 1);
    let mut other = groups.clone();
    let place = tables::latest(&groups.key_in(ONE));
    let (_, state) = other.groups.get_mut(&ONE).expect("there");
    let mut flipped = state.0[&place].clone();
    *flipped.last_mut().expect("not empty") ^= 2;
    state.put(place, flipped);
    let replies: Vec<Vec<Applied>> = [&mut groups, &mut other]
        .map(|groups| {
            // Nothing is read of the flipped value until its version is moved away by a decision.
            let (receipt, _) = commit(groups, 2);
            let force =
                Command::Force { tid: receipt.body.tid, body: None, participants: vec![ONE, TWO] };
            groups.apply(ONE, &[force])
        })
        .into();
    assert_eq!(replies[0][0].reply, replies[1][0].reply);
    let heads = |groups: &Groups| {
        let (machine, state) = &groups.groups[&ONE];
        machine.heads(state, 0..=u64::MAX, usize::MAX)
    };
    let (ours, theirs) = (heads(&groups), heads(&other));
    let differs = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
    let (first, _) = differs.expect("the chain covers what is written");
    assert_eq!(first.index, 4, "the decision of the second commit");
}

/// Three transitions under a request id, in an entry with 255 other votes, under the largest
/// checkpoint that there is.
#[test]
fn complete_receipt_of_one_group_takes_at_most_two_kibibytes() {
    let mut groups = Groups::new(1);
    let (account, limits) = (groups.key_in(ONE), Limits::production());
    let mut draft = groups.draft(1);
    let route = account.partition.clone();
    let request = RequestId {
        principal: "someone@example.com".into(),
        id: vec![7; 16],
        route,
        mint: Timestamp(1),
    };
    draft.claim(request, Hash([9; 32])).expect("a plain route");
    for n in 0..3 {
        draft.push(put(&account, n), None, None).expect("accepted");
    }
    let (body, mut parts) = draft.finish().expect("touched");
    let vote = Vote { body: body.clone(), part: parts.remove(0), hint: Timestamp(1 << 50) };
    let mut entry = vec![Command::Advance { to: Timestamp(1) }; 255];
    entry.insert(100, Command::Vote(vote.into()));
    groups.apply(ONE, &entry);
    for _ in 1..limits.checkpoint_entries_max {
        groups.apply(ONE, &[Command::Advance { to: Timestamp(1) }]);
    }
    let checkpoint = next(&groups, ONE).expect("a vote waits");
    assert_eq!(checkpoint.last - checkpoint.first + 1, limits.checkpoint_entries_max);
    assert_eq!(attest(&mut groups, ONE, checkpoint, &[1, 2]), Reply::Done);
    let (machine, state) = &groups.groups[&ONE];
    let receipt = machine.complete_receipt(state, body.tid).expect("it is home");
    assert_eq!(receipt.proofs[0].path.siblings.len(), 9);
    assert_eq!(receipt.endorsements[0].path.siblings.len(), 10);
    let bytes = codec::encode(&receipt).len();
    assert!(bytes <= 2_048, "{bytes} bytes");
}

/// Something that happens to one replica alone.
type Change<'a> = &'a dyn Fn(&mut Group, &mut MemoryState);

/// Both answer "done" as well.
#[test]
fn clock_that_differs_and_a_collection_that_removes_less_show_in_the_next_head() {
    let mut groups = Groups::new(2);
    commit(&mut groups, 1);
    commit(&mut groups, 2);
    let horizon = groups.groups[&ONE].0.clock();
    let collect = [Command::Collect { horizon, items_max: 100 }];
    let ahead = |group: &mut Group, state: &mut MemoryState| {
        group.apply(state, &Command::Advance { to: horizon.next() }).expect("no contradiction");
    };
    let lacking = |_: &mut Group, state: &mut MemoryState| {
        let garbage = |place: &&Vec<u8>| place[0] == tables::GARBAGE;
        let first = state.0.keys().find(garbage).expect("a version was superseded").clone();
        state.delete(&first);
    };
    for change in [&ahead as Change, &lacking] {
        let mut other = groups.clone();
        let (group, state) = other.groups.get_mut(&ONE).expect("there");
        change(group, state);
        let mut same = groups.clone();
        assert_eq!(same.apply(ONE, &collect), other.apply(ONE, &collect));
        let chain = |groups: &Groups| groups.groups[&ONE].0.chain();
        assert_ne!(chain(&same), chain(&other));
    }
}
