//! The largest transactions: exactly what the limits allow commits, through the loss of a
//! participant's leader too, and one byte or one transition more is refused by the limit's name.
//!
//! What users have by default takes a minute and a half in a debug build, so it is asked for by
//! name: `cargo test -p vatic-tests --test largest -- --ignored`. The same with small limits is
//! among the other tests.

use std::time::{Duration, Instant};

use tonic::{Code, Status};
use vatic_client::ScanOptions;
use vatic_core::codec;
use vatic_core::delta::{Delta, Op};
use vatic_core::key::{Key, KeyRange};
use vatic_core::limits::Limits;
use vatic_core::value::{Fields, Value};
use vatic_tests::cluster::{Cluster, NODES, Setting};
use vatic_tests::wait::until;
use vatic_tests::wire::{Stream, committed, refused};

/// Transitions that are sent before the acknowledgement of the last of them is awaited.
const WINDOW: usize = 32;
/// A replica that was away for half of the largest is sent it, and applies it.
const AGREED_WITHIN: Duration = Duration::from_secs(120);
/// In a debug build each of so many transitions costs more than it should.
const DECIDED_WITHIN: Duration = Duration::from_secs(100);
/// What a transition of many bytes has of them, about.
const DELTA_BYTES: u64 = 48 << 10;

const SMALL: [Setting; 2] = [
    ("group_limits", "transitions_max", 3_000),
    ("group_limits", "transaction_bytes_max", 3 << 20),
];

/// What other tests have smaller than users do.
const DEFAULTS: [Setting; 13] = [
    ("limits", "stream_idle_ms", 10_000),
    ("limits", "delta_bytes_max", 1 << 20),
    ("limits", "stage_chunk_bytes", 1 << 20),
    ("limits", "message_bytes_max", 4 << 20),
    ("limits", "scan_records_max", 10_000),
    ("limits", "scan_chunk_records", 256),
    ("consensus_limits", "snapshot_every_entries", 5_000),
    ("consensus_limits", "entries_kept_behind_snapshot", 10_000),
    ("consensus_limits", "command_bytes_max", 16 << 20),
    ("log_limits", "segment_bytes", 64 << 20),
    ("log_limits", "entry_bytes_max", 24 << 20),
    ("log_limits", "segments_target", 8),
    ("log_limits", "spares_max", 2),
];

/// The bounds under test.
struct Bounds {
    transitions_max: u64,
    transaction_bytes_max: u64,
}

impl Bounds {
    fn small() -> Bounds {
        let [(_, _, transitions_max), (_, _, transaction_bytes_max)] = SMALL;
        Bounds { transitions_max, transaction_bytes_max }
    }

    fn by_default() -> Bounds {
        let Limits { transitions_max, transaction_bytes_max, .. } = Limits::production();
        Bounds { transitions_max, transaction_bytes_max }
    }

    /// Transitions of two groups by turns that have exactly so many bytes.
    async fn of_bytes(&self, cluster: &Cluster, collection: &str, more: u64) -> Vec<Vec<u8>> {
        let mut left = self.transaction_bytes_max + more;
        let mut deltas = Vec::new();
        while left > 0 {
            let partition = cluster.partition(1 + deltas.len() as u32 % 2, 0).await;
            // The last takes what is left, which must be no less than an empty one has.
            let bytes = if left < DELTA_BYTES + (8 << 10) { left } else { DELTA_BYTES };
            deltas.push(put(collection, &partition, deltas.len(), bytes));
            left -= bytes;
        }
        deltas
    }

    /// So many small transitions, half of them of one group, half of another.
    async fn of_number(&self, cluster: &Cluster, collection: &str, more: u64) -> Vec<Vec<u8>> {
        let number = self.transitions_max + more;
        let partitions = [cluster.partition(1, 0).await, cluster.partition(2, 0).await];
        let of = |at: u64| &partitions[usize::from(at >= number / 2)];
        (0..number).map(|at| put(collection, of(at), at as usize, 64)).collect()
    }
}

/// A put that is encoded in exactly so many bytes.
fn put(collection: &str, partition: &str, number: usize, bytes: u64) -> Vec<u8> {
    let key = Key::new(collection, partition, &format!("{number:06}")).expect("a sound key");
    let of = |length: usize| {
        let value = Value::from("v".repeat(length).as_str());
        let fields: Fields = [("value".to_owned(), value)].into_iter().collect();
        codec::encode(&Delta { key: key.clone(), op: Op::Put(fields) })
    };
    let mut length = bytes as usize - of(0).len();
    // Longer lengths are themselves written in more bytes.
    while of(length).len() as u64 > bytes {
        length -= 1;
    }
    let encoded = of(length);
    assert_eq!(encoded.len() as u64, bytes, "a length between two sizes of its own");
    encoded
}

