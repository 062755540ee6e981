//! Receipts under attack, and the vectors as they lie in the tree.

use std::collections::BTreeSet;
use std::path::Path;
use vatic_verification::{FILE, forge, forge_against, vectors};

/// A million, half of them from each seed.
const FORGERIES: u64 = 500_000;
const SEEDS: [u64; 2] = [1, 2];
/// Enough for a verifier that leaves a step out.
const FEW: u64 = 2_000;

#[test]
fn changed_receipts_never_verify() {
    std::thread::scope(|scope| {
        let _forgers = SEEDS.map(|seed| scope.spawn(move || never_verify(seed)));
    });
}

fn never_verify(seed: u64) {
    let attack = forge(FORGERIES, seed);
    let again = format!("vatic-verification receipts --count {FORGERIES} --seed {seed}");
    assert!(attack.verified.is_empty(), "{:?}; run it again: {again}", attack.verified);
    let steps = ["transitions", "root of a checkpoint", "signature", "pinned nodes"];
    for step in steps {
        assert!(attack.found_out.contains_key(step), "{step}: {:?}", attack.found_out);
    }
    assert_eq!(attack.tried, FORGERIES);
}

/// The test above can fail: a verifier that leaves the signatures out is taken in, and so is one
/// that does not look at the transitions that the client kept.
#[test]
fn verifier_that_leaves_a_step_out_is_taken_in() {
    let unsigned = forge_against(FEW, SEEDS[0], &|receipt, deltas, _| {
        let verified = receipt.verify(deltas.iter().map(Vec::as_slice));
        verified.map(|_| ()).map_err(|_| "positions")
    });
    assert!(!unsigned.verified.is_empty());
    let forgetful = forge_against(FEW, SEEDS[0], &|receipt, _, _| {
        receipt.positions().map(|_| ()).map_err(|_| "positions")
    });
    assert!(!forgetful.verified.is_empty());
}

#[test]
fn vectors_are_what_this_build_gives() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let kept = std::fs::read_to_string(&file).expect("the vectors lie in the tree");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("they are JSON");
    let again = "write them again: vatic-verification vectors --write";
    assert!(kept == vectors(), "{} differs; {again}", file.display());
    let cases = kept["cases"].as_array().expect("a list");
    let complete = |case: &&serde_json::Value| case["expect"]["complete"] == true;
    assert_eq!(cases.iter().filter(complete).count(), 3 + 8);
    assert_eq!(cases.len(), 27 + 8);
    // A body can say each thing of how it was judged, and somebody reads each of them here.
    let say = |name: &str, of: &str| -> BTreeSet<String> {
        let said = cases.iter().map(|case| &case["receipt"]["body"][name][of]);
        said.filter_map(|said| said.as_str()).map(str::to_owned).collect()
    };
    let missing = ["EXEMPLARS", "FORECAST", "HISTORY", "STEPS", "TOLERANCE"].map(str::to_owned);
    assert_eq!(say("unjudged", "missing"), missing.into());
    let why = ["cheapest", "fixed", "unrated"].map(str::to_owned);
    assert_eq!(say("resolution", "why"), why.into());
}
