//! A cluster in one process for the tests: real sockets, real files, and a switch that cuts links.
//!
//! Why real: what these tests are about (reconnects, fsync before acknowledgement, catching up)
//! lies between the pieces, where a fake would be the thing that is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::net::TcpListener;
use vatic_core::state::{Read, State};
use vatic_log::{FileDisk, Log};
use vatic_store::{Store, View, Writer};

use crate::fatal::Fatal;
use crate::limits::Limits;
use crate::machine::Machine;
use crate::node::{Config, Member, Node};
use crate::{DropHook, GroupHandle, ProposeError};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `probe` gives something.
pub(crate) async fn eventually<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `key=value` sets a key and answers with what was there; `panic` panics.
#[derive(Default)]
pub(crate) struct KvMachine {
    /// Keys, counted beside the state: must be right after each restore.
    keys: usize,
    restores: Arc<AtomicU64>,
}

impl Machine for KvMachine {
    fn apply(&mut self, state: &mut Writer, _index: u64, commands: &[Bytes]) -> Vec<Bytes> {
        commands.iter().map(|command| self.apply_one(state, command)).collect()
    }

    fn restored(&mut self, state: &View) {
        self.keys = 0;
        state.scan_all(&mut |_, _| {
            self.keys += 1;
            true
        });
        self.restores.fetch_add(1, Ordering::Relaxed);
    }
}

impl KvMachine {
    fn apply_one(&mut self, state: &mut Writer, command: &[u8]) -> Bytes {
        assert_ne!(command, b"panic", "on purpose");
        let at = command.iter().position(|byte| *byte == b'=').expect("key=value");
        let (key, value) = (&command[..at], &command[at + 1..]);
        let before = state.get(key);
        self.keys += usize::from(before.is_none());
        state.put(key.to_vec(), value.to_vec());
        before.unwrap_or_default().into()
    }
}

/// Which directed links are cut, and how many messages that cost each sender.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<Mutex<LinkState>>);

#[derive(Default)]
struct LinkState {
    cut: BTreeSet<(u32, u32)>,
    lost: BTreeMap<u32, u64>,
    trap: Option<(u32, Trap)>,
}

/// Cuts a node off at the first message for which it holds.
type Trap = Box<dyn Fn() -> bool + Send>;

impl Links {
    pub(crate) fn isolate(&self, node: u32, others: &[u32]) {
        let mut state = self.0.lock().unwrap();
        for other in others.iter().filter(|other| **other != node) {
            state.cut.extend([(node, *other), (*other, node)]);
        }
    }

    /// Cuts `node` off, in both directions, as soon as `when` holds; asked at every message.
    pub(crate) fn trap(&self, node: u32, when: impl Fn() -> bool + Send + 'static) {
        self.0.lock().unwrap().trap = Some((node, Box::new(when)));
    }

    pub(crate) fn is_cut_off(&self, node: u32) -> bool {
        self.0.lock().unwrap().cut.iter().any(|(from, _)| *from == node)
    }

    pub(crate) fn heal(&self) {
        *self.0.lock().unwrap() = LinkState::default();
    }

    /// Messages from `node` that were lost since the last heal.
    pub(crate) fn lost_from(&self, node: u32) -> u64 {
        self.0.lock().unwrap().lost.get(&node).copied().unwrap_or(0)
    }

    fn hook(&self) -> DropHook {
        let links = self.clone();
        Arc::new(move |from, to| {
            let mut state = links.0.lock().unwrap();
            if let Some((node, _)) = state.trap.take_if(|(_, when)| when()) {
                let others = (1..=9).filter(|other| *other != node);
                let pairs = others.flat_map(|other| [(node, other), (other, node)]);
                state.cut.extend(pairs);
            }
            let cut = state.cut.contains(&(from, to));
            *state.lost.entry(from).or_default() += u64::from(cut);
            cut
        })
    }
}

pub(crate) struct Cluster {
    pub(crate) links: Links,
    pub(crate) groups: Vec<u32>,
    pub(crate) limits: Limits,
    /// Nodes of which it is known at their next start that the groups' states are damaged.
    pub(crate) damaged: BTreeSet<u32>,
    /// The group handles of the nodes that run.
    pub(crate) handles: Handles,
    seats: Vec<Seat>,
}

pub(crate) type Handles = Arc<Mutex<BTreeMap<(u32, u32), GroupHandle>>>;

/// A node's place: its files and address outlive the node.
struct Seat {
    running: Option<Running>,
    address: SocketAddr,
    disk: Disk,
}

/// A folder that a node's files are in.
pub(crate) struct Disk {
    pub(crate) path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Disk {
    pub(crate) fn empty() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self { path: temporary.path().to_owned(), _temporary: Some(temporary) }
    }

    /// One that outlives this.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, _temporary: None }
    }
}

struct Running {
    node: Node,
    restores: Arc<AtomicU64>,
    alarms: Alarms,
}

