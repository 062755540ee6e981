//! What a node tells of itself: metrics that move, readiness, the log of slow transactions.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;
use vatic_core::id::Tid;
use vatic_proto::v1::RollbackCause;
use vatic_tests::cluster::{Cluster, GROUPS, NODES, SLOW_TRANSACTION_MS, TRACED};
use vatic_tests::scrape::Scrape;
use vatic_tests::values::{core_key, fields, int, key, put};
use vatic_tests::wait::{SOON, until, within};
use vatic_tests::wire::{Stream, committed, rollback};

/// A vote is counted long before.
const COUNTED: Duration = Duration::from_secs(5);

pub(crate) async fn scrape(cluster: &Cluster, at: usize) -> Scrape {
    let (status, text) = cluster.admin(at, "/metrics").await.unwrap();
    assert_eq!(status, 200, "{text}");
    Scrape::read(&text)
}

/// The other tests run on this cluster too, so counters may move by more than this test moves them.
pub(crate) async fn counters_move_with_a_commit_and_a_rollback(cluster: &Cluster) {
    let gateway = 1;
    let name = key("metrics", &cluster.partition(1, 2).await, "");
    let before = scrape(cluster, gateway).await;
    let mut reader = Stream::begin(cluster.channel(gateway)).await;
    reader.read(&name).await;
    reader.write(put(&name, int(1))).await;
    reader.acknowledged().await;
    let mut writer = Stream::begin(cluster.channel(gateway)).await;
    writer.write(put(&name, int(2))).await;
    committed(&writer.commit().await);
    let between = scrape(cluster, gateway).await;
    assert!(between.is("vatic_streams") >= 1.0, "the reader's stream is open");
    let lost = reader.commit().await;
    assert_eq!(rollback(&lost).cause(), RollbackCause::StaleRead);
    let committed = "vatic_transactions_total{cause=\"\",outcome=\"committed\"}";
    let stale = "vatic_transactions_total{cause=\"stale_read\",outcome=\"rolled_back\"}";
    let coordinated = "vatic_transaction_seconds_count{stage=\"coordinate\"}";
    let read = "vatic_transaction_seconds_count{stage=\"read\"}";
    assert!(between.is(committed) >= before.is(committed) + 1.0);
    // A stream tells when it is dropped, which may be just after its last word.
    until("the rollback is counted", SOON, || async {
        let after = scrape(cluster, gateway).await;
        let moved = |series: &str, by: f64| after.is(series) >= before.is(series) + by;
        (moved(committed, 1.0) && moved(stale, 1.0) && moved(coordinated, 2.0) && moved(read, 1.0))
            .then_some(())
    })
    .await;
}

pub(crate) async fn drivers_groups_and_disk_are_told(cluster: &Cluster) {
    let name = &core_key(&key("metrics", &cluster.partition(2, 2).await, "told"));
    let client = cluster.client();
    // Another may lead by the time of the vote.
    until("the leader has counted a vote", SOON, || async {
        let leader = cluster.leader(2).await;
        let before = scrape(cluster, leader).await;
        client.run(|txn| async move { txn.put(name, fields(1)).await }).await.unwrap();
        within(COUNTED, || async { is_told(&before, &scrape(cluster, leader).await) }).await
    })
    .await;
    // An election between two scrapes may be seen twice or not at all.
    until("every group is seen to have one leader", SOON, || async {
        let mut leaders = 0.0;
        for at in 0..NODES {
            leaders += told_by(cluster, at).await?;
        }
        (leaders == f64::from(GROUPS + 1)).then_some(())
    })
    .await;
}

/// Whether all that a vote moves has moved at its leader.
fn is_told(before: &Scrape, after: &Scrape) -> Option<()> {
    let moved = |series: &str| after.is(series) > before.is(series);
    let all = moved("vatic_votes_total{vote=\"yes\"}")
        && moved("vatic_transaction_seconds_count{stage=\"vote\"}")
        && moved("vatic_group_applied_index{group=\"2\"}")
        && moved("vatic_consensus_batch_commands_count")
        && moved("vatic_commands_total{kind=\"vote\"}")
        && moved("vatic_consensus_append_seconds_count")
        && moved("vatic_log_fsync_seconds_count")
        && moved("vatic_log_written_bytes_total")
        && moved("vatic_store_flush_seconds_count");
    all.then_some(())
}

