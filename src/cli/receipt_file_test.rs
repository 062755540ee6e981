//! A receipt file verifies as written; any change to it shows.

use vatic_client::{Committed, Evidence};
use vatic_core::body::{Body, Participant};
use vatic_core::chain::{Seal, Segment, link};
use vatic_core::codec;
use vatic_core::delta::{Delta, Op};
use vatic_core::finding::Finding;
use vatic_core::footprint::Footprint;
use vatic_core::hash::Hash;
use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_core::merkle::Path;
use vatic_core::receipt::{Proof, Receipt};
use vatic_core::strategy::Basis;

use crate::receipt_file::{render, verify_text};

pub(crate) fn committed(by: i64) -> Committed {
    let key = "c/p".parse().unwrap();
    let delta = codec::encode(&Delta { key, op: Op::Add { field: "n".into(), by } });
    let tid = Tid { mint: Timestamp(5), home: GroupId(1), nonce: 6 };
    let seed = Hash([3; 32]);
    let head = link(&seed, 1, &delta);
    let group = GroupId(1);
    let footprint = Footprint::default();
    let body = Body {
        tid,
        seal: Seal { seed, count: 1, head },
        segments: vec![Segment { group, first: 1, last: 1, before: seed, after: head }],
        participants: vec![Participant { group, part: Hash::ZERO, footprint }],
        claim: None,
        finding: Finding::Nothing,
        basis: Basis::Reads,
    };
    let proof = Proof {
        group,
        index: 9,
        ts: Timestamp(8),
        images: Hash::ZERO,
        command: Hash::ZERO,
        path: Path { index: 0, count: 1, siblings: vec![] },
        before: Hash::ZERO,
    };
    let receipt = Receipt::new(body, Timestamp(8), vec![proof]);
    Committed {
        tid,
        version: Timestamp(8),
        participants: vec![group],
        replayed: false,
        attempts: 1,
        verdict: None,
        unjudged: None,
        resolution: None,
        evidence: Evidence { deltas: vec![delta], receipt: codec::encode(&receipt) },
    }
}

#[test]
fn file_verifies_as_written() {
    let (receipt, positions) = verify_text(&render(&committed(1)).unwrap(), None).unwrap();
    assert_eq!(receipt.ts, Timestamp(8));
    assert_eq!((positions[0].group, positions[0].index), (GroupId(1), 9));
}

#[test]
fn changed_delta_does_not_verify() {
    let mut other = committed(1);
    other.evidence.deltas = committed(2).evidence.deltas;
    assert!(verify_text(&render(&other).unwrap(), None).unwrap_err().contains("transitions"));
}

#[test]
fn readable_part_that_lies_does_not_verify() {
    let text = render(&committed(1)).unwrap();
    let version = text.replace("\"commit_version\": 8", "\"commit_version\": 9");
    assert_ne!(text, version);
    assert!(verify_text(&version, None).unwrap_err().contains("commit version"));
    let mut other = committed(1);
    other.tid.nonce += 1;
    assert!(verify_text(&render(&other).unwrap(), None).unwrap_err().contains("transaction"));
}

#[test]
fn other_formats_and_other_files_are_refused() {
    let text = render(&committed(1)).unwrap().replace("\"format\": 1", "\"format\": 2");
    assert!(verify_text(&text, None).unwrap_err().contains("format 2"));
    assert!(verify_text("hello", None).is_err());
}
