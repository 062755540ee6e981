//! Nodes die at named places: between votes and decisions, around fsyncs, in an install.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::bytes::Bytes;
use vatic_client::{Outcome, OutcomeOf};
use vatic_core::id::Tid;
use vatic_core::key::Key;
use vatic_proto::v1;
use vatic_tests::cluster::{Cluster, NODES, SNAPSHOT_EVERY_ENTRIES};
use vatic_tests::load::Load;
use vatic_tests::values::{add, core_key, key, number, transitions};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{self, Stream, committed};

use crate::kills::{Open, both};

const CLIENTS: usize = 6;

/// Transactions that are begun until one is not rolled back.
const BEGINS_MAX: usize = 5;

/// How long after its transaction's outcome a node may take to be seen dead.
const DEATH_MAX: Duration = Duration::from_secs(10);

/// Who coordinates a transaction of two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// Its gateway, which leads the home group.
    HomeAndGateway,
    /// The leader of both groups, at another node than its gateway.
    Leader,
    /// Its gateway, which leads neither group; their leaders are apart.
    GatewayAlone,
}

/// A transaction of two groups whose driver died at a failpoint.
struct Died {
    tid: Tid,
    keys: [Key; 2],
    driver: usize,
    /// The client heard that it is committed.
    heard: bool,
}

impl Driver {
    /// It and the gateway, and the groups of the transaction.
    async fn place(self, cluster: &Cluster) -> (usize, usize, [u32; 2]) {
        let home = cluster.leader_by_rights(1).await;
        match self {
            Driver::HomeAndGateway => (home, home, [1, 2]),
            // Groups go round the nodes.
            Driver::Leader => {
                assert_eq!(cluster.leader_by_rights(4).await, home);
                (home, (home + 1) % NODES, [1, 4])
            }
            Driver::GatewayAlone => {
                let apart = cluster.leader_by_rights(2).await;
                let third = (0..NODES).find(|at| ![home, apart].contains(at)).expect("a third");
                (third, third, [1, 2])
            }
        }
    }

    fn is_gateway(self) -> bool {
        self != Driver::Leader
    }
}

/// Seals transactions until one has its driver die at the point, which nothing else can reach. One
/// that was rolled back is none: on a slow machine its votes, or those of the driver after, may
/// come too late.
async fn seal_until_death(cluster: &Cluster, who: Driver, armed: &str) -> Died {
    for begun in 0..BEGINS_MAX {
        cluster.wait_agreed().await;
        let (driver, gateway, groups) = who.place(cluster).await;
        let sort = format!("{armed}-{who:?}-{begun}").replace(['=', '>', '*'], "-");
        let mut open = Open::begin_in(cluster, gateway, groups, &sort).await;
        cluster.arm(driver, armed).await;
        open.stream.seal().await;
        // An error is what a client hears whose gateway died.
        let outcome = open.stream.outcome().await;
        if let Ok(outcome) = &outcome
            && outcome.state() != v1::outcome::State::Committed
        {
            println!("  {armed}: rolled back: {outcome:?}");
            cluster.disarm(driver, armed).await;
            continue;
        }
        if !cluster.dies_within(driver, DEATH_MAX).await {
            // Groups may still be going back to the nodes that lead them by rights.
            println!("  {armed}: another node led by then");
            cluster.disarm(driver, armed).await;
            continue;
        }
        let heard = outcome.is_ok_and(|outcome| committed(&outcome) > 0);
        return Died { tid: open.tid, keys: open.keys, driver, heard };
    }
    panic!("{armed}: {BEGINS_MAX} transactions were rolled back");
}

/// The transaction is the same wherever it is asked for, wholly there or not at all; no lock is
/// left. Its dead node is back afterwards. Whether it is there.
async fn settled(cluster: &Cluster, died: Died) -> bool {
    let Died { tid, keys, driver: dead, heard } = died;
    let mut states = Vec::new();
    for at in (0..NODES).filter(|at| *at != dead) {
        states.push(both(&cluster.client_of(at), &keys).await);
    }
    cluster.restart(dead);
    cluster.wait_ready().await;
    states.push(both(&cluster.client_of(dead), &keys).await);
    let there = states[0][0].is_some();
    assert!(there || !heard, "{tid}: acknowledged, and not there");
    let wanted = if there { [Some(1); 2] } else { [None; 2] };
    assert!(states.iter().all(|state| *state == wanted), "{tid}: {states:?}");
    for at in 0..NODES {
        let outcome = cluster.client_of(at).outcome(OutcomeOf::Transaction(tid)).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::Committed(_)), there, "{tid}: {outcome:?}");
    }
    let client = cluster.client();
    let done = client.run(|txn| {
        let keys = keys.clone();
        async move {
            for name in &keys {
                txn.add(name, "value", 1).await?;
            }
            Ok(())
        }
    });
    done.await.unwrap();
    // Nothing undecided is left either, which the next test's point could take for its own.
    cluster.wait_agreed().await;
    there
}

