//! Valid inputs for the targets that are about the core: a transaction over two groups, as it runs.

use std::sync::OnceLock;

use prost::Message;
use vatic_core::body::{Body, Part};
use vatic_core::codec;
use vatic_core::command::{Applied, Cause, Command, Config, Decision, MetaCommand, Vote, Why};
use vatic_core::conflict::{Features, Model};
use vatic_core::course::{Course, CourseBatch, Kind, Step};
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::diary::Page;
use vatic_core::draft::Draft;
use vatic_core::estimate::{Choice, Resolution};
use vatic_core::expected::{Expected, STEP};
use vatic_core::finding::Unjudged;
use vatic_core::group::Group;
use vatic_core::hash::Hash;
use vatic_core::history::{Batch, Event, Foreseen, Strayed, What};
use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_core::key::Key;
use vatic_core::limits::Limits;
use vatic_core::memory::MemoryState;
use vatic_core::policy::{PolicyChange, Validation};
#[cfg(feature = "node")]
use vatic_core::receipt::Receipt;
use vatic_core::ring::{Ring, RingSpec};
use vatic_core::sign::{PublicKey, TrustedKeys};
use vatic_core::strategy::Strategy;
use vatic_core::ticket::{self, Entry, Resolved, Ticket};
use vatic_core::value::{Fields, Scalar, Value};
use vatic_core::verdict::{Conditions, Forecast};
use vatic_proto::peer::v1 as peer;

/// The receipts that other implementations are checked with.
const VECTORS: &str = include_str!("../../src/core/vectors/receipts.json");

/// A group that holds a committed record and an undecided vote.
pub(crate) fn group() -> (GroupId, MemoryState) {
    static GROUP: OnceLock<MemoryState> = OnceLock::new();
    let state = GROUP.get_or_init(|| {
        let mut state = MemoryState::default();
        let mut group = Group::open(GroupId(1), &state, Default::default());
        let (alone, _) = transaction(1, &[GroupId(1)]);
        let (both, _) = transaction(2, &[GroupId(1), GroupId(2)]);
        for (index, command) in (1..).zip([&alone[0], &both[0]]) {
            let bytes = codec::encode(command);
            group.apply_entry(&mut state, index, [&bytes[..]]).expect("no contradiction");
        }
        state
    });
    (GroupId(1), state.clone())
}

/// Commands of every kind that a transaction brings about, and what applying them gives.
pub(crate) fn commands() -> Vec<Vec<u8>> {
    let (votes, body) = transaction(3, &[GroupId(1), GroupId(2)]);
    let (tid, digest) = (body.tid, Some(body.digest()));
    let committed = Decision::Committed { ts: Timestamp(5_000) };
    let others = [
        Command::Force { tid, body: digest, participants: body.groups() },
        Command::Decide { tid, body: digest, decision: committed, proofs: Vec::new() },
        Command::Advance { to: Timestamp(7_000) },
        Command::History(Box::new(history(tid))),
        Command::Meta(MetaCommand::AppendCourses(Box::new(courses()))),
    ];
    let (id, mut state) = group();
    let mut group = Group::open(id, &state, Default::default());
    let mut samples: Vec<Vec<u8>> = votes.iter().chain(&others).map(codec::encode).collect();
    let index = group.chain().index + 1;
    let applied = group.apply_entry(&mut state, index, samples.iter().take(1).map(Vec::as_slice));
    let applied: Vec<Applied> = applied.expect("no contradiction");
    samples.extend(applied.iter().map(codec::encode));
    for (nonce, say) in (8..).zip(SAYING) {
        let (body, mut parts) = sealed_saying(nonce, &[GroupId(1)], say);
        samples.push(codec::encode(&vote(&body, parts.remove(0))));
    }
    samples
}