/// Sends all of them, and does something when half is sent.
async fn send(
    stream: &mut Stream,
    deltas: &[Vec<u8>],
    halfway: impl AsyncFnOnce(),
) -> Result<(), Status> {
    let mut halfway = Some(halfway);
    for (number, window) in deltas.chunks(WINDOW).enumerate() {
        for delta in window {
            stream.write_encoded(delta.clone()).await;
        }
        stream.try_acknowledged().await?;
        if 2 * (number + 1) * WINDOW >= deltas.len()
            && let Some(halfway) = halfway.take()
        {
            halfway().await;
        }
    }
    Ok(())
}

/// All of it is there, and of one version.
async fn is_whole(cluster: &Cluster, collection: &str, count: usize, version: u64) {
    let client = cluster.client();
    let mut found = 0;
    for group in 1..=2 {
        let range = KeyRange::partition(collection, &cluster.partition(group, 0).await);
        let records = client.scan_all(&range, ScanOptions::default()).await.expect("it is read");
        assert!(records.iter().all(|record| record.version.0 == version));
        found += records.len();
    }
    assert_eq!(found, count, "all of {collection} are there");
}

async fn commits(cluster: &Cluster, collection: &str, deltas: &[Vec<u8>], kills: bool) {
    let started = Instant::now();
    let victim = cluster.leader(2).await;
    let gateway = (victim + 1) % NODES;
    let mut stream = Stream::begin(cluster.channel(gateway)).await;
    stream.be_patient(DECIDED_WITHIN);
    let halfway = async || {
        if kills {
            cluster.kill(victim);
        }
    };
    send(&mut stream, deltas, halfway).await.expect("it is within the limits");
    let sent = started.elapsed();
    let outcome = stream.commit().await;
    let version = committed(&outcome);
    println!("  {collection}: sent in {sent:.1?}, committed after {:.1?}", started.elapsed());
    assert_eq!(outcome.receipt.map(|receipt| receipt.count), Some(deltas.len() as u64));
    if kills {
        cluster.restart(victim);
        cluster.wait_ready().await;
    }
    is_whole(cluster, collection, deltas.len(), version).await;
    settles(cluster).await;
    println!("  {collection}: all replicas agree after {:.1?}", started.elapsed());
}

async fn is_refused(cluster: &Cluster, collection: &str, deltas: &[Vec<u8>], limit: &str) {
    let mut stream = Stream::begin(cluster.channel(0)).await;
    let sent = send(&mut stream, deltas, async || {}).await;
    let error = refused(&sent.expect_err("it is one too many"));
    assert_eq!(error.code, Code::InvalidArgument, "{error:?}");
    assert_eq!(error.metadata["limit"], limit, "{error:?}");
    is_whole(cluster, collection, 0, 0).await;
    settles(cluster).await;
}

/// Waits until all replicas have the same chains, and nothing is undecided. The states themselves
/// are not read: so large ones take longer than a question may.
async fn settles(cluster: &Cluster) {
    let client = cluster.client();
    until("all replicas agree", AGREED_WITHIN, || async {
        cluster.assert_alive();
        let seen = client.cluster(false).await.ok()?;
        let settled = |group: &vatic_client::Group| {
            group.agrees() && group.replicas.iter().all(|replica| replica.undecided == 0)
        };
        seen.groups.iter().all(settled).then_some(())
    })
    .await;
}

async fn largest(cluster: &Cluster, bounds: &Bounds) {
    let bytes = bounds.of_bytes(cluster, "bytes", 0).await;
    commits(cluster, "bytes", &bytes, false).await;
    commits(cluster, "bytes-killed", &bounds.of_bytes(cluster, "bytes-killed", 0).await, true)
        .await;
    let number = bounds.of_number(cluster, "number", 0).await;
    commits(cluster, "number", &number, false).await;
    commits(cluster, "number-killed", &bounds.of_number(cluster, "number-killed", 0).await, true)
        .await;
    let more = bounds.of_bytes(cluster, "bytes-more", 1).await;
    is_refused(cluster, "bytes-more", &more, "transaction_bytes_max").await;
    let more = bounds.of_number(cluster, "number-more", 1).await;
    is_refused(cluster, "number-more", &more, "transitions_max").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_at_small_limits_commits_and_one_above_is_refused() {
    let cluster = Cluster::start_with(&SMALL, "info").await;
    largest(&cluster, &Bounds::small()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and a half in a debug build"]
async fn transaction_at_the_default_limits_commits_and_one_above_is_refused() {
    let cluster = Cluster::start_with(&DEFAULTS, "info").await;
    largest(&cluster, &Bounds::by_default()).await;
}
