//! A cluster of real processes on free ports of the loopback, in a throwaway directory.
//!
//! Three nodes, three replicas a group. Limits that clients meet are small, so that tests reach
//! them quickly, and so is what a log takes of the disk and what is kept free there, so that tests
//! run where little is left; all else is as in production, unless a test says otherwise.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Endpoint};
use vatic_client::{Client, ClientError, Group, Limits, Options, Replica, Routing};
use vatic_proto::v1;

use crate::distance::relays;
use crate::http;
use crate::meddle::{Meddling, meddlers};
use crate::node::Node;
use crate::values;
use crate::wait::{SOON, until, within};
use crate::wire;

/// Nodes, which are also the replicas of each group.
pub const NODES: usize = 3;
/// Data groups.
pub const GROUPS: u32 = 4;
/// Partitions that a test can ask for in each group.
const PARTITIONS_PER_GROUP: usize = 4;

/// The node, from 1, that logs every transaction, as JSON, and writes down all that it applies.
pub const TRACED: u32 = NODES as u32;

/// A stream that sends nothing for so long is rolled back.
pub const STREAM_IDLE_MS: u64 = 5_000;
/// Largest delta.
pub const DELTA_BYTES_MAX: u64 = 64 << 10;
/// What a running transaction keeps at its gateway for one group.
pub const STAGE_CHUNK_BYTES: u64 = 256 << 10;
/// Largest message.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Most keys of one ReadSet.
pub const READ_SET_KEYS_MAX: u64 = 8;
/// Most records of one scan.
pub const SCAN_RECORDS_MAX: u64 = 40;
/// Records in one chunk.
pub const SCAN_CHUNK_RECORDS: u64 = 16;
/// Transactions that take longer are logged.
pub const SLOW_TRANSACTION_MS: u64 = 400;
/// Share of a core that learning from streams may take.
pub const LEARN_SHARE_PERCENT: u64 = 60;
/// Tickets that wait in one group before more are refused.
pub const TICKETS_MAX: u64 = 64;
/// Snapshots this old can be read.
pub const SNAPSHOT_RETENTION_MS: u64 = 20_000;

/// A node that lacks more than twice as many entries of a group needs a snapshot.
pub const SNAPSHOT_EVERY_ENTRIES: u64 = 100;

/// A number of the configuration file: its table, its key, its value.
pub type Setting = (&'static str, &'static str, u64);

const SETTINGS: [Setting; 20] = [
    ("limits", "stream_idle_ms", STREAM_IDLE_MS),
    ("limits", "delta_bytes_max", DELTA_BYTES_MAX),
    ("limits", "stage_chunk_bytes", STAGE_CHUNK_BYTES),
    ("limits", "message_bytes_max", MESSAGE_BYTES_MAX),
    ("limits", "read_set_keys_max", READ_SET_KEYS_MAX),
    ("limits", "scan_records_max", SCAN_RECORDS_MAX),
    ("limits", "scan_chunk_records", SCAN_CHUNK_RECORDS),
    ("limits", "snapshot_retention_ms", SNAPSHOT_RETENTION_MS),
    ("limits", "slow_transaction_ms", SLOW_TRANSACTION_MS),
    ("limits", "learn_share_percent", LEARN_SHARE_PERCENT),
    ("limits", "tickets_max", TICKETS_MAX),
    ("limits", "slow_log_per_s_max", 1_000),
    ("consensus_limits", "snapshot_every_entries", SNAPSHOT_EVERY_ENTRIES),
    ("consensus_limits", "entries_kept_behind_snapshot", SNAPSHOT_EVERY_ENTRIES),
    ("consensus_limits", "command_bytes_max", 4 << 20),
    ("log_limits", "segment_bytes", 16 << 20),
    ("log_limits", "entry_bytes_max", 6 << 20),
    ("log_limits", "segments_target", 4),
    ("log_limits", "spares_max", 1),
    ("store_limits", "disk_reserve_bytes", 16 << 20),
];

/// Checkpoints and collections go on for a while after the last write.
const AGREED_WITHIN: Duration = Duration::from_secs(90);

/// A running cluster; dropped, it is gone.
#[derive(Debug)]
pub struct Cluster {
    nodes: Mutex<Vec<Node>>,
    endpoints: Vec<String>,
    peers: Vec<String>,
    admins: Vec<String>,
    partitions: OnceCell<BTreeMap<u32, Vec<String>>>,
    // Last: the processes go before their files.
    dir: TempDir,
}

/// What stands between nodes.
enum Between<'m> {
    Nothing,
    Delay(Duration),
    Meddlers(&'m Arc<Meddling>),
}

