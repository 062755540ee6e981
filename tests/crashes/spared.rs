//! Streams under `adaptive` ask for no turn with what they are not expected to write.
//!
//! On clusters of their own: what is counted is theirs alone.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use vatic_proto::v1::{self, transact_request::Frame};
use vatic_tests::cluster::{Cluster, Setting};
use vatic_tests::scrape::Scrape;
use vatic_tests::values::{add, key};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed};

const GATEWAY: usize = 1;
/// Streams after which turns are spared.
const ENOUGH: u64 = 16;
/// No turn is spared.
const OFF: Setting = ("limits", "turns_spared_after", 0);
/// In which a read that waits for no turn is long answered.
const TURN: Duration = Duration::from_millis(300);
/// In which a forecast is there, mostly.
const FORECAST: Duration = Duration::from_millis(50);

async fn begun(cluster: &Cluster, strategy: v1::Strategy) -> Stream {
    let begin = v1::BeginFrame { strategy: strategy.into(), ..v1::BeginFrame::default() };
    let stream = Stream::open(cluster.channel(GATEWAY)).await;
    stream.send(Frame::Begin(begin)).await;
    stream
}

/// Reads one record, and writes another one.
async fn stream(cluster: &Cluster, read: &v1::Key, written: &v1::Key) {
    let mut stream = begun(cluster, v1::Strategy::Adaptive).await;
    stream.read(read).await;
    stream.write(add(written, 1)).await;
    committed(&stream.commit().await);
}

/// Records that leaders were asked about, those that were spared, and those spared and written.
async fn counted(cluster: &Cluster) -> [f64; 3] {
    let (status, text) = cluster.admin(GATEWAY, "/metrics").await.unwrap();
    assert_eq!(status, 200, "{text}");
    let seen = Scrape::read(&text);
    ["asked", "spared", "missed"]
        .map(|result| seen.is(&format!("vatic_adaptive_turns_total{{result=\"{result}\"}}")))
}

pub(crate) async fn stream_takes_no_turn_with_what_its_like_never_wrote(_: &Cluster) {
    let cluster = &Cluster::start_with(&[], "info").await;
    let partition = &cluster.partition(1, 0).await;
    let [a, b, other] = ["a", "b", "other"].map(|collection| key(collection, partition, ""));
    let enough = ENOUGH as f64;
    for _ in 0..ENOUGH {
        stream(cluster, &a, &b).await;
    }
    assert_eq!(counted(cluster).await, [enough, 0.0, 0.0], "nothing is foreseen of them");
    // Nor is it waited for whoever has its turn there.
    let mut holder = begun(cluster, v1::Strategy::Lock).await;
    holder.read(&a).await;
    let mut spared = begun(cluster, v1::Strategy::Adaptive).await;
    timeout(TURN, spared.read(&a)).await.expect("it waits for no turn");
    assert_eq!(counted(cluster).await, [enough, 1.0, 0.0]);
    // What read otherwise asks as ever, and so does the one that goes on otherwise.
    spared.read(&other).await;
    assert_eq!(counted(cluster).await, [enough + 1.0, 1.0, 0.0]);
    drop((holder, spared));
    // One that writes there all the same commits, and is not foreseen again for a while.
    stream(cluster, &a, &a).await;
    assert_eq!(counted(cluster).await, [enough + 1.0, 2.0, 1.0]);
    stream(cluster, &a, &b).await;
    assert_eq!(counted(cluster).await, [enough + 2.0, 2.0, 1.0]);
    forecast_spares(cluster).await;
}

/// What reads and writes `c`, and reads on there: its like wrote there, but no more after that.
async fn forecast_spares(cluster: &Cluster) {
    let partition = &cluster.partition(1, 1).await;
    let [first, second] = ["1", "2"].map(|sort| key("c", partition, sort));
    // A node that is busy leaves streams out, so that more are run meanwhile.
    until("a forecast says that nothing more is written", SOON, || async {
        let before = counted(cluster).await;
        let mut stream = begun(cluster, v1::Strategy::Adaptive).await;
        stream.read(&first).await;
        stream.write(add(&first, 1)).await;
        stream.acknowledged().await;
        sleep(FORECAST).await;
        assert_eq!(counted(cluster).await, [before[0] + 1.0, before[1], before[2]]);
        stream.read(&second).await;
        committed(&stream.commit().await);
        let now = counted(cluster).await;
        assert_eq!(now[2], before[2]);
        (now[1] > before[1]).then_some(())
    })
    .await;
}

pub(crate) async fn stream_asks_for_each_turn_where_none_is_to_be_spared(_: &Cluster) {
    let cluster = &Cluster::start_with(&[OFF], "info").await;
    let partition = &cluster.partition(1, 0).await;
    let [a, b] = ["a", "b"].map(|collection| key(collection, partition, ""));
    for _ in 0..2 * ENOUGH {
        stream(cluster, &a, &b).await;
    }
    assert_eq!(counted(cluster).await, [2.0 * ENOUGH as f64, 0.0, 0.0]);
}
