//! What the hot functions of core and store take, each alone: `cargo bench -p vatic-bench`.
//!
//! Whatever takes a share of a put's time worth naming is here, so that a change to it can be
//! measured without a cluster. `floor` is the hashing that a transaction's chain cannot do without:
//! on a shared machine only ratios within one run mean something.

mod conflicts;
mod receipts;
mod state;
mod workload;

use conflicts::Leader;
use divan::{Bencher, black_box, counter::ItemsCount};
use receipts::Signed;
use state::Overlays;
use vatic_core::chain;
use workload::Workload;

/// As in `vatic`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Transitions of a transaction: few, and many.
const TRANSITIONS: [u64; 2] = [3, 100];

fn main() {
    println!("a complete receipt has {} bytes", Signed::new(TRANSITIONS[0]).receipt_bytes());
    divan::main();
}

/// The chain's hashes: two for each transition, at the gateway and at its participant.
#[divan::bench(args = TRANSITIONS)]
fn floor(transitions: u64) {
    workload::hash_floor(transitions);
}

/// Seal, vote and decide of a transaction of one group or two, on states in memory.
#[divan::bench(args = [1, 2])]
fn transaction(bencher: Bencher, groups: u32) {
    let mut workload = Workload::new(groups, TRANSITIONS[0]);
    bencher.bench_local(|| workload.transact());
}

/// A stream's transitions, one after the other: chain, ring, segment, footprint.
#[divan::bench(args = TRANSITIONS)]
fn draft_push(bencher: Bencher, transitions: u64) {
    let workload = Workload::new(2, transitions);
    bencher
        .counter(ItemsCount::new(transitions))
        .with_inputs(|| (workload.begin(), workload.deltas()))
        .bench_local_values(|(mut draft, deltas)| {
            deltas.into_iter().for_each(|delta| workload::push(&mut draft, delta));
            draft
        });
}

/// The digest that names a body; its segments alternate between two groups.
#[divan::bench(args = TRANSITIONS)]
fn body_digest(bencher: Bencher, transitions: u64) {
    let (body, _) = Workload::new(2, transitions).sealed();
    bencher.bench_local(|| black_box(&body).digest());
}

/// A participant's digest over its part.
#[divan::bench(args = TRANSITIONS)]
fn part_digest(bencher: Bencher, transitions: u64) {
    let (_, parts) = Workload::new(1, transitions).sealed();
    bencher.bench_local(|| black_box(&parts[0]).digest());
}

/// A participant recomputes its segment from the transitions.
#[divan::bench(args = TRANSITIONS)]
fn chain_recompute(bencher: Bencher, transitions: u64) {
    let (body, parts) = Workload::new(1, transitions).sealed();
    let (segment, sent) = (&body.segments[0], &parts[0].transitions);
    let sent = || sent.iter().map(|transition| (transition.seq, transition.delta.as_slice()));
    bencher.bench_local(|| chain::recompute(black_box(segment), sent()).expect("it is sound"));
}

/// The segments of all groups are exactly the sealed chain.
#[divan::bench(args = TRANSITIONS)]
fn chain_stitch(bencher: Bencher, transitions: u64) {
    let (body, _) = Workload::new(2, transitions).sealed();
    let (seal, segments) = (&body.seal, &body.segments);
    bencher.bench_local(|| chain::stitch(black_box(seal), segments).expect("it is sound"));
}

/// A complete receipt of one group, with the signatures of a majority.
#[divan::bench(args = TRANSITIONS)]
fn receipt_verify(bencher: Bencher, transitions: u64) {
    let signed = Signed::new(transitions);
    bencher.bench_local(|| signed.verify());
}

/// The endorsement of a vote under the largest checkpoint.
#[divan::bench]
fn receipt_endorsement(bencher: Bencher) {
    let signed = Signed::new(TRANSITIONS[0]);
    bencher.bench_local(|| signed.endorse());
}

/// A checkpoint of 1,024 entries.
#[divan::bench]
fn checkpoint(bencher: Bencher) {
    let signed = Signed::new(TRANSITIONS[0]);
    bencher.bench_local(|| signed.checkpoint());
}

#[divan::bench]
fn checkpoint_sign(bencher: Bencher) {
    let signed = Signed::new(TRANSITIONS[0]);
    bencher.bench_local(|| signed.sign());
}

/// With a copy of the small state that it is attested in.
#[divan::bench]
fn checkpoint_attest(bencher: Bencher) {
    let mut signed = Signed::new(TRANSITIONS[0]);
    bencher.bench_local(|| signed.attest());
}

/// What applying one entry of eight writes publishes over an overlay of so many.
#[divan::bench(args = [1_000, 30_000])]
fn overlay_publish(bencher: Bencher, entries: u64) {
    let mut overlays = Overlays::new(entries);
    bencher.bench_local(|| overlays.publish());
}

/// A get that the overlay answers, and one that LMDB does.
#[divan::bench(args = [true, false])]
fn view_get(bencher: Bencher, in_overlay: bool) {
    let mut overlays = Overlays::new(30_000);
    bencher.bench_local(|| overlays.get(in_overlay));
}

/// A scan of 1,000 entries, of which one in two is in the overlay and the others in LMDB.
#[divan::bench]
fn overlay_merge(bencher: Bencher) {
    let overlays = Overlays::new(30_000);
    bencher.counter(ItemsCount::new(state::SCANNED)).bench_local(|| overlays.scan());
}

/// What a leader does about conflicts for a vote on so many records, beside the vote itself.
#[divan::bench(args = [1, 4])]
fn conflict_vote(bencher: Bencher, records: u64) {
    let mut leader = Leader::new();
    bencher.bench_local(|| leader.vote(records));
}

/// Features and score of a transaction on so many records.
#[divan::bench(args = [1, 4])]
fn conflict_score(bencher: Bencher, records: u64) {
    let mut leader = Leader::new();
    bencher.bench_local(|| leader.score(records));
}

/// The claim of one record.
#[divan::bench]
fn conflict_advise(bencher: Bencher) {
    let mut leader = Leader::new();
    bencher.bench_local(|| leader.advise());
}
