//! A verdict must be able to fall: doubled, forged, unsigned and contradicting evidence is caught.

use std::collections::BTreeMap;

use vatic_client::Evidence;
use vatic_core::checkpoint::{Checkpoint, Endorsement};
use vatic_core::codec;
use vatic_core::command::ChainHead;
use vatic_core::hash::Hash;
use vatic_core::id::GroupId;
use vatic_core::receipt::{Position, Receipt};
use vatic_core::sign::{NodeKey, TrustedKeys};

use crate::demo::evidence_file::Kept;
use crate::demo::verdict::Verdict;
use crate::receipt_file::receipt_file_test::committed;

fn evidence(nonce: u64, change: impl FnOnce(&mut Receipt)) -> Evidence {
    let mut evidence = committed(nonce as i64).evidence;
    let mut receipt: Receipt = codec::decode(&evidence.receipt).unwrap();
    receipt.body.tid.nonce = nonce;
    change(&mut receipt);
    sign(&mut receipt);
    evidence.receipt = codec::encode(&receipt);
    evidence
}

const CLUSTER: &str = "demo";

fn key() -> NodeKey {
    NodeKey::from_seed(&[7; 32])
}

/// By the one replica that is pinned.
fn sign(receipt: &mut Receipt) {
    for Position { group, index, digest } in receipt.positions().unwrap() {
        let checkpoint = Checkpoint::of_entry(group, ChainHead { index, digest });
        let signature = checkpoint.sign(CLUSTER, 1, &key());
        receipt.endorse(Endorsement::of_entry(checkpoint, signature));
    }
}

fn pinned() -> TrustedKeys {
    let groups = [(GroupId(1), BTreeMap::from([(1, key().public())]))];
    TrustedKeys { cluster: CLUSTER.into(), groups: groups.into() }
}

fn judged(all: impl IntoIterator<Item = Evidence>) -> Verdict {
    let mut verdict = Verdict::new(pinned());
    all.into_iter().for_each(|evidence| verdict.take(Kept::new(false, evidence)));
    verdict
}

fn at_index(index: u64) -> impl FnOnce(&mut Receipt) {
    move |receipt| receipt.proofs[0].index = index
}

#[test]
fn sound_evidence_adds_up() {
    let verdict = judged([evidence(1, at_index(5)), evidence(2, at_index(9))]);
    assert_eq!((verdict.verified, verdict.failed), (2, 0), "{:?}", verdict.faults);
    assert_eq!(verdict.sum(&"c/p".parse().unwrap(), "n"), 3);
    assert_eq!(verdict.sum(&"c/other".parse().unwrap(), "n"), 0);
}

#[test]
fn commit_acknowledged_twice_is_caught() {
    let verdict = judged([evidence(1, |_| ()), evidence(1, |_| ())]);
    assert_eq!((verdict.verified, verdict.failed), (1, 1));
    assert!(verdict.faults[0].contains("twice"));
}

#[test]
fn two_chains_at_one_entry_are_caught() {
    let verdict = judged([evidence(1, at_index(5)), evidence(2, at_index(5))]);
    assert_eq!((verdict.verified, verdict.failed), (1, 1));
    assert!(verdict.faults[0].contains("two chains"), "{:?}", verdict.faults);
}

#[test]
fn entry_that_does_not_follow_from_the_one_before_is_caught() {
    let next = |receipt: &mut Receipt| {
        receipt.proofs[0].index = 6;
        receipt.proofs[0].before = Hash([9; 32]);
    };
    let verdict = judged([evidence(1, at_index(5)), evidence(2, next)]);
    assert_eq!((verdict.verified, verdict.failed), (1, 1));
}

#[test]
fn forged_receipt_is_caught_and_does_not_count() {
    let forged = evidence(1, |receipt| receipt.body.seal.head = Hash([1; 32]));
    let verdict = judged([forged]);
    assert_eq!((verdict.verified, verdict.failed), (0, 1));
    assert_eq!(verdict.sum(&"c/p".parse().unwrap(), "n"), 0);
}

#[test]
fn receipt_that_nobody_signed_is_caught() {
    let mut unsigned = evidence(1, |_| ());
    let receipt: Receipt = codec::decode(&unsigned.receipt).unwrap();
    unsigned.receipt = codec::encode(&Receipt { endorsements: vec![], ..receipt });
    let verdict = judged([unsigned]);
    assert_eq!((verdict.verified, verdict.failed), (0, 1));
    assert!(verdict.faults[0].contains("signatures"), "{:?}", verdict.faults);
}

#[test]
fn openings_count_into_sums_alone() {
    let mut verdict = Verdict::new(pinned());
    verdict.take(Kept::new(true, evidence(4, |_| ())));
    assert_eq!(verdict.verified, 0);
    assert_eq!(verdict.sum(&"c/p".parse().unwrap(), "n"), 4);
}
