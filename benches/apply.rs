//! What applying costs a replica, by function and in instructions: a command, for callgrind.
//!
//! Entries of 32 commands as the server makes them go through the core into the store's writer, are
//! published one by one, and flushed at the end. `put` is a put of 256 bytes over 10,000 records in
//! one group, `pair` a transaction that puts a record in each of two groups. Every 16 entries what
//! is due is forgotten and collected. Two things here only one replica in three does: answering
//! (`Group::answers`, encoding of replies) and asking what is unsettled. The flush takes what was
//! published before the measured part as well, about six times as much.
//!
//! Instructions are the same in each run; times on a shared machine never are. The second command
//! counts SHA-256 alone, to be taken off: valgrind's processor lacks the instructions for it, and
//! takes 3,378 others for each block of 64 bytes.
//!
//! ```text
//! cargo bench -p vatic-bench --bench apply --no-run
//! valgrind --tool=callgrind --zero-before='*measured*' target/release/deps/apply-… put 64
//! valgrind --tool=callgrind --zero-before='*measured*' \
//!     --toggle-collect='*sha256*compress256*' target/release/deps/apply-… put 64
//! callgrind_annotate --inclusive=yes callgrind.out.…
//! ```

use std::{env, hint::black_box, sync::Arc, time::Instant};
use tempfile::TempDir;
use vatic_core::{
    body::{Body, Part},
    codec,
    command::{Applied, Command, Config, Decision, Reply, Standing, Vote},
    delta::{Delta, Op},
    draft::Draft,
    group::Group,
    hash::Hasher,
    id::{GroupId, Timestamp},
    key::Key,
    limits::Limits,
    receipt::Proof,
    ring::{Ring, RingSpec},
    rules::Rules,
    value::{Fields, Scalar, Value},
};
use vatic_store::{Limits as StoreLimits, Mark, Replica, ReplicaId, Store, View, Writer};

/// As in `vatic`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records in each group.
const RECORDS: u64 = 10_000;
const VALUE_BYTES: usize = 256;
/// Commands in an entry.
const COMMANDS: u64 = 32;
/// Entries between two collections.
const COLLECT_EVERY: u64 = 16;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let groups = if arguments.first().is_some_and(|kind| kind == "pair") { 2 } else { 1 };
    let entries = arguments.get(1).map_or(64, |entries| entries.parse().expect("a number"));
    let mut cluster = Cluster::new(groups);
    cluster.run(RECORDS / COMMANDS + 1);
    cluster.store.flush_now();
    cluster.run(RECORDS / COMMANDS + 1);
    let sealed = cluster.sealed(entries);
    measured(&mut cluster, sealed);
}

/// Sealed transactions, entry by entry.
type Sealed = Vec<Vec<(Body, Vec<Part>)>>;

#[inline(never)]
fn measured(cluster: &mut Cluster, sealed: Sealed) {
    let commands: usize = sealed.iter().map(Vec::len).sum();
    let began = Instant::now();
    sealed.into_iter().for_each(|entry| cluster.transact(entry));
    let applied = began.elapsed();
    cluster.store.flush_now();
    let flushed = began.elapsed() - applied;
    let each = |took: std::time::Duration| took.as_secs_f64() * 1e6 / commands as f64;
    println!("{commands} transactions of {} groups", cluster.replicas.len());
    println!("{:.2} us each to apply and publish, {:.2} to flush", each(applied), each(flushed));
}

/// One replica of each group.
struct Cluster {
    ring: Arc<Ring>,
    replicas: Vec<Applier>,
    /// Transactions sealed so far.
    sealed: u64,
    // Last, in this order: the store before its files.
    store: Store,
    _dir: TempDir,
}

struct Applier {
    group: Group,
    replica: Replica,
    writer: Writer,
    /// Somebody reads: what is published is shared with a view.
    view: View,
    index: u64,
    /// The entry after which something is collected again.
    collect_at: u64,
    keys: Vec<Key>,
}

impl Cluster {
    fn new(groups: u32) -> Cluster {
        let dir = tempfile::tempdir().expect("there is a place for temporary files");
        // Nothing is flushed but on demand.
        let limits = StoreLimits {
            flush_interval_ms: 3_600_000,
            overlay_flush_bytes: usize::MAX,
            overlay_max_bytes: usize::MAX,
            // What valgrind lets a process map.
            map_bytes: 4 << 30,
            ..StoreLimits::production()
        };
        let store = Store::open(dir.path(), limits).expect("an empty store opens");
        let groups: Vec<GroupId> = (1..=groups).map(GroupId).collect();
        let spec = RingSpec { epoch: 1, virtual_nodes: 64, groups: groups.clone() };
        let ring = Arc::new(Ring::new(spec.clone()));
        let replicas = groups.iter().map(|&group| Applier::new(group, &ring, &store)).collect();
        let mut cluster = Cluster { ring, replicas, sealed: 0, store, _dir: dir };
        let config = Config::new(Limits::production(), Some(spec));
        let configure = codec::encode(&Command::Configure(config));
        for replica in &mut cluster.replicas {
            replica.apply(std::slice::from_ref(&configure));
        }
        cluster
    }

    fn run(&mut self, entries: u64) {
        let sealed = self.sealed(entries);
        sealed.into_iter().for_each(|entry| self.transact(entry));
    }

