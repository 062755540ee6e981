//! Forgeries: receipts and transitions changed at random, by bytes and by parts.
//!
//! By bytes: flips, inserted, lost, repeated and swapped runs, runs of another receipt. By parts:
//! another receipt's body, proofs, endorsements, signatures; nodes renamed; keys not pinned; one
//! node signing for two; timestamps and positions moved; what the client kept changed instead;
//! whole ones invented, with fewer participants.
//! A forgery succeeds where it differs from what was given and still verifies as complete.

use super::sample::{CLUSTER, Sample, Samples, node_key, samples};
use crate::rng::Rng;
use std::collections::BTreeMap;
use vatic_core::{
    chain::{Seal, Segment, link},
    codec,
    id::Timestamp,
    receipt::{Assurance, EndorsementFault, Receipt, ReceiptFault},
    sign::TrustedKeys,
};

/// A node that no key is pinned for.
const STRANGER: u64 = 77;
/// The longest run of bytes that is moved at once.
const RUN_BYTES_MAX: usize = 64;

/// What became of forgeries.
#[derive(Default, Debug)]
pub struct Attack {
    /// How many were tried.
    pub tried: u64,
    /// By where they were found out.
    pub found_out: BTreeMap<&'static str, u64>,
    /// Those that verified.
    pub verified: Vec<String>,
}

/// Tries so many forgeries.
pub fn forge(count: u64, seed: u64) -> Attack {
    forge_against(count, seed, &|receipt, deltas, keys| match receipt
        .verify_signed(deltas.iter().map(Vec::as_slice), keys)
    {
        Ok(Assurance::Complete) => Ok(()),
        Ok(Assurance::Incomplete(_)) => Err("signatures of too few"),
        Err(fault) => Err(step(&fault)),
    })
}

/// Verifies a receipt against kept deltas and pinned keys; an error names the step that failed.
type Verifier = dyn Fn(&Receipt, &[Vec<u8>], &TrustedKeys) -> Result<(), &'static str>;

/// As [`forge`], against any verifier: one that leaves a step out must be taken in.
pub fn forge_against(count: u64, seed: u64, verifier: &Verifier) -> Attack {
    let mut rng = Rng::new(seed);
    let Samples { keys, samples, .. } = samples();
    let originals: Vec<Vec<u8>> =
        samples.iter().map(|sample| codec::encode(&sample.receipt)).collect();
    for Sample { receipt, deltas } in &samples {
        assert_eq!(verifier(receipt, deltas, &keys), Ok(()), "what was given must verify");
    }
    let mut attack = Attack::default();
    while attack.tried < count {
        let at = rng.index(samples.len());
        let Forgery { bytes, deltas, how } = forgery(&mut rng, &samples, &originals, at);
        if bytes == originals[at] && deltas == samples[at].deltas {
            continue;
        }
        attack.tried += 1;
        let judged = match Receipt::from_bytes(&bytes) {
            Ok(receipt) => verifier(&receipt, &deltas, &keys),
            Err(_) => Err("bytes"),
        };
        match judged {
            Ok(()) => attack.verified.push(format!("forgery {}: {how}", attack.tried)),
            Err(step) => *attack.found_out.entry(step).or_default() += 1,
        }
    }
    attack
}

struct Forgery {
    bytes: Vec<u8>,
    deltas: Vec<Vec<u8>>,
    how: &'static str,
}

fn forgery(rng: &mut Rng, samples: &[Sample], originals: &[Vec<u8>], at: usize) -> Forgery {
    let (mut bytes, mut deltas) = (originals[at].clone(), samples[at].deltas.clone());
    let how = match rng.below(9) {
        0..=3 => {
            let other = rng.pick(originals);
            let mut how = "";
            for _ in 0..rng.between(1, 3) {
                how = change_bytes(rng, &mut bytes, other);
            }
            how
        }
        4 => change_deltas(rng, &mut deltas),
        5 => {
            let mut receipt = samples[at].receipt.clone();
            invent(rng, &mut receipt, &mut deltas);
            bytes = codec::encode(&receipt);
            "invented"
        }
        _ => {
            let mut receipt = samples[at].receipt.clone();
            let how = change_parts(rng, &mut receipt, &counterpart(samples, at));
            bytes = codec::encode(&receipt);
            how
        }
    };
    Forgery { bytes, deltas, how }
}

/// What never was: whole by itself, with as few of those who would have to vote as there may be.
fn invent(rng: &mut Rng, receipt: &mut Receipt, deltas: &mut Vec<Vec<u8>>) {
    if rng.below(2) == 0 {
        deltas.push(b"never voted on".to_vec());
    }
    let Receipt { body, ts, proofs, endorsements } = receipt;
    let (seed, count) = (body.seal.seed, deltas.len() as u64);
    let head = (1..).zip(deltas.iter()).fold(seed, |head, (seq, delta)| link(&head, seq, delta));
    body.seal = Seal { seed, count, head };
    let group = body.tid.home;
    body.segments = vec![Segment { group, first: 1, last: count, before: seed, after: head }];
    let left = rng.index(body.participants.len() + 1);
    body.participants.truncate(left);
    proofs.truncate(left);
    endorsements.truncate(left);
    *ts = proofs.iter().map(|proof| proof.ts).max().unwrap_or_default();
}

