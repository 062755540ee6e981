//! Vectors: receipts that verify and receipts that do not, as JSON for other implementations.
//!
//! Each case has the encoded receipt, the same receipt field by field, what the client kept, and
//! what verifying comes to; the good ones also every digest on the way. Byte strings are in
//! hexadecimal.

use super::sample::{CLUSTER, Sample, Samples, node_key, samples};
use serde_json::{Value as Json, json};
use vatic_core::{
    body::Body,
    chain,
    checkpoint::Endorsement,
    codec,
    estimate::{Choice, Resolution},
    finding::Unjudged,
    hash::Hash,
    receipt::{self, Assurance, Proof, Receipt},
    request::Claim,
    sign::TrustedKeys,
    strategy::Basis,
    verdict::Judgement,
};

/// Where the vectors lie, from this crate's folder.
pub const FILE: &str = "../src/core/vectors/receipts.json";

/// All vectors; the same at every call.
pub fn vectors() -> Json {
    let Samples { keys, samples, found } = samples();
    let mut cases = Vec::new();
    for (width, sample) in samples.iter().take(3).enumerate() {
        let name = format!("complete over {} group(s)", width + 1);
        let mut good = case(&name, &sample.receipt, &sample.deltas, &keys);
        good["steps"] = steps(sample);
        cases.push(good);
    }
    for (name, receipt, deltas) in broken(&samples[1], &samples[4]) {
        cases.push(case(name, &receipt, &deltas, &keys));
    }
    cases.push(padded(&samples[0], &keys));
    for (name, sample) in &found {
        let mut good = case(name, &sample.receipt, &sample.deltas, &keys);
        good["steps"] = steps(sample);
        cases.push(good);
    }
    json!({
        "about": "Receipts of vatic and what verifying them comes to. The steps are told in \
                  src/core/receipt.rs; byte strings are in hexadecimal, node n's secret seed is \
                  the byte n, 32 times.",
        "format": codec::FORMAT,
        "trusted": trusted(&keys),
        "cases": cases,
    })
}