    /// Transactions that put one record in each group.
    fn sealed(&mut self, entries: u64) -> Sealed {
        (0..entries).map(|_| (0..COMMANDS).map(|_| self.seal()).collect()).collect()
    }

    fn seal(&mut self) -> (Body, Vec<Part>) {
        self.sealed += 1;
        let chance = |what: &str| Hasher::new(what).u64(self.sealed).finish();
        let nonce = u64::from_be_bytes(chance("nonce").0[..8].try_into().expect("eight bytes"));
        let mint = Timestamp(1_700_000_000_000_000 + 100 * self.sealed);
        let (ring, seed) = (self.ring.clone(), chance("seed"));
        let mut draft = Draft::begin(ring, Limits::production(), mint, nonce, seed);
        for Applier { keys, .. } in &self.replicas {
            let key = keys[(self.sealed * 7_919 % RECORDS) as usize].clone();
            let bytes: Vec<u8> =
                chance("value").0.iter().copied().cycle().take(VALUE_BYTES).collect();
            let value = Value::One(Scalar::Bytes(bytes));
            let op = Op::Put(Fields::from([("value".to_owned(), value)]));
            draft.push(codec::encode(&Delta { key, op }), None, None).expect("a valid delta");
        }
        draft.finish().expect("something was touched")
    }

    /// Votes of all participants; where there are several, the decisions after them.
    fn transact(&mut self, entry: Vec<(Body, Vec<Part>)>) {
        let mut votes: Vec<Vec<Vec<u8>>> = self.replicas.iter().map(|_| Vec::new()).collect();
        let (bodies, parts): (Vec<Body>, Vec<Vec<Part>>) = entry.into_iter().unzip();
        for (body, parts) in bodies.iter().zip(parts) {
            for part in parts {
                let at = part.group.0 as usize - 1;
                let vote = Vote { body: body.clone(), part, hint: body.tid.mint };
                votes[at].push(codec::encode(&Command::Vote(Box::new(vote))));
            }
        }
        let replicas = self.replicas.iter_mut().zip(&votes);
        let voted: Vec<Vec<Applied>> = replicas.map(|(it, votes)| it.apply(votes)).collect();
        if self.replicas.len() > 1 {
            self.decide(&bodies, &voted);
        }
        let through = bodies.last().expect("an entry has commands").tid.mint;
        for replica in self.replicas.iter_mut().filter(|it| it.index >= it.collect_at) {
            replica.collect(through);
        }
    }

    fn decide(&mut self, bodies: &[Body], voted: &[Vec<Applied>]) {
        for replica in &mut self.replicas {
            let decide = |(nth, body): (usize, &Body)| {
                let proofs =
                    voted.iter().map(|voted| voted[nth].proof.clone().expect("it is a Yes"));
                let mut proofs: Vec<Proof> = proofs.collect();
                let ts = proofs.iter().map(|proof| proof.ts).max().expect("there are groups");
                if body.tid.home != replica.group.id() {
                    proofs.clear();
                }
                let (decision, digest) = (Decision::Committed { ts }, Some(body.digest()));
                codec::encode(&Command::Decide { tid: body.tid, body: digest, decision, proofs })
            };
            let commands: Vec<Vec<u8>> = bodies.iter().enumerate().map(decide).collect();
            replica.apply(&commands);
        }
    }
}

impl Applier {
    fn new(id: GroupId, ring: &Ring, store: &Store) -> Applier {
        let replica = store.replica(ReplicaId { group: id.0, generation: 1 });
        replica.set_fence(|| u64::MAX);
        let (writer, view) = (replica.writer(), replica.view());
        let group = Group::open(id, &view, Rules::default());
        let keys = (0..).map(|n| Key::new("bench", &format!("r{n:08}"), "").expect("a valid key"));
        let mine = keys.filter(|key| ring.group_of(&key.partition) == Some(id));
        let keys = mine.take(RECORDS as usize).collect();
        Applier { group, replica, writer, view, index: 0, collect_at: COLLECT_EVERY, keys }
    }

    /// One entry, as the state machine applies and publishes it.
    fn apply(&mut self, commands: &[Vec<u8>]) -> Vec<Applied> {
        self.index += 1;
        let entry = commands.iter().map(Vec::as_slice);
        let applied = self.group.apply_entry(&mut self.writer, self.index, entry);
        let applied = applied.expect("no contradiction");
        applied.iter().for_each(|applied| drop(black_box(codec::encode(applied))));
        self.writer.publish(Mark { index: self.index, meta: Default::default() });
        self.view = self.replica.view();
        for Applied { reply, .. } in &applied {
            let fine = Reply::Done == *reply
                || matches!(reply, Reply::Standing(standing) if yes(standing));
            assert!(fine, "an uncontended command was not accepted: {reply:?}");
        }
        applied
    }

    /// All transactions up to here are applied everywhere, so all may be forgotten.
    fn collect(&mut self, watermark: Timestamp) {
        let unsettled = self.group.unsettled(&self.view, watermark);
        let settled = unsettled.into_iter().map(|known| known.tid).collect();
        let horizon = self.group.clock();
        let forget = codec::encode(&Command::Forget { watermark, settled });
        let collect = codec::encode(&Command::Collect { horizon, items_max: u32::MAX });
        self.apply(&[forget, collect]);
        self.collect_at = self.index + COLLECT_EVERY;
    }
}

fn yes(standing: &Standing) -> bool {
    matches!(standing, Standing::Yes { .. } | Standing::Decided(Decision::Committed { .. }))
}