impl Cluster {
    /// Starts all nodes and waits until each is ready. One of them logs every transaction.
    pub async fn start() -> Cluster {
        let level = |number| match number {
            TRACED => "info,vatic::transaction=debug",
            _ => "info",
        };
        Cluster::launch(&[], level, Between::Nothing).await
    }

    /// The same with settings of its own, of which the last of a key counts, and a level at which
    /// all nodes log.
    pub async fn start_with(settings: &[Setting], log_level: &str) -> Cluster {
        Cluster::launch(settings, |_| log_level, Between::Nothing).await
    }

    /// The same where what a node sends another one arrives so much later.
    pub async fn start_apart(delay: Duration) -> Cluster {
        Cluster::launch(&[], |_| "info", Between::Delay(delay)).await
    }

    /// The same where messages between nodes are meddled with.
    pub async fn start_meddled(meddling: &Arc<Meddling>) -> Cluster {
        Cluster::launch(&[], |_| "info", Between::Meddlers(meddling)).await
    }

    async fn launch<'l>(
        settings: &[Setting],
        log_level: impl Fn(u32) -> &'l str,
        between: Between<'_>,
    ) -> Cluster {
        let dir = tempfile::tempdir().expect("there is a place for temporary files");
        let addresses = free_addresses(3 * NODES);
        let (clients, others) = addresses.split_at(NODES);
        let (peers, admins) = others.split_at(NODES);
        let members = match between {
            Between::Nothing => Ok(peers.to_vec()),
            Between::Delay(delay) => relays(peers, delay).await,
            Between::Meddlers(meddling) => meddlers(peers, meddling).await,
        };
        let members = members.expect("there are ports for those between");
        let mut nodes = Vec::new();
        for (number, (client, admin)) in (1..).zip(clients.iter().zip(admins)) {
            let peer = &peers[number as usize - 1];
            let config =
                config(number, [client, peer, admin], &members, dir.path()) + &tables(settings);
            let mut node = Node::new(number, format!("http://{client}"), dir.path(), &config);
            node.set_log_level(log_level(number));
            node.start();
            nodes.push(node);
        }
        let endpoints = nodes.iter().map(|node| node.endpoint.clone()).collect();
        let (nodes, partitions) = (Mutex::new(nodes), OnceCell::new());
        let (peers, admins) = (peers.to_vec(), admins.to_vec());
        let cluster = Cluster { nodes, endpoints, peers, admins, partitions, dir };
        cluster.wait_ready().await;
        cluster
    }

    /// Where clients connect, by node from 0.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// What a node answers on its admin port: the status and the text.
    pub async fn admin(&self, at: usize, path: &str) -> std::io::Result<(u16, String)> {
        http::ask(&self.admins[at], path).await
    }

    /// Where a node listens for the others.
    pub fn peer_address(&self, at: usize) -> &str {
        &self.peers[at]
    }

    /// Arms failpoints of a running node; it may die from here on.
    pub async fn arm(&self, at: usize, failpoints: &str) {
        self.arm_next_start(at, failpoints);
        until("failpoints are armed", SOON, || async {
            self.nodes.lock().expect("no holder panics")[at].armed().then_some(())
        })
        .await;
    }

    /// Takes back a failpoint of a node, which is started again if it died of it.
    pub async fn disarm(&self, at: usize, failpoint: &str) {
        let died = self.nodes.lock().expect("no holder panics")[at].died();
        if died {
            self.restart(at);
            self.wait_ready().await;
            return;
        }
        let (point, _) = failpoint.split_once('=').expect("a point and what it does");
        self.arm(at, &format!("{point}=off")).await;
        self.nodes.lock().expect("no holder panics")[at].spare();
    }

    /// Arms failpoints of a node that does not run, from its start on.
    pub fn arm_next_start(&self, at: usize, failpoints: &str) {
        self.nodes.lock().expect("no holder panics")[at].arm(failpoints);
    }

    /// Waits until a node has died of a failpoint.
    pub async fn death(&self, at: usize) {
        assert!(
            self.dies_within(at, SOON).await,
            "node {} lives in spite of its failpoint",
            at + 1
        );
    }

    /// Whether a node dies of a failpoint within so long: it may not have been the one to meet it.
    pub async fn dies_within(&self, at: usize, time: Duration) -> bool {
        let died = within(time, || async {
            self.assert_alive();
            self.nodes.lock().expect("no holder panics")[at].died().then_some(())
        });
        died.await.is_some()
    }

    /// Lines of a node's log that hold the text.
    pub fn logged(&self, at: usize, text: &str) -> Vec<String> {
        self.nodes.lock().expect("no holder panics")[at].logged(text)
    }

    /// Where a node keeps its data.
    pub fn data_dir(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("node-{}", at + 1))
    }

    /// Where a node writes down what it applies, if it does.
    pub fn diaries(&self, at: usize) -> PathBuf {
        diaries(self.dir.path(), at as u32 + 1)
    }

    /// A client of all nodes.
    pub fn client(&self) -> Client {
        Client::lazy(&self.endpoints, Options::default()).expect("the endpoints are sound")
    }

    /// A client that asks one node alone, whoever leads.
    pub fn client_of(&self, at: usize) -> Client {
        let options = Options { routing: Routing::InOrder, ..Options::default() };
        Client::lazy(&self.endpoints[at..=at], options).expect("the endpoint is sound")
    }

    /// A raw connection to one node.
    pub fn channel(&self, at: usize) -> Channel {
        Endpoint::new(self.endpoints[at].clone()).expect("the endpoint is sound").connect_lazy()
    }

    /// Kills a node (SIGKILL), by its place from 0.
    pub fn kill(&self, at: usize) {
        self.nodes.lock().expect("no holder panics")[at].kill();
    }

    /// Stops a node in its tracks (SIGSTOP).
    pub fn pause(&self, at: usize) {
        self.nodes.lock().expect("no holder panics")[at].pause();
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self, at: usize) {
        self.nodes.lock().expect("no holder panics")[at].resume();
    }

    /// Asks a node to stop in order.
    pub fn ask_to_stop(&self, at: usize) {
        self.nodes.lock().expect("no holder panics")[at].ask_to_stop();
    }

    /// Whether a node that was asked to stop has.
    pub fn stopped(&self, at: usize) -> bool {
        self.nodes.lock().expect("no holder panics")[at].stopped()
    }

    /// Starts a killed node on what it has on its disk.
    pub fn restart(&self, at: usize) {
        self.nodes.lock().expect("no holder panics")[at].start();
    }

    /// Starts a node again that ended by itself, as whoever supervises it would.
    pub fn revive(&self, at: usize) {
        let node = &mut self.nodes.lock().expect("no holder panics")[at];
        if node.ended().is_some() {
            node.kill();
            node.start();
        }
    }

    /// Waits until every node sees a leader of every group and takes transactions.
    pub async fn wait_ready(&self) {
        for at in 0..NODES {
            let probe = self.probe(at);
            until("a node becomes ready", SOON, || async {
                self.assert_alive();
                probe.cluster_locally().await.ok().filter(|seen| seen.ready)
            })
            .await;
        }
    }

    /// Panics, with the end of its log, where a node ended though nobody killed it.
    pub fn assert_alive(&self) {
        let casualties = self.casualties();
        assert!(casualties.is_none(), "{}", casualties.unwrap_or_default());
    }

    /// The nodes that ended though nobody killed them, each with the end of its log.
    pub fn casualties(&self) -> Option<String> {
        let mut nodes = self.nodes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let casualties: Vec<String> = nodes.iter_mut().filter_map(Node::ended).collect();
        (!casualties.is_empty()).then(|| casualties.join("\n"))
    }

    /// The node that leads a group, by its place from 0.
    pub async fn leader(&self, group: u32) -> usize {
        let client = self.client();
        let leader = until("a group has a leader", SOON, || async {
            let seen = client.cluster(false).await.ok()?;
            seen.groups.iter().find(|found| found.group == group)?.leader
        });
        leader.await as usize - 1
    }

    /// The node that leads a group by rights, once it does: nobody takes the leadership from it.
    pub async fn leader_by_rights(&self, group: u32) -> usize {
        let node = group as usize % NODES;
        until("the group is led where it belongs", SOON, || async {
            (self.leader(group).await == node).then_some(())
        })
        .await;
        node
    }

    /// A partition of a data group, from 1; `nth` tells several of one group apart.
    pub async fn partition(&self, group: u32, nth: usize) -> String {
        let found = self.partitions.get_or_init(|| self.find_partitions()).await;
        found[&group][nth].clone()
    }

    /// Waits until all replicas of all groups stand at one index with one chain and one state, and
    /// nothing is undecided. Panics at once where two replicas contradict each other.
    pub async fn wait_agreed(&self) {
        let (client, last) = (self.client(), Mutex::new(String::new()));
        let agreed = within(AGREED_WITHIN, || async {
            // Reading whole states keeps nodes from coming to rest, so that comes last.
            for with_state_digest in [false, true] {
                self.assert_alive();
                let seen = client.cluster(with_state_digest).await;
                if let Err(error) = disagreement(seen, with_state_digest) {
                    *last.lock().expect("no holder panics") = error;
                    return None;
                }
            }
            Some(())
        });
        let agreed = agreed.await.is_some();
        let last = last.into_inner().expect("no holder panics");
        assert!(agreed, "not all agree within {AGREED_WITHIN:?}: {last}");
    }

    async fn find_partitions(&self) -> BTreeMap<u32, Vec<String>> {
        let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for number in 0..1_000 {
            let partition = format!("p{number}");
            let request =
                v1::GetRequest { key: Some(values::key("probe", &partition, "")), at: None };
            // Where messages between nodes are lost, some read is not answered in time.
            let answer = until("a read is answered", SOON, || async {
                wire::records(self.channel(0)).get(request.clone()).await.ok()
            });
            let route = answer.await.into_inner().route;
            found
                .entry(route.expect("the answer names its group").group)
                .or_default()
                .push(partition);
            let full = |group: u32| found.get(&group).map_or(0, Vec::len) >= PARTITIONS_PER_GROUP;
            if (1..=GROUPS).all(full) {
                return found;
            }
        }
        panic!("the ring gives a group nothing: {found:?}");
    }

    fn probe(&self, at: usize) -> Client {
        let limits = Limits {
            call_ms: 1_000,
            operation_ms: 1_000,
            attempts_max: 1,
            endpoint_cooldown_ms: 0,
            ..Limits::production()
        };
        let options = Options { limits, ..Options::default() };
        Client::lazy(&self.endpoints[at..=at], options).expect("the endpoint is sound")
    }
}