/// How many groups a node says it leads; `None` where it is not ready now.
async fn told_by(cluster: &Cluster, at: usize) -> Option<f64> {
    let seen = scrape(cluster, at).await;
    assert!(seen.is("process_resident_memory_bytes") > 1e6);
    assert!(seen.is("process_cpu_seconds_total") > 0.0);
    assert!(seen.is("vatic_store_map_used_bytes") > 0.0);
    assert_eq!(seen.is("vatic_has_room"), 1.0);
    assert_eq!(cluster.admin(at, "/healthz").await.unwrap(), (200, "alive\n".into()));
    let (status, said) = cluster.admin(at, "/readyz").await.unwrap();
    let of = |group, what| seen.is(&format!("vatic_group_{what}{{group=\"{group}\"}}"));
    assert!((0..=GROUPS).all(|group| of(group, "term") >= 1.0));
    let ready = status == 200 && said == "ready\n" && seen.is("vatic_ready") == 1.0;
    ready.then(|| (0..=GROUPS).map(|group| of(group, "is_leader")).sum())
}

pub(crate) async fn stalled_transaction_is_in_the_slow_log_with_where_its_time_went(
    cluster: &Cluster,
) {
    let gateway = 1;
    let name = key("slow", &cluster.partition(3, 2).await, "");
    let mut stream = Stream::begin(cluster.channel(gateway)).await;
    stream.write(put(&name, int(1))).await;
    let tid = Tid::from_bytes(&stream.id().await).unwrap().to_string();
    let stalled = Instant::now() + Duration::from_millis(SLOW_TRANSACTION_MS);
    tokio::time::sleep_until(stalled).await;
    committed(&stream.commit().await);
    let line = until("the slow log has the transaction", SOON, || async {
        let lines = cluster.logged(gateway, "slow transaction at its gateway");
        lines.into_iter().find(|line| line.contains(&tid))
    })
    .await;
    assert!(line.contains("WARN") && line.contains("outcome=\"committed\""), "{line}");
    let ms = |field: &str| -> u64 {
        let found = line.split_whitespace().find_map(|word| word.strip_prefix(field));
        found.unwrap_or_else(|| panic!("{field} in {line}")).parse().unwrap()
    };
    let (client, total) = (ms("client_ms="), ms("total_ms="));
    // The clock of the stall began a little after the node's.
    assert!(client + 20 >= SLOW_TRANSACTION_MS && client <= total, "{line}");
    assert!(ms("coordinate_ms=") + client <= total, "{line}");
    let scraped = scrape(cluster, gateway).await;
    assert!(scraped.is("vatic_slow_transactions_total") >= 1.0);
}

pub(crate) async fn transaction_is_one_span_with_its_times_at_its_gateway(cluster: &Cluster) {
    let gateway = TRACED as usize - 1;
    let mut stream = Stream::begin(cluster.channel(gateway)).await;
    for group in [3, 1] {
        let name = key("traced", &cluster.partition(group, 2).await, "");
        stream.write(put(&name, int(1))).await;
    }
    let tid = Tid::from_bytes(&stream.id().await).unwrap();
    committed(&stream.commit().await);
    let spans = until("the span is in the log", SOON, || async {
        let lines = cluster.logged(gateway, &tid.to_string());
        let lines = lines.iter().map(|line| serde_json::from_str::<Json>(line).unwrap());
        // On a busy machine it may be in the slow log as well.
        let lines = lines.filter(|line| line["message"] == "close");
        let spans = lines.map(|line| line["span"].clone());
        let spans: Vec<Json> = spans.filter(|span| span["name"] == "transaction").collect();
        (!spans.is_empty()).then_some(spans)
    })
    .await;
    assert_eq!(spans.len(), 1, "{spans:?}");
    let span = &spans[0];
    assert_eq!((&span["outcome"], &span["participants"]), (&"committed".into(), &"1 3".into()));
    assert_eq!(span["home"], tid.home.0);
    let us = |field: &str| span[field].as_u64().unwrap_or_else(|| panic!("{field} in {span}"));
    let stages = ["client_us", "read_us", "stage_us", "coordinate_us"].map(us);
    assert!(us("coordinate_us") > 0 && stages.iter().sum::<u64>() <= us("total_us"), "{span}");
}
