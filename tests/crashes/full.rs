//! Disks without room: new work is refused, what was begun ends, and nothing is lost.
//!
//! The disk is full by failpoint, so that no test fills the machine that it runs on: whoever asks
//! how much is free is told nothing, and flushes and new log segments fail for want of room. Or
//! flushes alone do, of a disk that says that it has room.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use vatic_proto::v1;
use vatic_tests::cluster::{Cluster, GROUPS, NODES};
use vatic_tests::endurance::SMALL;
use vatic_tests::load::Load;
use vatic_tests::scrape::Scrape;
use vatic_tests::values::{core_key, int, key, number, put, text};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed, refused};

const CLIENTS: usize = 4;
/// Many times what the spare segments hold.
const FILLING_WRITES_MAX: usize = 1_000;
const LARGE_BYTES: usize = 30 << 10;
const FULL: [&str; 2] = ["store::disk_free=return", "log::disk_free=return"];
/// A node whose disk is full goes on leading what it leads.
const STAYS: &str = "server::leave_full_disk=return";
/// The disk says that it has room, and has none.
const UNWRITABLE: &str = "store::flush_room=return";
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Each leader looks every three seconds at whether another one should lead.
const LOOKED_FOR: Duration = Duration::from_secs(5);
/// What is to be forgotten and is not is proposed again after a second, or three without an answer.
const PROPOSED_AGAIN: Duration = Duration::from_secs(6);
/// All writes that filled the log are old enough one after the other.
const FORGOTTEN_MAX: Duration = Duration::from_secs(60);

async fn scrape(cluster: &Cluster, at: usize) -> Option<Scrape> {
    let (status, text) = cluster.admin(at, "/metrics").await.ok()?;
    (status == 200).then(|| Scrape::read(&text))
}

/// Waits until a node says whether it has room.
async fn has_room(cluster: &Cluster, at: usize, room: f64) {
    until("a node notices how full its disk is", SOON, || async {
        let seen = scrape(cluster, at).await?;
        (seen.is("vatic_has_room") == room).then_some(())
    })
    .await;
}

/// How many commands of a kind a node has proposed.
async fn proposed(cluster: &Cluster, at: usize, kind: &str) -> f64 {
    let seen = until("a node shows its counts", SOON, || scrape(cluster, at)).await;
    seen.is(&format!("vatic_commands_total{{kind=\"{kind}\"}}"))
}

/// The last log index that a node has applied of a group.
async fn applied(cluster: &Cluster, at: usize, group: u32) -> f64 {
    let seen = until("a node shows its indexes", SOON, || scrape(cluster, at)).await;
    seen.is(&format!("vatic_group_applied_index{{group=\"{group}\"}}"))
}

/// A group that another node than this one leads, and who does.
async fn led_elsewhere(cluster: &Cluster, at: usize) -> (u32, usize) {
    until("another node leads too", SOON, || async {
        for group in 1..=GROUPS {
            let leader = cluster.leader(group).await;
            if leader != at {
                return Some((group, leader));
            }
        }
        None
    })
    .await
}

/// Writes a record of each group, the first of them being the transaction's home.
async fn write(
    cluster: &Cluster,
    at: usize,
    sort: &str,
    groups: &[u32],
) -> Result<v1::Outcome, Status> {
    let mut stream = Stream::begin(cluster.channel(at)).await;
    for group in groups {
        let partition = cluster.partition(*group, 0).await;
        stream.write(put(&key("full", &partition, sort), int(1))).await;
    }
    stream.seal().await;
    stream.outcome().await
}

async fn is_refused(cluster: &Cluster, at: usize, sort: &str, groups: &[u32]) {
    is_without_room(write(cluster, at, sort, groups).await);
}

fn is_without_room(answer: Result<v1::Outcome, Status>) {
    let error = refused(&answer.expect_err("there is no room"));
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "QUEUE_FULL"));
    assert_eq!(error.metadata["limit"], "disk_reserve_bytes", "{error:?}");
}

/// Who does what: the group whose leader is full, and another one with its leader, the gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Roles {
    there: u32,
    home: u32,
    gateway: usize,
}

async fn roles(cluster: &Cluster, full: usize) -> Roles {
    let (home, gateway) = led_elsewhere(cluster, full).await;
    let there = until("the node leads another group", SOON, || async {
        for group in (1..=GROUPS).filter(|group| *group != home) {
            if cluster.leader(group).await == full {
                return Some(group);
            }
        }
        None
    })
    .await;
    Roles { there, home, gateway }
}