/// Why it cannot be said that all replicas agree. Panics where two contradict each other.
fn disagreement(
    seen: Result<vatic_client::Cluster, ClientError>,
    with_state_digest: bool,
) -> Result<(), String> {
    let groups = seen.map_err(|error| error.to_string())?.groups;
    let diverged: Vec<_> = groups.iter().filter(|group| group.diverges()).collect();
    assert!(diverged.is_empty(), "replicas contradict each other: {diverged:#?}");
    let settled = |replica: &Replica| {
        replica.undecided == 0 && (replica.state_digest.is_some() || !with_state_digest)
    };
    let agrees = |group: &&Group| group.agrees() && group.replicas.iter().all(settled);
    let open: Vec<_> = groups.iter().filter(|group| !agrees(group)).collect();
    match open.is_empty() && groups.len() == GROUPS as usize + 1 {
        true => Ok(()),
        false => Err(format!("of {} groups these differ: {open:#?}", groups.len())),
    }
}

fn config(
    number: u32,
    [client, peer, admin]: [&str; 3],
    members: &[String],
    dir: &std::path::Path,
) -> String {
    let home = dir.join(format!("node-{number}"));
    let members =
        (1..).zip(members).map(|(node, at)| format!("{{node = {node}, peer = \"{at}\"}}"));
    let members = members.collect::<Vec<_>>().join(", ");
    let traced = match number {
        TRACED => format!("log_format = \"json\"\nrecord_events = {:?}\n", diaries(dir, number)),
        _ => "log_format = \"text\"\n".to_owned(),
    };
    format!(
        "cluster = \"tests\"\nnode = {number}\ndata_dir = {home:?}\nclient_listen = \"{client}\"\n\
         peer_listen = \"{peer}\"\nadmin_listen = \"{admin}\"\n\
         {traced}\
         groups = {GROUPS}\nreplicas = {NODES}\nmembers = [{members}]\n"
    )
}