pub(crate) async fn driver_that_dies_before_the_votes_leaves_nothing_or_is_taken_over(
    cluster: &Cluster,
) {
    for who in [Driver::HomeAndGateway, Driver::Leader, Driver::GatewayAlone] {
        let died = seal_until_death(cluster, who, "server::vote=abort").await;
        // A gateway that lives hands the seal to the next leader.
        assert_eq!(died.heard, !who.is_gateway());
        assert_eq!(settled(cluster, died).await, !who.is_gateway());
    }
}

pub(crate) async fn driver_that_dies_after_the_votes_has_committed(cluster: &Cluster) {
    let armed = ["server::voted=abort", "server::decide=abort", "server::decide=1*off->abort"];
    let own = [Driver::HomeAndGateway; 3];
    let others = [Driver::Leader, Driver::GatewayAlone];
    for (who, armed) in own.into_iter().chain(others).zip(armed.iter().cycle()) {
        let died = seal_until_death(cluster, who, armed).await;
        assert!(who.is_gateway() || died.heard, "{armed}: the gateway lives and can tell");
        assert!(settled(cluster, died).await, "{armed}: all had voted Yes");
    }
}

/// What panics may have left anything half done, and nobody would miss the task: a node ends rather
/// than go on without it.
pub(crate) async fn panic_in_a_task_ends_its_node_which_comes_back(cluster: &Cluster) {
    cluster.wait_agreed().await;
    let gateway = cluster.leader_by_rights(1).await;
    cluster.arm(gateway, "server::tolerance=panic").await;
    let name = core_key(&key("panics", &cluster.partition(1, 0).await, ""));
    let client = cluster.client_of(gateway);
    // How it ends does not matter: a task beside it asks what its group tolerates.
    let stream = tokio::spawn(async move {
        let _ = client.run(async |txn| txn.add(&name, "value", 1).await).await;
    });
    assert!(cluster.dies_within(gateway, DEATH_MAX).await, "a task of its panicked");
    stream.abort();
    cluster.restart(gateway);
    cluster.wait_ready().await;
    cluster.wait_agreed().await;
}

/// Adds 1 to a record in each of two groups, once.
fn request(names: &[v1::Key; 2], id: &'static [u8]) -> v1::SubmitRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let route_key = names[0].partition.clone();
    let id = Bytes::from_static(id);
    v1::SubmitRequest {
        request_id: Some(v1::RequestId { id, route_key, mint_unix_ms: now }),
        transitions: transitions(names.iter().map(|name| add(name, 1)).collect()),
        ..Default::default()
    }
}

/// Records of two groups with one leader, which coordinates what writes them.
async fn names(cluster: &Cluster, collection: &str) -> [v1::Key; 2] {
    assert_eq!(cluster.leader_by_rights(1).await, cluster.leader_by_rights(4).await);
    let [first, second] = [cluster.partition(1, 0).await, cluster.partition(4, 0).await];
    [key(collection, &first, ""), key(collection, &second, "")]
}

