//! Transactions that are far larger than an entry: staged ahead of their votes.

use vatic_client::{Outcome, OutcomeOf};
use vatic_core::id::Tid;
use vatic_proto::v1;
use vatic_tests::cluster::{Cluster, STAGE_CHUNK_BYTES};
use vatic_tests::values::{core_key, key, put, text};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed};

const VALUE_BYTES: usize = 32 << 10;
/// Several chunks for each of two groups.
const TRANSITIONS: usize = 8 * STAGE_CHUNK_BYTES as usize / VALUE_BYTES;

/// Two groups' records by turns, with a value of its own each.
async fn delta(cluster: &Cluster, collection: &str, number: usize) -> (v1::Key, String) {
    let partition = cluster.partition(1 + number as u32 % 2, 0).await;
    let value = format!("{number:08}").repeat(VALUE_BYTES / 8);
    (key(collection, &partition, &format!("{number:04}")), value)
}

async fn write(cluster: &Cluster, stream: &mut Stream, collection: &str, numbers: [usize; 2]) {
    for number in numbers[0]..numbers[1] {
        let (name, value) = delta(cluster, collection, number).await;
        stream.write(put(&name, text(value))).await;
        // One at a time: nobody reads the acknowledgements meanwhile.
        stream.acknowledged().await;
    }
}

pub(crate) async fn staged_transaction_commits_whole_though_a_participants_leader_was_killed(
    cluster: &Cluster,
) {
    let victim = cluster.leader(2).await;
    let gateway = (victim + 1) % vatic_tests::cluster::NODES;
    let mut stream = Stream::begin(cluster.channel(gateway)).await;
    let half = TRANSITIONS / 2;
    write(cluster, &mut stream, "staged", [0, half]).await;
    cluster.kill(victim);
    write(cluster, &mut stream, "staged", [half, TRANSITIONS]).await;
    let outcome = stream.commit().await;
    let version = committed(&outcome);
    let receipt = outcome.receipt.expect("a commit has one");
    assert_eq!((receipt.count, receipt.participants.len()), (TRANSITIONS as u64, 2));
    let client = cluster.client();
    for number in 0..TRANSITIONS {
        let (name, value) = delta(cluster, "staged", number).await;
        let found = client.get(&core_key(&name)).await.unwrap().expect("it was committed");
        let kept = found.fields["value"] == vatic_core::value::Value::from(value.as_str());
        assert!(kept && found.version.0 == version, "transition {number} is not as it was sent");
    }
    cluster.restart(victim);
    cluster.wait_ready().await;
    cluster.wait_agreed().await;
}

pub(crate) async fn staged_transaction_whose_client_vanished_is_rolled_back_and_freed(
    cluster: &Cluster,
) {
    let mut stream = Stream::begin(cluster.channel(0)).await;
    let (name, value) = delta(cluster, "vanished", 0).await;
    stream.write(put(&name, text(value))).await;
    let tid = Tid::from_bytes(&stream.id().await).expect("an id of 20 bytes");
    write(cluster, &mut stream, "vanished", [1, TRANSITIONS / 2]).await;
    drop(stream);
    let client = cluster.client();
    until("what was staged is freed", SOON, || async {
        match client.outcome(OutcomeOf::Transaction(tid)).await.ok()? {
            Outcome::RolledBack(_) => Some(()),
            _ => None,
        }
    })
    .await;
    assert!(client.get(&core_key(&name)).await.unwrap().is_none());
    cluster.wait_agreed().await;
}