fn diaries(dir: &std::path::Path, number: u32) -> PathBuf {
    dir.join(format!("node-{number}.diaries"))
}

/// The tables of the configuration, with a test's own settings over the usual ones.
fn tables(settings: &[Setting]) -> String {
    let mut tables: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for (table, key, value) in SETTINGS.iter().chain(settings) {
        tables.entry(table).or_default().insert(key, *value);
    }
    let line = |(key, value): (&&str, &u64)| format!("{key} = {value}\n");
    let table = |(name, keys): (&&str, &BTreeMap<&str, u64>)| {
        format!("\n[{name}]\n{}", keys.iter().map(line).collect::<String>())
    };
    tables.iter().map(table).collect()
}

/// Where ports of nodes lie: below those that systems give to outgoing connections, which would
/// take one while its node is down.
const PORTS: Range<u16> = 10_000..32_000;

/// Free now; another process could take one before the node does, which then ends and says so.
pub fn free_addresses(count: usize) -> Vec<String> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let next = || {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        let at = process::id().wrapping_mul(997).wrapping_add(taken);
        PORTS.start + (at % PORTS.len() as u32) as u16
    };
    let bound = || TcpListener::bind((Ipv4Addr::LOCALHOST, next())).ok();
    // All are held at once, so that they differ.
    let held = std::iter::repeat_with(bound).take(PORTS.len()).flatten().take(count);
    let held: Vec<TcpListener> = held.collect();
    assert_eq!(held.len(), count, "not so many ports are free");
    held.iter().map(|held| held.local_addr().expect("it is bound").to_string()).collect()
}