/// A node whose disk is full refuses what is new alone; others' transactions that need it there are
/// given up and decided, which takes room too.
async fn one_full_node_refuses_and_decides(cluster: &Cluster, full: usize) {
    let before = [proposed(cluster, full, "force").await, proposed(cluster, full, "decide").await];
    let (there, applied, alone, shared) = loop {
        let found = roles(cluster, full).await;
        let Roles { there, home, gateway } = found;
        let applied = applied(cluster, full, there).await;
        let alone = write(cluster, gateway, "alone", &[there]).await;
        let shared = write(cluster, gateway, "shared", &[home, there]).await;
        // A while after a start, leadership goes to whoever it is preferred with.
        if roles(cluster, full).await == found {
            break (there, applied, alone, shared);
        }
    };
    is_without_room(alone);
    is_without_room(shared);
    until("the full node has decided", SOON, || async {
        let after =
            [proposed(cluster, full, "force").await, proposed(cluster, full, "decide").await];
        (after[0] > before[0] && after[1] > before[1]).then_some(())
    })
    .await;
    // What is proposed alone could still wait for room.
    until("what it decided is applied, without room", SOON, || async {
        (self::applied(cluster, full, there).await >= applied + 2.0).then_some(())
    })
    .await;
    has_room(cluster, full, 0.0).await;
}

/// Others take over what a full node led, and take new work; it follows.
async fn groups_of_a_full_node_go_on_elsewhere(cluster: &Cluster, full: usize) {
    leads_nothing(cluster, full).await;
    let gateway = (full + 1) % NODES;
    for group in 1..=GROUPS {
        let written = write(cluster, gateway, "elsewhere", &[group]).await;
        committed(&written.expect("its leader has room"));
    }
    has_room(cluster, full, 0.0).await;
}

/// It is preferred as the leader of some group, and would be given it back at the next look.
async fn is_given_nothing_back(cluster: &Cluster, full: usize) {
    let until = Instant::now() + LOOKED_FOR;
    while Instant::now() < until {
        let seen = scrape(cluster, full).await.expect("a full node shows its counts");
        assert_eq!(seen.sum("vatic_group_is_leader"), 0.0, "it was given back a group");
        sleep(LOOK_EVERY).await;
    }
}

async fn leads_nothing(cluster: &Cluster, full: usize) {
    let client = cluster.client();
    until("the full node leads nothing", SOON, || async {
        let seen = client.cluster(false).await.ok()?;
        let led_elsewhere = |leader: Option<u64>| leader.is_some_and(|it| it as usize != full + 1);
        seen.groups.iter().all(|group| led_elsewhere(group.leader)).then_some(())
    })
    .await;
}

/// Its disk says that it has room: the flush that found none is believed.
pub(crate) async fn node_that_cannot_flush_gives_its_leadership_to_others(cluster: &Cluster) {
    let full = cluster.leader_by_rights(1).await;
    cluster.arm(full, UNWRITABLE).await;
    let gateway = (full + 1) % NODES;
    // What it cannot flush, as a follower too.
    committed(&write(cluster, gateway, "unwritable", &[1]).await.expect("it is not noticed yet"));
    has_room(cluster, full, 0.0).await;
    groups_of_a_full_node_go_on_elsewhere(cluster, full).await;
    cluster.disarm(full, UNWRITABLE).await;
    has_room(cluster, full, 1.0).await;
    assert_eq!(cluster.leader_by_rights(1).await, full, "it is given back what it should lead");
    committed(&write(cluster, full, "writable", &[1]).await.expect("there is room again"));
    cluster.wait_agreed().await;
}