/// A row of each table of a group's state, and of each thing that group 0 keeps.
pub(crate) fn rows() -> Vec<Vec<u8>> {
    let ring = RingSpec { epoch: 1, virtual_nodes: 16, groups: vec![GroupId(1), GroupId(2)] };
    let config = Command::Configure(Config::new(Limits::simulation(), Some(ring.clone())));
    let (body, _) = sealed(7, &[GroupId(1)]);
    let (id, mut state) = group();
    apply(id, &mut state, &[Command::History(Box::new(history(body.tid))), config]);
    let node = MetaCommand::PutNode {
        node: 1,
        client_addr: "127.0.0.1:7400".into(),
        peer_addr: "127.0.0.1:7500".into(),
        public_key: PublicKey([1; 32]),
    };
    let change = PolicyChange { validation: Some(Validation::Enforce), strategy: None };
    let model = Box::new(Model::constant(30_000));
    let changes = [
        node,
        MetaCommand::SetRing(ring),
        MetaCommand::SetPolicy { collection: "account".into(), change },
        MetaCommand::PublishModel { node: 1, labels: 300, model },
        MetaCommand::AppendCourses(Box::new(courses())),
    ];
    let mut own = MemoryState::default();
    apply(GroupId::META, &mut own, &changes.map(Command::Meta));
    vatic_core::fuzz::rows(&[&state, &own])
}

/// Each in an entry of its own.
fn apply(id: GroupId, state: &mut MemoryState, commands: &[Command]) {
    let mut group = Group::open(id, &*state, Default::default());
    for command in commands {
        let (index, bytes) = (group.chain().index + 1, codec::encode(command));
        group.apply_entry(state, index, [&bytes[..]]).expect("no contradiction");
    }
}

/// A conflict, what strayed, and a success of which something was foreseen.
fn history(tid: Tid) -> Batch {
    let key = Key::new("account", "p0", "").expect("it is short");
    let why = Why::Locked { key, by: tid };
    let cause = Cause { group: GroupId(1), why };
    let strayed = What::Strayed(Box::new(Strayed {
        class: 7,
        score: 200,
        tolerance: 100,
        validation: Validation::Enforce,
        rolled_back: Some(cause.clone()),
    }));
    let conflict = What::Conflict(cause);
    let features = Features { user: 3, areas: vec![1, 2], ..Features::default() };
    let foreseen =
        Foreseen { features, propensity_ppm: 30_000, score_ppm: Some(5), model_version: 1 };
    let event = |what, foreseen| Event {
        at_us: 6_000,
        tid,
        what,
        foreseen,
        claimed: true,
        in_turn: false,
        took_us: 70,
    };
    let accepted = event(What::Accepted { weight: 8 }, Some(Box::new(foreseen)));
    Batch {
        node: 1,
        sequence: 1,
        events: vec![event(conflict, None), event(strayed, None), accepted],
    }
}

/// A stream of two kinds of steps.
fn courses() -> CourseBatch {
    let kind = |operation: &str, fields: &[&str]| Kind {
        collection: "account".into(),
        operation: operation.into(),
        fields: fields.iter().map(|field| (*field).into()).collect(),
    };
    let steps = [(0, 0), (1, 300), (1, 70_000)];
    let course = Course {
        user: 3,
        kinds: vec![kind("put", &["n", "owner"]), kind("delete", &[])],
        steps: steps.map(|(kind, after_us)| Step { kind, after_us }).into(),
        groups: vec![GroupId(1), GroupId(2)],
    };
    CourseBatch { node: 1, sequence: 1, courses: vec![course] }
}

/// A body, and its parts in two groups; bodies that say why they were not judged, how they were,
/// and what they were resolved to be voted on under.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let (body, parts) = sealed(4, &[GroupId(1), GroupId(2)]);
    let parts = parts.iter().map(codec::encode);
    let saying = SAYING.map(|say| codec::encode(&sealed_saying(4, &[GroupId(1)], say).0));
    std::iter::once(codec::encode(&body)).chain(parts).chain(saying).collect()
}

/// Says something of how a transaction was judged.
type Say = fn(&mut Draft);