fn change_bytes(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) -> &'static str {
    if bytes.len() < 2 {
        return "bytes gone";
    }
    let at = rng.index(bytes.len());
    let run = rng.index(RUN_BYTES_MAX.min(bytes.len() - at)) + 1;
    match rng.below(8) {
        0 | 1 => {
            bytes[at] ^= 1 << rng.below(8);
            "a bit flipped"
        }
        2 => {
            bytes[at] = rng.next() as u8;
            "a byte set"
        }
        3 => {
            bytes.insert(at, rng.next() as u8);
            "a byte inserted"
        }
        4 => {
            bytes.drain(at..at + run);
            "a run lost"
        }
        5 => {
            let copy = bytes[at..at + run].to_vec();
            let to = rng.index(bytes.len());
            bytes.splice(to..to, copy);
            "a run repeated"
        }
        6 => {
            let to = rng.index(bytes.len() - run + 1);
            let copy = bytes[at..at + run].to_vec();
            bytes[to..to + run].copy_from_slice(&copy);
            "a run written over another"
        }
        _ => {
            let end = (at + run).min(other.len());
            if at < end {
                bytes[at..end].copy_from_slice(&other[at..end]);
            }
            "a run of another receipt"
        }
    }
}

fn change_deltas(rng: &mut Rng, deltas: &mut Vec<Vec<u8>>) -> &'static str {
    let (at, to) = (rng.index(deltas.len()), rng.index(deltas.len()));
    match rng.below(4) {
        0 => {
            let byte = rng.index(deltas[at].len());
            deltas[at][byte] ^= 1 << rng.below(8);
            "a transition changed"
        }
        1 => {
            deltas.remove(at);
            "a transition lost"
        }
        2 => {
            let copy = deltas[at].clone();
            deltas.insert(to, copy);
            "a transition repeated"
        }
        _ => {
            deltas.swap(at, to);
            "transitions swapped"
        }
    }
}

/// A receipt over as many groups, so that its parts fit.
fn counterpart(samples: &[Sample], at: usize) -> Receipt {
    let same = |other: &&Sample| {
        other.receipt.proofs.len() == samples[at].receipt.proofs.len()
            && other.receipt.body.tid != samples[at].receipt.body.tid
    };
    samples.iter().filter(same).nth(at % 3).expect("several of each width").receipt.clone()
}

fn change_parts(rng: &mut Rng, receipt: &mut Receipt, other: &Receipt) -> &'static str {
    let at = rng.index(receipt.proofs.len());
    let kind = rng.below(20);
    match kind {
        0..=9 => change_claims(rng, kind, receipt, other, at),
        _ => change_endorsement(rng, kind, receipt, other, at),
    }
}

fn change_claims(
    rng: &mut Rng,
    kind: u64,
    receipt: &mut Receipt,
    other: &Receipt,
    at: usize,
) -> &'static str {
    let proof = &mut receipt.proofs[at];
    match kind {
        0 => receipt.body = other.body.clone(),
        1 => *proof = other.proofs[at].clone(),
        2 => receipt.proofs = other.proofs.clone(),
        3 => receipt.ts = Timestamp(rng.next()),
        4 => (proof.index, proof.ts) = (proof.index + 1, receipt.ts),
        5 => proof.before = other.proofs[at].before,
        6 => proof.images = other.proofs[at].images,
        7 => receipt.body.seal.seed = other.body.seal.seed,
        8 => receipt.body.participants.truncate(1),
        _ => proof.path = other.proofs[at].path.clone(),
    }
    "claims of another transaction"
}

fn change_endorsement(
    rng: &mut Rng,
    kind: u64,
    receipt: &mut Receipt,
    other: &Receipt,
    at: usize,
) -> &'static str {
    let width = receipt.endorsements.len();
    let found = &mut receipt.endorsements[at];
    let which = rng.index(found.signatures.len());
    match kind {
        10 => found.path = other.endorsements[at].path.clone(),
        11 => found.signatures[which].node = rng.below(4),
        12 => found.signatures[which] = found.checkpoint.sign(CLUSTER, 2, &node_key(STRANGER)),
        13 => {
            let node = found.signatures[which].node;
            found.signatures[1 - which] = found.checkpoint.sign(CLUSTER, 2, &node_key(node));
            found.signatures.sort_by_key(|signature| signature.node);
        }
        14 => {
            found.checkpoint.last += rng.below(3);
            found.checkpoint.first = found.checkpoint.first.saturating_sub(rng.below(2));
        }
        15 => found.signatures.swap(0, 1),
        16 => found.signatures.truncate(which),
        17 => receipt.endorsements.truncate(at),
        18 => found.signatures[which] = found.checkpoint.sign("other", 2, &node_key(2)),
        _ => receipt.endorsements.swap(at, rng.index(width)),
    }
    "endorsements changed"
}

fn step(fault: &ReceiptFault) -> &'static str {
    match fault {
        ReceiptFault::Transitions(_) => "transitions",
        ReceiptFault::Segments(_) => "segments",
        ReceiptFault::Participants => "participants",
        ReceiptFault::Path(_) => "shape of a proof",
        ReceiptFault::Timestamp { .. } => "timestamp",
        ReceiptFault::Endorsements => "list of endorsements",
        ReceiptFault::Endorsement { fault, .. } => match fault {
            EndorsementFault::Unpinned => "pinned groups",
            EndorsementFault::Range { .. } => "range of a checkpoint",
            EndorsementFault::Root => "root of a checkpoint",
            EndorsementFault::Order { .. } => "order of signatures",
            EndorsementFault::Node { .. } => "pinned nodes",
            EndorsementFault::SharedKey { .. } => "shared keys",
            EndorsementFault::Signature { .. } => "signature",
        },
    }
}