pub(crate) fn test_limits() -> Limits {
    // Machines that run tests are busy: an election must not be the noise of a build beside it.
    Limits {
        heartbeat_ms: 80,
        heartbeat_min_ms: 30,
        election_min_ms: 500,
        election_max_ms: 900,
        transfer_deadline_ms: 5_000,
        ..Limits::simulation()
    }
}

impl Cluster {
    pub(crate) async fn start(nodes: usize, groups: &[u32]) -> Self {
        Self::start_with(nodes, groups, test_limits()).await
    }

    pub(crate) async fn start_with(nodes: usize, groups: &[u32], limits: Limits) -> Self {
        // Silent unless `RUST_LOG` asks; a second test finds it set up.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let mut listeners = Vec::new();
        let mut seats = Vec::new();
        for _ in 0..nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            seats.push(Seat { running: None, address, disk: Disk::empty() });
            listeners.push(listener);
        }
        let groups = groups.to_vec();
        let (links, handles) = (Links::default(), Handles::default());
        let damaged = BTreeSet::new();
        let mut cluster = Self { links, groups, limits, damaged, handles, seats };
        for (at, listener) in listeners.into_iter().enumerate() {
            cluster.launch(at as u32 + 1, listener).await;
        }
        cluster
    }

    /// One node of a cluster whose others are elsewhere.
    pub(crate) async fn alone(node: u32, addresses: &[SocketAddr], disk: Disk) -> Self {
        let seat = |address: &SocketAddr| Seat {
            running: None,
            address: *address,
            disk: Disk::at(PathBuf::new()),
        };
        let mut cluster = Self {
            links: Links::default(),
            groups: vec![1],
            limits: test_limits(),
            damaged: BTreeSet::new(),
            handles: Handles::default(),
            seats: addresses.iter().map(seat).collect(),
        };
        cluster.change_disk(node, disk);
        cluster.restart(node).await;
        cluster
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.seats.iter().map(|seat| seat.address).collect()
    }

    pub(crate) fn nodes(&self) -> Vec<u32> {
        (1..=self.seats.len() as u32).collect()
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let seats = self.seats.iter().zip(1..);
        seats
            .map(|(seat, node)| Member { node, generation: 1, address: seat.address.to_string() })
            .collect()
    }

    async fn launch(&mut self, node: u32, listener: TcpListener) {
        let dir = self.seats[node as usize - 1].disk.path.clone();
        let alarms = Alarms::default();
        let (log, store) = open_files(dir, &alarms).await;
        let config = Config {
            cluster: "test".into(),
            node,
            limits: self.limits.clone(),
            fatal: alarms.fatal(),
            routes: tonic::service::Routes::default(),
        };
        let started = Node::start_lossy(config, listener, log, store, self.links.hook());
        let started = started.await.unwrap();
        let restores = Arc::new(AtomicU64::new(0));
        for group in &self.groups {
            let machine = KvMachine { keys: 0, restores: restores.clone() };
            let handle = match self.damaged.contains(&node) {
                true => started.create_damaged(*group, 1, &self.members()).await,
                false => started.create_group(*group, 1, &self.members(), machine).await,
            };
            self.handles.lock().unwrap().insert((node, *group), handle.unwrap());
        }
        let running = Running { node: started, restores, alarms };
        self.seats[node as usize - 1].running = Some(running);
    }

    /// Ends the node as a crash would, as far as one process can.
    pub(crate) async fn kill(&mut self, node: u32) {
        self.handles.lock().unwrap().retain(|(of, _), _| *of != node);
        let running = self.seats[node as usize - 1].running.take().expect("it runs");
        running.node.stop().await;
    }

    /// Gives a node that does not run another disk, and returns the one it had.
    pub(crate) fn change_disk(&mut self, node: u32, disk: Disk) -> Disk {
        let seat = &mut self.seats[node as usize - 1];
        assert!(seat.running.is_none(), "the node runs");
        std::mem::replace(&mut seat.disk, disk)
    }

    /// A machine whose restores are counted with the node's others.
    pub(crate) fn machine(&self, node: u32) -> KvMachine {
        KvMachine { keys: 0, restores: self.running(node).restores.clone() }
    }

    pub(crate) fn disk(&self, node: u32) -> &Path {
        &self.seats[node as usize - 1].disk.path
    }

    /// Which generations of the group the node's log and store hold.
    pub(crate) fn on_disk(&self, node: u32, group: u32) -> BTreeSet<u32> {
        let shared = &self.node(node).shared;
        let log = shared.log.replicas().into_iter().map(|id| (id.group, id.generation));
        let store = shared.store.replicas().into_iter().map(|id| (id.group, id.generation));
        let held = log.chain(store).filter(|(of, generation)| {
            *of == group && *generation != crate::notes::NOTES_GENERATION
        });
        held.map(|(_, generation)| generation).collect()
    }

    pub(crate) async fn restart(&mut self, node: u32) {
        let address = self.seats[node as usize - 1].address;
        let listener = eventually("the address is free again", || async {
            TcpListener::bind(address).await.ok()
        });
        let listener = listener.await;
        self.launch(node, listener).await;
    }

    pub(crate) fn node(&self, node: u32) -> &Node {
        &self.running(node).node
    }

    /// How often the machines of the node were shown a new state.
    pub(crate) fn restores(&self, node: u32) -> u64 {
        self.running(node).restores.load(Ordering::Relaxed)
    }

    pub(crate) fn alarms(&self, node: u32) -> Vec<String> {
        self.running(node).alarms.heard()
    }

    fn running(&self, node: u32) -> &Running {
        self.seats[node as usize - 1].running.as_ref().expect("the node runs")
    }

    pub(crate) fn alive(&self) -> Vec<u32> {
        let alive = |node: &u32| self.seats[*node as usize - 1].running.is_some();
        self.nodes().into_iter().filter(alive).collect()
    }

    pub(crate) async fn group(&self, node: u32, group: u32) -> GroupHandle {
        self.node(node).group(group).await.expect("the group is open")
    }

    /// Who leads, if one of `nodes` does.
    pub(crate) fn leader_of(&self, group: u32, nodes: &[u32]) -> Option<GroupHandle> {
        let handles = self.handles.lock().unwrap();
        let mut own = nodes.iter().filter_map(|node| handles.get(&(*node, group)));
        own.find(|handle| handle.is_leader()).cloned()
    }

    /// A leader of the group that takes proposals, among `nodes`.
    pub(crate) async fn leader_among(&self, group: u32, nodes: &[u32]) -> GroupHandle {
        eventually("a leader that a quorum confirms", || async {
            for node in nodes {
                let handle = self.group(*node, group).await;
                if handle.is_leader() && handle.read_index().await.is_ok() {
                    return Some(handle);
                }
            }
            None
        })
        .await
    }

    pub(crate) async fn leader(&self, group: u32) -> GroupHandle {
        self.leader_among(group, &self.alive()).await
    }

    /// Proposes at the leader until it is acknowledged; commands here may be applied twice.
    pub(crate) async fn put(&self, group: u32, command: &str) -> Bytes {
        eventually("the command is acknowledged", || async {
            let leader = self.leader(group).await;
            let proposed = leader.propose(Bytes::copy_from_slice(command.as_bytes()));
            match tokio::time::timeout(PATIENCE, proposed).await.expect("an answer") {
                Ok(applied) => Some(applied.reply),
                Err(ProposeError::NotLeader { .. } | ProposeError::Unknown) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await
    }

    /// Waits until all living replicas of the group have applied the same and hold the same.
    pub(crate) async fn agree(&self, group: u32) -> u64 {
        eventually("the replicas agree", || async {
            let mut views = Vec::new();
            for node in self.alive() {
                let view = self.group(node, group).await.view();
                views.push((view.mark().map(|mark| mark.index), view.digest()));
            }
            let same = views.windows(2).all(|pair| pair[0] == pair[1]);
            views[0].0.filter(|_| same)
        })
        .await
    }
}

pub(crate) fn read(handle: &GroupHandle, key: &str) -> Option<String> {
    handle.view().get(key.as_bytes()).map(|value| String::from_utf8(value).unwrap())
}

/// What would have ended the process.
#[derive(Clone, Default)]
pub(crate) struct Alarms(Arc<Mutex<Vec<String>>>);

impl Alarms {
    pub(crate) fn fatal(&self) -> Fatal {
        let alarms = self.clone();
        Fatal::new(move |reason| alarms.0.lock().unwrap().push(reason.to_owned()))
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Opens a node's files; what held them before may still be ending.
async fn open_files(dir: PathBuf, alarms: &Alarms) -> (Log, Store) {
    let store = eventually("the store is free", || async {
        let fatal = alarms.fatal();
        let on_fatal = Arc::new(move |reason: &str| fatal.raise(reason));
        Store::open_with(dir.join("store"), store_limits(), on_fatal).ok()
    });
    let store = store.await;
    (open_log(&dir, alarms), store)
}

/// Above so many segments the log carries live entries forward.
pub(crate) const SEGMENTS_TARGET: u32 = 3;

/// A test that ends takes the folder away while the log's thread may still make segments: that
/// is an alarm nobody hears, not the end of the other tests.
pub(crate) fn open_log(dir: &Path, alarms: &Alarms) -> Log {
    let limits = vatic_log::Limits {
        segment_bytes: 1 << 20,
        entry_bytes_max: 256 << 10,
        segments_target: SEGMENTS_TARGET,
        spares_max: 1,
        ..vatic_log::Limits::production()
    };
    let disk = FileDisk::open(dir.join("log")).unwrap();
    let fatal = alarms.fatal();
    let on_fatal = Arc::new(move |error: &std::io::Error| fatal.raise(&error.to_string()));
    Log::open_with(Arc::new(disk), limits, on_fatal).unwrap()
}

pub(crate) fn store_limits() -> vatic_store::Limits {
    vatic_store::Limits { map_bytes: 1 << 30, ..vatic_store::Limits::simulation() }
}