/// One change of a good receipt.
type Change = (&'static str, fn(&mut Receipt));

/// Changes of what is claimed.
const CLAIMS: &[Change] = &[
    ("seed changed", |receipt| receipt.body.seal.seed.0[0] ^= 1),
    ("segment lost", |receipt| receipt.body.segments.truncate(1)),
    ("proof lost", |receipt| receipt.proofs.truncate(1)),
    ("participants without whoever has a segment", |receipt| take_part(receipt, 1)),
    ("nobody takes part", |receipt| take_part(receipt, 0)),
    ("participants out of order", |receipt| {
        receipt.body.participants.reverse();
        receipt.proofs.reverse();
        receipt.endorsements.reverse();
    }),
    ("committed later", |receipt| receipt.ts = receipt.ts.next()),
    ("after-images changed", |receipt| receipt.proofs[0].images.0[0] ^= 1),
    ("proof moved to the next entry", |receipt| receipt.proofs[0].index += 1),
    ("path too short", |receipt| receipt.proofs[0].path.siblings.truncate(1)),
];

/// Changes of what the claims rest on.
const ENDORSEMENTS: &[Change] = &[
    ("nobody signed yet", |receipt| receipt.endorsements.clear()),
    ("one replica of a group signed", |receipt| receipt.endorsements[0].signatures.truncate(1)),
    ("checkpoint ends before the entry", |receipt| receipt.endorsements[0].checkpoint.last = 0),
    ("root changed", |receipt| receipt.endorsements[0].checkpoint.root.0[0] ^= 1),
    ("signature changed", |receipt| receipt.endorsements[0].signatures[0].s[0] ^= 1),
    ("signed by a stranger", |receipt| sign_again(receipt, CLUSTER, 77, 77)),
    ("stranger in a node's name", |receipt| sign_again(receipt, CLUSTER, 3, 77)),
    ("signed for another cluster", |receipt| sign_again(receipt, "other", 3, 3)),
    ("one node twice", |receipt| sign_again(receipt, CLUSTER, 1, 1)),
    ("one node in another's name", |receipt| sign_again(receipt, CLUSTER, 3, 1)),
    ("endorsement of another group", |receipt| receipt.endorsements.swap(0, 1)),
];

/// Leaves the first participants alone, with all that there is of them.
fn take_part(receipt: &mut Receipt, participants: usize) {
    receipt.body.participants.truncate(participants);
    receipt.proofs.truncate(participants);
    receipt.endorsements.truncate(participants);
    receipt.ts = receipt.proofs.iter().map(|proof| proof.ts).max().unwrap_or_default();
}

/// Replaces the second signature by one of the node whose seed this is, in the name of `node`.
fn sign_again(receipt: &mut Receipt, cluster: &str, node: u64, seed: u64) {
    let found = &mut receipt.endorsements[0];
    found.signatures[1] = found.checkpoint.sign(cluster, node, &node_key(seed));
}

/// Receipts that are not complete, each with what the client kept.
fn broken(good: &Sample, other: &Sample) -> Vec<(&'static str, Receipt, Vec<Vec<u8>>)> {
    let mut swapped = good.deltas.clone();
    swapped.swap(0, 1);
    let mut cases = vec![
        ("transitions in another order", good.receipt.clone(), swapped),
        ("another transaction's transitions", good.receipt.clone(), other.deltas.clone()),
    ];
    for (name, change) in CLAIMS.iter().chain(ENDORSEMENTS) {
        let mut receipt = good.receipt.clone();
        change(&mut receipt);
        cases.push((name, receipt, good.deltas.clone()));
    }
    cases
}

/// Bytes that would decode to a good receipt but are not the ones that encode it.
fn padded(good: &Sample, keys: &TrustedKeys) -> Json {
    let mut bytes = codec::encode(&good.receipt);
    bytes.push(0);
    let mut case = case("a byte too many", &good.receipt, &good.deltas, keys);
    case["encoded"] = hex(&bytes).into();
    case["expect"] = json!({ "fault": "the encoding is not canonical" });
    case["receipt"] = Json::Null;
    assert!(Receipt::from_bytes(&bytes).is_err());
    case
}

fn case(name: &str, receipt: &Receipt, deltas: &[Vec<u8>], keys: &TrustedKeys) -> Json {
    let expect = match receipt.verify_signed(deltas.iter().map(Vec::as_slice), keys) {
        Ok(Assurance::Complete) => json!({ "complete": true }),
        Ok(Assurance::Incomplete(lacking)) => {
            let lacking = lacking.iter().map(|lacking| {
                let (group, signed, needed) = (lacking.group.0, lacking.signed, lacking.needed);
                json!({ "group": group, "signed": signed, "needed": needed })
            });
            json!({ "incomplete": lacking.collect::<Vec<_>>() })
        }
        Err(fault) => json!({ "fault": fault.to_string() }),
    };
    json!({
        "name": name,
        "expect": expect,
        "deltas": deltas.iter().map(|delta| hex(delta)).collect::<Vec<_>>(),
        "encoded": hex(&codec::encode(receipt)),
        "receipt": {
            "body": body(&receipt.body),
            "ts": receipt.ts.0,
            "proofs": receipt.proofs.iter().map(proof).collect::<Vec<_>>(),
            "endorsements": receipt.endorsements.iter().map(endorsement).collect::<Vec<_>>(),
        },
    })
}

fn body(body: &Body) -> Json {
    let segments = body.segments.iter().map(|segment| {
        json!({
            "group": segment.group.0, "first": segment.first, "last": segment.last,
            "before": segment.before.to_hex(), "after": segment.after.to_hex(),
        })
    });
    let participants = body.participants.iter().map(|participant| {
        let cells: Vec<(u8, i32)> = participant.footprint.cells().collect();
        json!({
            "group": participant.group.0, "part": participant.part.to_hex(), "footprint": cells,
        })
    });
    let claim = body.claim.as_ref().map(|Claim { request, group, content }| {
        json!({
            "principal": request.principal, "id": hex(&request.id), "route": request.route,
            "mint": request.mint.0, "group": group.0, "content": content.to_hex(),
        })
    });
    json!({
        "tid": hex(&body.tid.to_bytes()),
        "seed": body.seal.seed.to_hex(),
        "count": body.seal.count,
        "head": body.seal.head.to_hex(),
        "segments": segments.collect::<Vec<_>>(),
        "participants": participants.collect::<Vec<_>>(),
        "claim": claim,
        "judgement": body.finding.judgement().map(judgement),
        "unjudged": body.finding.unjudged().map(unjudged),
        "resolution": body.finding.resolution().map(resolution),
        "basis": basis(body.basis),
    })
}

fn basis(basis: Basis) -> Json {
    match basis {
        Basis::Reads => "reads".into(),
        Basis::Rebase => "rebase".into(),
        Basis::Snapshot(at) => json!({ "snapshot": at.0 }),
        Basis::Nothing => "nothing".into(),
    }
}

fn judgement(judged: &Judgement) -> Json {
    let Judgement { class, forecast, count, verdict } = judged;
    let cells: Vec<(u8, i32)> = forecast.footprint.cells().collect();
    let conditions = verdict.conditions;
    json!({
        "class": class,
        "forecast": {
            "footprint": cells, "count": forecast.count, "prefix": forecast.prefix,
            "spread": forecast.spread,
        },
        "count": count,
        "verdict": {
            "valid": verdict.valid, "distance": verdict.distance, "spread": verdict.spread,
            "score": verdict.score, "tolerance": verdict.tolerance, "prefix": verdict.prefix,
            "rtt_us": conditions.rtt_us, "rtt_mean_us": conditions.rtt_mean_us,
            "missing_partials": conditions.missing_partials, "in_flight": conditions.in_flight,
        },
    })
}

fn unjudged(why: Unjudged) -> Json {
    json!({ "missing": why.name(), "waited_ms": why.waited_ms() })
}

fn resolution(resolution: &Resolution) -> Json {
    let why = match resolution.why {
        Choice::Cheapest => "cheapest",
        Choice::Fixed => "fixed",
        Choice::Unrated => "unrated",
    };
    json!({
        "own": resolution.own.name(), "chosen": resolution.chosen.name(), "why": why,
        "conflict_ppm": resolution.conflict_ppm, "latency_us": resolution.latency_us,
        "own_latency_us": resolution.own_latency_us, "freed": resolution.freed,
    })
}

fn proof(proof: &Proof) -> Json {
    json!({
        "group": proof.group.0,
        "index": proof.index,
        "ts": proof.ts.0,
        "images": proof.images.to_hex(),
        "command": proof.command.to_hex(),
        "path": path(&proof.path),
        "before": proof.before.to_hex(),
    })
}

fn endorsement(endorsement: &Endorsement) -> Json {
    let Endorsement { checkpoint, path: way, signatures } = endorsement;
    let signatures = signatures.iter().map(|signature| {
        let bytes = [signature.r, signature.s].concat();
        json!({ "node": signature.node, "signature": hex(&bytes) })
    });
    json!({
        "checkpoint": {
            "group": checkpoint.group.0, "first": checkpoint.first, "last": checkpoint.last,
            "root": checkpoint.root.to_hex(), "head": checkpoint.head.to_hex(),
        },
        "path": path(way),
        "signatures": signatures.collect::<Vec<_>>(),
    })
}

fn path(path: &vatic_core::merkle::Path) -> Json {
    let siblings: Vec<String> = path.siblings.iter().map(Hash::to_hex).collect();
    json!({ "index": path.index, "count": path.count, "siblings": siblings })
}

/// Every digest on the way, as the description names them.
fn steps(sample: &Sample) -> Json {
    let Sample { receipt, deltas } = sample;
    let mut digest = receipt.body.seal.seed;
    let links = deltas.iter().zip(1..).map(|(delta, number)| {
        digest = chain::link(&digest, number, delta);
        digest.to_hex()
    });
    let links: Vec<String> = links.collect();
    let (tid, body) = (receipt.body.tid, receipt.body.digest());
    let positions = receipt.positions().expect("it verifies");
    let votes = receipt.proofs.iter().zip(positions).zip(&receipt.endorsements).map(
        |((proof, position), endorsement)| {
            let effect = receipt::vote_effect(tid, &body, proof.group, proof.ts, &proof.images);
            json!({
                "effect": effect.to_hex(),
                "leaf": receipt::leaf(&proof.command, &effect).to_hex(),
                "head": position.digest.to_hex(),
                "signed": endorsement.checkpoint.digest(CLUSTER).to_hex(),
            })
        },
    );
    let votes: Vec<Json> = votes.collect();
    json!({ "transitions": links, "body": body.to_hex(), "votes": votes })
}

fn trusted(keys: &TrustedKeys) -> Json {
    let groups = keys.groups.iter().map(|(group, nodes)| {
        let nodes = nodes.iter().map(|(node, key)| (node.to_string(), key.to_string().into()));
        (group.to_string(), Json::Object(nodes.collect()))
    });
    json!({ "cluster": keys.cluster, "groups": Json::Object(groups.collect()) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