const SAYING: [Say; 3] = [
    |draft| draft.leave_unjudged(Unjudged::Unforecast { waited_ms: 100 }),
    judge,
    |draft| {
        judge(draft);
        draft.resolve(RESOLUTION);
    },
];

const RESOLUTION: Resolution = Resolution {
    own: Strategy::Optimistic,
    chosen: Strategy::Lock,
    why: Choice::Cheapest,
    conflict_ppm: Some(30_000),
    latency_us: Some(2_500),
    own_latency_us: None,
    freed: true,
};

/// By a forecast from which it strays.
fn judge(draft: &mut Draft) {
    let footprint = Expected::try_from(vec![(3, 256), (7, -128)]).expect("its cells ascend");
    let forecast = Forecast { footprint, count: 4, prefix: 1, spread: STEP / 2 };
    let conditions = Conditions { rtt_us: 3, rtt_mean_us: 2, missing_partials: 0, in_flight: 5 };
    let judged = draft.judge(7, forecast, (conditions, STEP / 4));
    assert!(!judged.verdict.valid, "it strays");
}

/// One of each operation.
pub(crate) fn deltas() -> Vec<Vec<u8>> {
    let scalars = vec![Scalar::I64(3), Scalar::String("x".into()), Scalar::Bytes(vec![1, 2])];
    let field = || "field".to_owned();
    let fields = Fields::from([
        ("n".to_owned(), 5.into()),
        ("list".to_owned(), Value::List(scalars.clone())),
        ("f".to_owned(), Value::One(Scalar::F64(0.5f64.to_bits()))),
    ]);
    let operations = [
        Op::Put(fields.clone()),
        Op::Merge(fields),
        Op::Add { field: field(), by: -7 },
        Op::Append { field: field(), values: scalars.clone() },
        Op::Union { field: field(), values: scalars },
        Op::RemoveField(field()),
        Op::Delete,
        Op::Expect(Expect::Version(Timestamp(9))),
        Op::Expect(Expect::Absent),
        Op::Expect(Expect::Field { field: field(), value: Some(5.into()) }),
    ];
    let key = Key::new("account", "ada", "sort").expect("a valid key");
    operations.map(|op| codec::encode(&Delta { key: key.clone(), op })).into()
}

/// Receipts over one to three groups.
pub(crate) fn receipts() -> Vec<Vec<u8>> {
    let cases = vectors();
    let encoded = cases.iter().filter_map(|case| case["encoded"].as_str());
    encoded.step_by(5).map(|text| hex::decode(text).expect("hexadecimal")).collect()
}

/// The deltas of a receipt over that many.
pub(crate) fn sent(count: u64) -> Vec<Vec<u8>> {
    static SENT: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    let sent = SENT.get_or_init(|| {
        let deltas = |case: &serde_json::Value| {
            let deltas = case["deltas"].as_array().expect("a list").iter();
            let bytes = deltas.filter_map(|text| hex::decode(text.as_str()?).ok());
            bytes.collect::<Vec<Vec<u8>>>()
        };
        vectors().iter().map(deltas).collect()
    });
    let found = sent.iter().find(|deltas| deltas.len() as u64 == count);
    found.cloned().unwrap_or_default()
}

#[cfg(feature = "node")]
pub(crate) fn receipt_files() -> Vec<Vec<u8>> {
    let file = |case: &serde_json::Value| {
        let encoded = hex::decode(case["encoded"].as_str().expect("it is text"));
        let receipt = Receipt::from_bytes(&encoded.expect("it is hexadecimal"));
        let receipt = receipt.expect("it is a receipt");
        let file = serde_json::json!({
            "format": 1,
            "transaction_id": receipt.body.tid.to_string(),
            "commit_version": receipt.ts.0,
            "deltas": case["deltas"],
            "receipt": case["encoded"],
        });
        serde_json::to_vec_pretty(&file).expect("it is JSON")
    };
    // The others do not verify.
    let complete = |case: &&serde_json::Value| case["expect"]["complete"] == true;
    vectors().iter().filter(complete).map(file).collect()
}

