//! A receipt verifies as it was given and in no other form.

use crate::{
    body::{Body, Part},
    codec,
    command::{Applied, Command, Vote},
    fixture_test::{Groups, put},
    hash::Hash,
    id::{GroupId, Timestamp},
    receipt::{Position, Receipt, ReceiptFault},
    request::RequestId,
};
use alloc::{boxed::Box, vec, vec::Vec};
use proptest::{prelude::*, sample::Index};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

/// A commit over two groups whose votes shared their entries with others, its deltas, and where
/// its votes stand.
fn committed() -> (Receipt, Vec<Vec<u8>>, Vec<Position>) {
    let mut groups = Groups::new(2);
    let (a, b) = (groups.key_in(ONE), groups.key_in(TWO));
    let deltas = vec![put(&a, 1), put(&b, 2), put(&a, 3)];
    let mut draft = groups.draft(1);
    let request = RequestId {
        principal: "me".into(),
        id: vec![1, 2],
        route: a.partition.clone(),
        mint: Timestamp(1),
    };
    draft.claim(request, Hash([9; 32])).expect("a plain route");
    for delta in &deltas {
        draft.push(delta.clone(), None, None).expect("accepted");
    }
    let (body, parts) = draft.finish().expect("touched");
    let mut proofs = Vec::new();
    for part in &parts {
        let own = vote(&body, part);
        let mut commands: Vec<Command> = (0..4).map(|n| filler(&groups, part.group, n)).collect();
        commands.insert(part.group.0 as usize, own);
        let mut applied = groups.apply(part.group, &commands);
        let Applied { proof, .. } = applied.remove(part.group.0 as usize);
        proofs.push(proof.expect("a Yes has a proof"));
    }
    let ts = proofs.iter().map(|proof| proof.ts).max().expect("two votes");
    let receipt = Receipt::new(body, ts, proofs);
    let positions = receipt.verify(deltas.iter().map(Vec::as_slice)).expect("verifies");
    for position in &positions {
        let chain = groups.groups[&position.group].0.chain();
        assert_eq!((position.index, position.digest), (chain.index, chain.digest));
    }
    (receipt, deltas, positions)
}

/// Another transaction's vote, which is refused or not: it only has to fill the entry.
fn filler(groups: &Groups, group: GroupId, nonce: u64) -> Command {
    let mut draft = groups.draft(100 + nonce);
    draft.push(put(&groups.key_in(group), 0), None, None).expect("accepted");
    let (body, parts) = draft.finish().expect("touched");
    vote(&body, &parts[0])
}

fn vote(body: &Body, part: &Part) -> Command {
    let (body, part) = (body.clone(), part.clone());
    Command::Vote(Box::new(Vote { body, part, hint: Timestamp::ZERO }))
}

fn leads_to(receipt: &Receipt, deltas: &[Vec<u8>], positions: &[Position]) -> bool {
    receipt.verify(deltas.iter().map(Vec::as_slice)).as_deref() == Ok(positions)
}

#[test]
fn receipt_with_any_one_bit_changed_does_not_lead_to_the_same_positions() {
    let (receipt, deltas, positions) = committed();
    let bytes = codec::encode(&receipt);
    let mut readable = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let Ok(read) = codec::decode::<Receipt>(&changed) else { continue };
            readable += 1;
            assert_ne!(read, receipt, "byte {at}, bit {bit}: two encodings of one receipt");
            assert!(!leads_to(&read, &deltas, &positions), "byte {at}, bit {bit}: {read:?}");
        }
    }
    assert!(readable > bytes.len(), "most changes must still parse, or nothing was tested");
}

/// Nobody has to sign for a transaction in which nobody takes part.
#[test]
fn receipt_of_nobody_does_not_verify() {
    let (receipt, deltas, _) = committed();
    let deltas = || deltas.iter().map(Vec::as_slice);
    let changes: [fn(&mut Receipt); 4] = [
        |receipt| receipt.body.participants.clear(),
        |receipt| receipt.body.participants.truncate(1),
        |receipt| receipt.body.participants.reverse(),
        |receipt| receipt.body.tid.home = GroupId(3),
    ];
    for change in changes {
        let mut receipt = receipt.clone();
        change(&mut receipt);
        let listed: Vec<GroupId> = receipt.body.groups();
        receipt.proofs.retain(|proof| listed.contains(&proof.group));
        receipt.proofs.sort_by_key(|proof| listed.iter().position(|group| *group == proof.group));
        receipt.ts = receipt.proofs.iter().map(|proof| proof.ts).max().unwrap_or_default();
        assert_eq!(receipt.verify(deltas()), Err(ReceiptFault::Participants));
    }
}

#[test]
fn transition_with_any_one_bit_changed_does_not_verify() {
    let (receipt, deltas, positions) = committed();
    for which in 0..deltas.len() {
        for at in 0..deltas[which].len() {
            for bit in 0..8 {
                let mut changed = deltas.clone();
                changed[which][at] ^= 1 << bit;
                assert!(!leads_to(&receipt, &changed, &positions));
            }
        }
    }
}

#[test]
fn lost_repeated_or_swapped_transitions_do_not_verify() {
    let (receipt, deltas, positions) = committed();
    for at in 0..deltas.len() {
        let mut lost = deltas.clone();
        lost.remove(at);
        let mut repeated = deltas.clone();
        repeated.insert(at, deltas[at].clone());
        let mut swapped = deltas.clone();
        swapped.swap(at, (at + 1) % deltas.len());
        for changed in [lost, repeated, swapped] {
            assert!(!leads_to(&receipt, &changed, &positions));
        }
    }
}

proptest! {
    #[test]
    fn receipt_with_bytes_changed_anywhere_does_not_lead_to_the_same_positions(
        changes in proptest::collection::vec((any::<Index>(), 1u8..), 1..4)
    ) {
        let (receipt, deltas, positions) = committed();
        let mut bytes = codec::encode(&receipt);
        for (at, mask) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Ok(read) = codec::decode::<Receipt>(&bytes) {
            prop_assert!(read == receipt || !leads_to(&read, &deltas, &positions));
        }
    }
}