pub(crate) async fn gateway_that_dies_with_a_request_leaves_it_to_be_settled_elsewhere(
    cluster: &Cluster,
) {
    let points: [(&str, &'static [u8]); 3] = [
        ("server::seal", b"nobody has the seal"),
        ("server::seal_sent", b"the seal is on its way"),
        ("server::sealed", b"the outcome is known"),
    ];
    for (point, id) in points {
        cluster.wait_agreed().await;
        let names = names(cluster, &point.replace("::", "-")).await;
        let gateway = (cluster.leader_by_rights(1).await + 1) % NODES;
        let request = request(&names, id);
        cluster.arm(gateway, &format!("{point}=abort")).await;
        let lost = wire::transactions(cluster.channel(gateway)).submit(request.clone()).await;
        assert!(lost.is_err(), "{point}: its gateway died");
        cluster.death(gateway).await;
        let mut seen = Vec::new();
        for at in (0..NODES).filter(|at| *at != gateway) {
            let answer = submitted(cluster, at, &request).await;
            let replayed = answer.replayed;
            assert!(replayed || (seen.is_empty() && point != "server::sealed"), "{point}");
            seen.push((answer.transaction_id.clone(), committed(&answer)));
        }
        cluster.restart(gateway);
        cluster.wait_ready().await;
        let answer = submitted(cluster, gateway, &request).await;
        seen.push((answer.transaction_id.clone(), committed(&answer)));
        assert!(seen.iter().all(|one| *one == seen[0]), "{point}: {seen:?}");
        assert_eq!(both(&cluster.client(), &names.each_ref().map(core_key)).await, [Some(1); 2]);
    }
    cluster.wait_agreed().await;
}

/// The request's outcome through a node, however long the others need to elect.
async fn submitted(cluster: &Cluster, at: usize, request: &v1::SubmitRequest) -> v1::Outcome {
    let answer = until("the request is answered", SOON, || {
        let (mut service, request) = (wire::transactions(cluster.channel(at)), request.clone());
        async move { service.submit(request).await.ok() }
    });
    answer.await.into_inner().outcome.expect("an answer holds an outcome")
}

pub(crate) async fn request_repeated_while_the_first_attempt_is_in_doubt_is_applied_once(
    cluster: &Cluster,
) {
    cluster.wait_agreed().await;
    let names = names(cluster, "in-doubt").await;
    let driver = cluster.leader_by_rights(1).await;
    let request = request(&names, b"repeated while in doubt");
    // Long enough that who is blocked by the votes recovers.
    cluster.arm(driver, "server::voted=1*sleep(1500)").await;
    let mut service = wire::transactions(cluster.channel((driver + 1) % NODES));
    let sent = request.clone();
    let first = tokio::spawn(async move { service.submit(sent).await });
    let client = cluster.client();
    until("its votes are undecided", SOON, || async {
        let seen = client.cluster(false).await.ok()?;
        let mut replicas = seen.groups.iter().flat_map(|group| &group.replicas);
        replicas.any(|replica| replica.undecided > 0).then_some(())
    })
    .await;
    let again = submitted(cluster, (driver + 2) % NODES, &request).await;
    assert!(again.replayed, "{again:?}");
    let first = first.await.unwrap().unwrap().into_inner().outcome.unwrap();
    assert_eq!(first.transaction_id, again.transaction_id);
    assert_eq!(committed(&first), committed(&again));
    let found = client.get(&core_key(&names[1])).await.unwrap();
    assert_eq!(number(found.as_ref()), 1);
    cluster.wait_agreed().await;
}

/// Its leader dies with the vote applied, and says nothing of it. A gateway that lives asks again,
/// and must be told of the first time; otherwise the client asks.
pub(crate) async fn vote_of_one_group_in_doubt_is_answered_by_its_recorded_outcome(
    cluster: &Cluster,
) {
    const GROUP: u32 = 1;
    let leader = cluster.leader_by_rights(GROUP).await;
    let others: Vec<usize> = (0..NODES).filter(|at| *at != leader).collect();
    let armed = "server::voted=abort";
    for gateway in [leader, others[0]] {
        cluster.leader_by_rights(GROUP).await;
        let name = key("doubtful", &cluster.partition(GROUP, 0).await, &gateway.to_string());
        let mut stream = Stream::begin(cluster.channel(gateway)).await;
        stream.write(add(&name, 1)).await;
        let tid = Tid::from_bytes(&stream.id().await).expect("an id of 20 bytes");
        stream.acknowledged().await;
        cluster.arm(leader, armed).await;
        stream.seal().await;
        match stream.outcome().await {
            Ok(outcome) if gateway != leader => assert!(committed(&outcome) > 0),
            heard => assert!(heard.is_err() && gateway == leader, "{heard:?}"),
        }
        cluster.death(leader).await;
        let applied_once = async |at: usize| {
            let client = cluster.client_of(at);
            let outcome = client.outcome(OutcomeOf::Transaction(tid)).await.unwrap();
            assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
            let found = client.get(&core_key(&name)).await.unwrap();
            assert_eq!(number(found.as_ref()), 1);
        };
        for at in &others {
            applied_once(*at).await;
        }
        cluster.restart(leader);
        cluster.wait_ready().await;
        applied_once(leader).await;
        cluster.wait_agreed().await;
    }
}

pub(crate) async fn leader_that_dies_around_fsync_flush_or_apply_loses_nothing(cluster: &Cluster) {
    let load = Load::start(cluster, "points", "points-names", CLIENTS).await;
    let armed = [
        "log::sync@2=9*off->abort",
        "log::synced@2=9*off->abort",
        "store::flush_commit=abort",
        "store::flush_committed=abort",
        "server::apply@2=9*off->abort",
        "server::applied@2=9*off->abort",
    ];
    for armed in armed {
        load.progress(cluster, 10).await;
        let victim = cluster.leader(2).await;
        cluster.arm(victim, armed).await;
        cluster.death(victim).await;
        load.progress(cluster, 10).await;
        cluster.restart(victim);
        cluster.wait_ready().await;
    }
    load.check(cluster).await;
    cluster.wait_agreed().await;
}

/// The leader hears nothing of what it had sent, and has its majority without it.
pub(crate) async fn follower_that_dies_around_append_fsync_flush_or_apply_loses_nothing(
    cluster: &Cluster,
) {
    let load = Load::start(cluster, "followed", "followed-names", CLIENTS).await;
    let armed = [
        // Of whichever of its groups: it leads others.
        "consensus::append_durable=9*off->abort",
        "log::sync@2=9*off->abort",
        "log::synced@2=9*off->abort",
        "server::apply@2=9*off->abort",
        "server::applied@2=9*off->abort",
        "store::flush_commit=abort",
        "store::flush_committed=abort",
    ];
    for armed in armed {
        load.progress(cluster, 10).await;
        let leader = cluster.leader_by_rights(2).await;
        let victim = (leader + 1) % NODES;
        cluster.arm(victim, armed).await;
        let died = cluster.dies_within(victim, SOON).await;
        assert!(died, "node {} lives in spite of {armed}", victim + 1);
        load.progress(cluster, 10).await;
        assert_eq!(cluster.leader(2).await, leader, "{armed}: its leader did not die");
        cluster.restart(victim);
        cluster.wait_ready().await;
    }
    load.check(cluster).await;
    cluster.wait_agreed().await;
}

/// Whoever has no reason to come by once the others are gone is killed.
pub(crate) async fn all_nodes_that_die_at_one_failpoint_lose_nothing(cluster: &Cluster) {
    let load = Load::start(cluster, "perished", "perished-names", CLIENTS).await;
    for point in ["log::sync@2", "log::synced@2", "server::apply@2", "store::flush_commit"] {
        load.progress(cluster, 10).await;
        let armed = format!("{point}=abort");
        // Nobody waits until it is in force: by then the node may be dead.
        (0..NODES).for_each(|at| cluster.arm_next_start(at, &armed));
        let mut died = 0;
        for at in 0..NODES {
            let by_itself = cluster.dies_within(at, DEATH_MAX).await;
            died += usize::from(by_itself);
            if !by_itself {
                cluster.kill(at);
            }
        }
        println!("  {point}: {died} nodes died there");
        assert!(died >= 2, "{point}: {died} died there");
        for at in 0..NODES {
            // It may have died before it took away what armed it.
            cluster.arm_next_start(at, &format!("{point}=off"));
            cluster.restart(at);
        }
        cluster.wait_ready().await;
        for at in 0..NODES {
            cluster.disarm(at, &armed).await;
        }
    }
    load.progress(cluster, 10).await;
    load.check(cluster).await;
    cluster.wait_agreed().await;
}

pub(crate) async fn replica_that_dies_while_it_installs_a_snapshot_completes_it(cluster: &Cluster) {
    const VICTIM: usize = 1;
    let load = Load::start(cluster, "installs", "installs-names", CLIENTS).await;
    load.progress(cluster, 10).await;
    cluster.kill(VICTIM);
    // Each commit is two entries in one group, or in two.
    for _ in 0..6 {
        load.progress(cluster, SNAPSHOT_EVERY_ENTRIES).await;
    }
    let received = "consensus::snapshot_install";
    for point in [received, "store::fill_commit", "store::flip_commit", "store::flip_committed"] {
        cluster.arm_next_start(VICTIM, &format!("{point}=abort"));
        cluster.restart(VICTIM);
        cluster.death(VICTIM).await;
    }
    cluster.restart(VICTIM);
    cluster.wait_ready().await;
    load.progress(cluster, 10).await;
    load.check(cluster).await;
    cluster.wait_agreed().await;
}