/// Keys of those who signed none of what is made up.
pub(crate) fn trusted() -> TrustedKeys {
    let nodes = (1..=3).map(|node| (node, PublicKey([node as u8; 32]))).collect();
    TrustedKeys { cluster: "example".into(), groups: [(GroupId(1), nodes)].into() }
}

/// Keys as they are stored and as they are named, and a transaction's id.
pub(crate) fn keys() -> Vec<Vec<u8>> {
    let keys = [("account", "ada", ""), ("c", "p", "sort/with\u{e9}"), ("$own", "p\0", "s")];
    let keys = keys.iter().filter_map(|(c, p, s)| Key::new(c, p, s).ok());
    let mut samples: Vec<Vec<u8>> =
        keys.flat_map(|key| [key.encode(), key.to_string().into_bytes()]).collect();
    let (body, _) = sealed(5, &[GroupId(1)]);
    samples.extend([body.tid.to_bytes().to_vec(), body.tid.to_string().into_bytes()]);
    samples
}

/// What waits in a queue, what became of tickets, that the queue is paused, and a ticket's name.
pub(crate) fn tickets() -> Vec<Vec<u8>> {
    let entry = |deltas| Entry { deltas, priority: 7, principal: "caller".into() }.fields();
    let (body, _) = sealed(6, &[GroupId(1)]);
    let outcomes = [
        Resolved::Committed(body.tid),
        Resolved::RolledBack("transition 0: account/ada is absent".into()),
        Resolved::Cancelled,
    ];
    let mut records = vec![entry(Vec::new()), entry(deltas()), ticket::control_fields(true)];
    records.extend(outcomes.iter().map(resolved_fields));
    let name = a_ticket().to_string().into_bytes();
    records.iter().map(codec::encode).chain([name]).collect()
}

fn a_ticket() -> Ticket {
    Ticket::new("q3".into(), Timestamp(6_000), 9)
}

/// As they lie in the record that the resolving transaction puts.
pub(crate) fn resolved_fields(outcome: &Resolved) -> Fields {
    let deltas = a_ticket().resolving(Timestamp(7_000), &[], outcome, Default::default());
    let last = codec::decode::<Delta>(deltas.last().expect("it puts the outcome"));
    match last.expect("a delta").op {
        Op::Put(fields) => fields,
        op => panic!("the outcome is put, not {}", op.name()),
    }
}

/// A group that is opened over some state and applies an entry.
pub(crate) fn diaries() -> Vec<Vec<u8>> {
    let (id, mut state) = group();
    let mut group = Group::open(id, &state, Default::default());
    let mut diary = Page::opened(id, state.0.clone()).to_bytes();
    let index = group.chain().index + 1;
    let command = codec::encode(&Command::Advance { to: Timestamp(7_000) });
    let replies = group.apply_entry(&mut state, index, [&command[..]]).expect("no contradiction");
    let replies: Vec<Vec<u8>> = replies.iter().map(codec::encode).collect();
    diary.extend(Page::entry(index, &[command], group.chain(), Some(&replies)).to_bytes());
    diary.extend(Page::Full.to_bytes());
    vec![diary]
}

/// A node alone with everything as usual, and one of three with limits of its own.
#[cfg(feature = "node")]
pub(crate) fn config_files() -> Vec<Vec<u8>> {
    let own = "node = 1\ndata_dir = \"data\"\nclient_listen = \"127.0.0.1:7400\"\n\
               peer_listen = \"127.0.0.1:7500\"\n";
    let alone = "members = [{node = 1, peer = \"127.0.0.1:7500\"}]\n";
    let three = "cluster = \"c\"\ngroups = 2\nreplicas = 3\nrecord_events = \"diaries\"\n\
                 members = [{node = 1, peer = \"a:1\"}, {node = 2, peer = \"b:1\"}, \
                 {node = 3, peer = \"c:1\"}]\n\n[limits]\nstream_idle_ms = 5000\n\n\
                 [group_limits]\nrecords_bytes_max = 4096\n\n[consensus_limits]\n\
                 heartbeat_ms = 100\n";
    [alone, three].map(|rest| format!("{own}{rest}").into_bytes()).into()
}