pub(crate) async fn full_disks_refuse_new_work_alone_lose_nothing_and_end_by_themselves(
    cluster: &Cluster,
) {
    let load = Load::start(cluster, "filled", "filled-names", CLIENTS).await;
    load.progress(cluster, 20).await;
    for group in 1..=GROUPS {
        committed(&write(cluster, 0, "before", &[group]).await.expect("there is room"));
    }
    let full = cluster.leader(1).await;
    cluster.arm(full, STAYS).await;
    cluster.arm(full, &FULL.join(";")).await;
    has_room(cluster, full, 0.0).await;
    one_full_node_refuses_and_decides(cluster, full).await;
    cluster.disarm(full, STAYS).await;
    groups_of_a_full_node_go_on_elsewhere(cluster, full).await;
    is_given_nothing_back(cluster, full).await;

    for at in (0..NODES).filter(|at| *at != full) {
        cluster.arm(at, &FULL.join(";")).await;
        has_room(cluster, at, 0.0).await;
    }
    for group in 1..=GROUPS {
        is_refused(cluster, 0, "while", &[group]).await;
    }
    // What had voted is decided, so that reads wait for nobody; and all is there.
    let stopped = load.stop().await;
    cluster.wait_agreed().await;
    are_there(cluster, "before").await;

    // What is not flushed is in the log.
    cluster.kill(full);
    cluster.arm_next_start(full, &FULL.join(";"));
    cluster.restart(full);
    cluster.wait_ready().await;
    has_room(cluster, full, 0.0).await;
    is_refused(cluster, full, "while", &[1]).await;
    cluster.wait_agreed().await;

    for at in 0..NODES {
        for point in FULL {
            cluster.disarm(at, point).await;
        }
        has_room(cluster, at, 1.0).await;
    }
    for group in 1..=GROUPS {
        committed(&write(cluster, 0, "after", &[group]).await.expect("there is room again"));
    }
    let balance = stopped.check(cluster).await;
    assert!(balance.acknowledged >= 20, "{balance:?}");
    are_there(cluster, "before").await;
    cluster.wait_agreed().await;
}

/// The log alone finds no room, which it notices when it has used its spare segments up.
pub(crate) async fn full_log_refuses_new_work_alone_and_goes_on_deciding_and_forgetting(
    _: &Cluster,
) {
    // Small segments, of which no purge gives one back meanwhile, and nothing is carried forward.
    let mut settings = SMALL.to_vec();
    settings.push(("consensus_limits", "snapshot_every_entries", 1_000_000));
    settings.push(("log_limits", "segments_target", 1_000));
    // Long enough for a transaction that is given up to be told of.
    settings.push(("limits", "stream_age_max_ms", 8_000));
    settings.push(("limits", "forget_after_ms", 10_000));
    let cluster = Cluster::start_with(&settings, "info").await;
    let full = cluster.leader_by_rights(1).await;
    committed(&write(&cluster, full, "before", &[1]).await.expect("there is room"));
    cluster.arm(full, STAYS).await;
    cluster.arm(full, FULL[1]).await;
    for nth in 0.. {
        assert!(nth < FILLING_WRITES_MAX, "the log never gets full");
        let _ = write_large(&cluster, full, nth).await;
        let seen = until("a node shows its counts", SOON, || scrape(&cluster, full)).await;
        if seen.is("vatic_log_full") == 1.0 {
            break;
        }
    }
    let before = proposed(&cluster, full, "forget").await;
    one_full_node_refuses_and_decides(&cluster, full).await;
    until("the full node has forgotten, and has no more to forget", FORGOTTEN_MAX, || async {
        let seen = proposed(&cluster, full, "forget").await;
        sleep(PROPOSED_AGAIN).await;
        (seen > before && proposed(&cluster, full, "forget").await == seen).then_some(())
    })
    .await;
    has_room(&cluster, full, 0.0).await;
    cluster.disarm(full, FULL[1]).await;
    has_room(&cluster, full, 1.0).await;
    committed(&write(&cluster, full, "after", &[1]).await.expect("there is room again"));
    cluster.wait_agreed().await;
}

/// To a group of this node; it may be refused.
async fn write_large(cluster: &Cluster, at: usize, nth: usize) -> Result<v1::Outcome, Status> {
    let name = key("full", &cluster.partition(1, 0).await, &format!("large-{nth}"));
    let mut stream = Stream::begin(cluster.channel(at)).await;
    stream.write(put(&name, text("x".repeat(LARGE_BYTES)))).await;
    stream.seal().await;
    stream.outcome().await
}

async fn are_there(cluster: &Cluster, sort: &str) {
    let client = cluster.client();
    for group in 1..=GROUPS {
        let name = core_key(&key("full", &cluster.partition(group, 0).await, sort));
        let found = client.get(&name).await.expect("reads need no room");
        assert_eq!(number(found.as_ref()), 1, "{name:?} was acknowledged");
    }
}