/// The keys of a cluster whose groups have three replicas, and one.
#[cfg(feature = "node")]
pub(crate) fn keys_files() -> Vec<Vec<u8>> {
    let file = |nodes: u8| {
        let nodes = (1..=nodes).map(|node| (node.to_string(), hex::encode([node; 32]).into()));
        let nodes: serde_json::Map<String, serde_json::Value> = nodes.collect();
        let file = serde_json::json!({
            "format": 1, "cluster": "example", "groups": {"0": nodes.clone(), "1": nodes},
        });
        serde_json::to_vec_pretty(&file).expect("it is JSON")
    };
    vec![file(3), file(1)]
}

#[cfg(feature = "node")]
pub(crate) fn scripts() -> Vec<Vec<u8>> {
    let scripts = [
        "expect account/ada balance=100\nadd account/ada balance=-30\nadd account/bob balance=30\n",
        "# a comment\nput account/ada balance=100 owner=\"Ada \\\"L\\\"\" list=[1,\"two\",3]\n",
        "merge a/b x=0.5 y=true\nappend a/b l=[1]\nunion a/b l=[2]\nremove a/b x\ndel a/b/c\n",
        "get \"notes/my day\"\nscan account/ada\nexpect a/b absent\nexpect a/c version 7\n",
    ];
    scripts.map(|script| script.as_bytes().to_vec()).into()
}

/// What lies around the messages of Raft on the wire.
pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    let envelope = peer::Envelope { group: 1, body: vec![1, 2, 3].into(), ..Default::default() };
    let question = peer::Question { id: 3, deadline_ms: 100, body: vec![1, 0].into() };
    let ask = peer::AskRequest { questions: vec![question], ..Default::default() };
    let exchange = peer::ExchangeRequest { envelopes: vec![envelope], ..Default::default() };
    vec![exchange.encode_to_vec(), ask.encode_to_vec()]
}

fn vectors() -> Vec<serde_json::Value> {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("it is JSON");
    vectors["cases"].as_array().expect("it has cases").clone()
}

/// The votes of a transaction that writes in each of the groups.
fn transaction(nonce: u64, groups: &[GroupId]) -> (Vec<Command>, Body) {
    let (body, parts) = sealed(nonce, groups);
    (parts.into_iter().map(|part| vote(&body, part)).collect(), body)
}

fn vote(body: &Body, part: Part) -> Command {
    let (body, hint) = (body.clone(), Timestamp(4_000 + body.tid.nonce));
    Command::Vote(Box::new(Vote { body, part, hint }))
}

fn sealed(nonce: u64, groups: &[GroupId]) -> (Body, Vec<Part>) {
    sealed_saying(nonce, groups, |_| {})
}

fn sealed_saying(nonce: u64, groups: &[GroupId], say: Say) -> (Body, Vec<Part>) {
    let all = vec![GroupId(1), GroupId(2)];
    let ring = Ring::new(RingSpec { epoch: 1, virtual_nodes: 16, groups: all });
    let seed = Hash([nonce as u8; 32]);
    let mut draft =
        Draft::begin(ring.clone(), Limits::simulation(), Timestamp(1_000 + nonce), nonce, seed);
    for &group in groups {
        let partition = (0..).map(|n| format!("p{nonce}-{n}"));
        let mut owned = partition.filter(|name| ring.group_of(name) == Some(group));
        let partition = owned.next().expect("the ring covers all groups");
        let key = Key::new("account", &partition, "").expect("a valid key");
        let op = Op::Put(Fields::from([("n".to_owned(), 5.into())]));
        draft.push(codec::encode(&Delta { key, op }), None, None).expect("it is within limits");
    }
    say(&mut draft);
    draft.finish().expect("it can be sealed")
}
