//! Many operations on one stream, and the workloads that use it.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use serde_json::Value as Json;
use tokio::time::timeout;
use tonic::{Code, Status};
use vatic_client::{ClientError, Intent, Pipeline, PipelineOptions, Request};
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Timestamp;
use vatic_core::key::Key;
use vatic_core::value::{Fields, Value};
use vatic_proto::v1::{
    self, Operation, operation::Call, operation_result::Answer,
    pipeline_service_client::PipelineServiceClient,
};
use vatic_tests::cluster::{Cluster, GROUPS};
use vatic_tests::command::vatic;
use vatic_tests::values::{
    core_key, expect_absent, int, key, number, put, transitions, wire_number,
};
use vatic_tests::wire::refused;

/// Longest wait for all answers of a stream.
const STREAM_MAX: Duration = Duration::from_secs(20);
/// How long a turn is held at most.
const HOLD_MS: u32 = 1_000;
/// Records that are meant to be written until all turns lasted as long as they were needed.
const TURNS_MAX: usize = 5;
/// Pairs of submissions that want the same record, for each way of being urgent.
const PAIRS: usize = 24;
/// Submissions that go ahead of a pair.
const BESIDE: u64 = 64;

/// Sends messages on one stream through one node and gathers what is answered.
async fn exchange(
    cluster: &Cluster,
    messages: Vec<Vec<(u64, Call)>>,
) -> Result<BTreeMap<u64, Answer>, Status> {
    let operation = |(id, call)| Operation { id, deadline_ms: 0, call: Some(call) };
    let messages = messages.into_iter().map(move |calls| v1::PipelineRequest {
        operations: calls.into_iter().map(operation).collect(),
    });
    let mut service = PipelineServiceClient::new(cluster.channel(0));
    let mut answers = service.pipeline(tokio_stream::iter(messages)).await?.into_inner();
    let mut found = BTreeMap::new();
    while let Some(message) =
        timeout(STREAM_MAX, answers.message()).await.expect("the stream ends in time")?
    {
        for result in message.results {
            let answer = result.answer.expect("a result has an answer");
            assert!(found.insert(result.id, answer).is_none(), "{} is answered twice", result.id);
        }
    }
    Ok(found)
}

fn get(name: &v1::Key) -> Call {
    Call::Get(v1::GetRequest { key: Some(name.clone()), at: None })
}

fn submit(deltas: &[v1::Delta]) -> Call {
    let transitions = transitions(deltas.to_vec());
    Call::Submit(v1::SubmitRequest { transitions, ..v1::SubmitRequest::default() })
}

/// A group whose leader is the node that [`exchange`] asks.
async fn led_by_the_first(cluster: &Cluster) -> u32 {
    for group in 1..=GROUPS {
        if cluster.leader(group).await == 0 {
            return group;
        }
    }
    1
}

/// Two submissions that expect and write the same record, the second of them so urgent, behind
/// others that keep the leader's log busy; whether the second one has it.
async fn second_wins(cluster: &Cluster, pair: usize, second: &v1::SubmitRequest) -> bool {
    let partition = cluster.partition(led_by_the_first(cluster).await, 2).await;
    let others = (0..BESIDE).map(|other| {
        let name = key("beside", &partition, &format!("{pair}-{other}"));
        (other, submit(&[put(&name, int(1))]))
    });
    let name = key("contended", &partition, &format!("{pair}"));
    let transitions = transitions(vec![expect_absent(&name), put(&name, int(2))]);
    let second = v1::SubmitRequest { transitions: transitions.clone(), ..second.clone() };
    let first = v1::SubmitRequest { transitions, ..v1::SubmitRequest::default() };
    let both = vec![(BESIDE, Call::Submit(first)), (BESIDE + 1, Call::Submit(second))];
    let answers = exchange(cluster, vec![others.collect(), both]).await.unwrap();
    let committed = |id| match &answers[&id] {
        Answer::Outcome(outcome) => outcome.state() == v1::outcome::State::Committed,
        _ => false,
    };
    assert!(!(committed(BESIDE) && committed(BESIDE + 1)), "both wrote what was absent");
    committed(BESIDE + 1)
}

/// Of what waits for the same log entry; whether two meet there is a matter of luck.
pub(crate) async fn more_urgent_of_two_votes_that_wait_goes_first(cluster: &Cluster) {
    let ordinary = v1::SubmitRequest::default();
    let often = v1::SubmitRequest { rollbacks: 3, ..ordinary.clone() };
    let urgent = v1::SubmitRequest { priority: 200, ..ordinary.clone() };
    let mut pairs = 0..;
    let mut wins = async |second: &v1::SubmitRequest| {
        let mut wins = 0;
        for pair in pairs.by_ref().take(PAIRS) {
            wins += usize::from(second_wins(cluster, pair, second).await);
        }
        wins
    };
    let equal = wins(&ordinary).await;
    let [often, urgent] = [wins(&often).await, wins(&urgent).await];
    println!("  of {PAIRS} each: {equal} as they came, {often} by rollbacks, {urgent} by priority");
    assert!(equal < PAIRS / 4, "the first one goes first where nothing else is said: {equal}");
    assert!(often > PAIRS / 2 && urgent > PAIRS / 2, "{often}, {urgent}");
}

pub(crate) async fn operations_of_all_groups_are_answered_each_by_its_id(cluster: &Cluster) {
    let mut names = Vec::new();
    for group in 1..=GROUPS {
        names.push(key("piped", &cluster.partition(group, 1).await, ""));
    }
    let both = [put(&names[0], int(7)), put(&names[1], int(8))];
    let others = names[2..].iter().map(|name| submit(&[put(name, int(9))]));
    let writes = (1..).zip(std::iter::once(submit(&both)).chain(others)).collect();
    let written = exchange(cluster, vec![writes]).await.unwrap();
    assert_eq!(written.len(), names.len() - 1);
    for answer in written.values() {
        let Answer::Outcome(outcome) = answer else { panic!("{answer:?}") };
        assert_eq!(outcome.state(), v1::outcome::State::Committed);
        assert!(outcome.receipt.is_some());
    }
    let reads = (0..100).map(|id| (id, get(&names[id as usize % names.len()]))).collect();
    // Of a group that decided alone: another one may not have heard of the decision yet.
    let peek = v1::PeekRequest { key: Some(names[2].clone()), ..v1::PeekRequest::default() };
    let found = exchange(cluster, vec![reads, vec![(100, Call::Peek(peek))]]).await.unwrap();
    assert_eq!(found.len(), 101);
    for (id, answer) in &found {
        let Answer::Read(read) = answer else { panic!("{answer:?}") };
        let at = if *id == 100 { 2 } else { *id as usize % names.len() };
        assert_eq!(wire_number(read), Some([7, 8, 9, 9][at.min(3)]), "operation {id}");
    }
}

pub(crate) async fn error_of_one_operation_is_its_answer_and_ends_nothing_else(cluster: &Cluster) {
    let name = key("piped-errors", &cluster.partition(1, 0).await, "");
    let rolled_back = [put(&name, int(1)), vatic_tests::values::expect_version(&name, 1)];
    let calls = vec![
        (1, get(&key("", "p", ""))),
        (2, submit(&[])),
        (3, submit(&rolled_back)),
        (4, get(&name)),
    ];
    let found = exchange(cluster, vec![calls]).await.unwrap();
    let Answer::Error(error) = &found[&1] else { panic!("{found:?}") };
    let status = Status::with_details(
        Code::from(error.code),
        error.message.clone(),
        error.encode_to_vec().into(),
    );
    let why = refused(&status);
    assert_eq!((why.code, why.reason.as_str()), (Code::InvalidArgument, "BAD_KEY"));
    assert!(
        matches!(&found[&2], Answer::Error(error) if error.code == Code::InvalidArgument as i32)
    );
    let Answer::Outcome(outcome) = &found[&3] else { panic!("{found:?}") };
    let rollback = outcome.rollback.as_ref().expect("it rolls back");
    assert_eq!(rollback.cause(), v1::RollbackCause::ExpectationFailed);
    assert!(matches!(&found[&4], Answer::Read(read) if read.record.is_none()));
}

pub(crate) async fn message_with_too_many_operations_ends_the_stream(cluster: &Cluster) {
    let name = key("piped-limit", "p", "");
    let calls = (0..5_000).map(|id| (id, get(&name))).collect();
    let why = refused(&exchange(cluster, vec![calls]).await.unwrap_err());
    assert_eq!((why.code, why.reason.as_str()), (Code::InvalidArgument, "LIMIT_EXCEEDED"));
    assert_eq!(why.metadata["limit"], "pipeline_stream_operations_max");
}

pub(crate) async fn pipeline_of_the_client_counts_every_submission_once(cluster: &Cluster) {
    const TASKS: usize = 8;
    const EACH: usize = 20;
    let options = PipelineOptions { connections: 2, verify: true };
    let pipeline = cluster.client().pipeline(options).await.unwrap();
    let name = core_key(&key("piped-count", &cluster.partition(2, 0).await, ""));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (pipeline, key) = (pipeline.clone(), name.clone());
        tasks.spawn(async move {
            let add = Delta { key, op: Op::Add { field: "value".into(), by: 1 } };
            for _ in 0..EACH {
                pipeline.submit_as(&Request::mint(), std::slice::from_ref(&add)).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(number(pipeline.get(&name).await.unwrap().as_ref()), (TASKS * EACH) as i64);
}

fn intent(token: u64, hold_ms: u32) -> Intent {
    Intent { token, hold_ms, rollbacks: 0, turns: 0, priority: 0 }
}

pub(crate) async fn intent_tells_others_until_a_vote_or_until_it_is_given_back(cluster: &Cluster) {
    let pipeline = cluster.client().pipeline(PipelineOptions::default()).await.unwrap();
    let partition = cluster.partition(3, 0).await;
    for number in 0..TURNS_MAX {
        let name = core_key(&key("piped-intent", &partition, &number.to_string()));
        let told = intent_tells_others(&pipeline, &name).await;
        let fields = Fields::from([("value".to_owned(), Value::from(1))]);
        let put = Delta { key: name.clone(), op: Op::Put(fields) };
        let guard = Delta { key: name.clone(), op: Op::Expect(Expect::Version(Timestamp(1))) };
        // Advice decides nothing: whoever has no intent may write all the same, and ends the
        // others'.
        pipeline.submit(std::slice::from_ref(&put)).await.unwrap();
        assert!(!pipeline.peek(&name).await.unwrap().pending);
        let stale = pipeline.submit(&[guard, put]).await.unwrap_err();
        assert!(matches!(stale, ClientError::RolledBack(_)), "{stale}");
        if told {
            return;
        }
    }
    panic!("an intent tells nobody");
}

/// Whether others were told of an intent, which is given back then. It may have been over, or lost
/// with its leader.
async fn intent_tells_others(pipeline: &Pipeline, name: &Key) -> bool {
    assert!(!pipeline.peek_for(name, intent(1, HOLD_MS)).await.unwrap().pending);
    let meant = pipeline.peek_for(name, intent(2, HOLD_MS)).await.unwrap().pending;
    let told = meant && pipeline.peek(name).await.unwrap().pending;
    pipeline.peek_for(name, intent(1, 0)).await.unwrap();
    assert!(!pipeline.peek_for(name, intent(2, HOLD_MS)).await.unwrap().pending);
    told
}

pub(crate) async fn turn_goes_to_who_queued_up_and_comes_with_what_was_written(cluster: &Cluster) {
    let pipeline = cluster.client().pipeline(PipelineOptions::default()).await.unwrap();
    let partition = cluster.partition(2, 0).await;
    for number in 0..TURNS_MAX {
        let name = core_key(&key("piped-turn", &partition, &number.to_string()));
        if turn_comes_and_is_held(&pipeline, &name).await {
            return;
        }
    }
    panic!("a turn goes to nobody who queued up, or holds nobody off");
}

/// Whether a turn came once its record was written, and held the next one off. The one before may
/// have been over, or any of them lost with its leader.
async fn turn_comes_and_is_held(pipeline: &Pipeline, name: &Key) -> bool {
    let first = pipeline.peek_for(name, intent(1, HOLD_MS)).await.unwrap();
    assert!(!first.pending && first.record.is_none());
    let second = pipeline.peek_in_turn(name, intent(2, HOLD_MS), 2_000);
    let write = async {
        let fields = Fields::from([("value".to_owned(), Value::from(1))]);
        pipeline.submit(&[Delta { key: name.clone(), op: Op::Put(fields) }]).await.unwrap()
    };
    let (second, committed) = tokio::join!(second, write);
    let second = second.unwrap();
    let Some(record) = second.record.filter(|_| !second.pending) else { return false };
    assert_eq!(record.version, committed.version);
    if !pipeline.peek_for(name, intent(3, HOLD_MS)).await.unwrap().pending {
        return false;
    }
    // The third waits in vain: the second neither votes nor gives its turn back in time.
    pipeline.peek_in_turn(name, intent(3, HOLD_MS), 100).await.unwrap().pending
}

pub(crate) async fn each_workload_of_the_benchmark_runs_and_reports(cluster: &Cluster) {
    for workload in ["put", "get", "ycsb-a", "ycsb-f", "smallbank", "hotspot", "uniform", "tpcc"] {
        // By hotness: what is learnt of other tests' records would be another thing each time.
        let keys = if workload == "tpcc" { "100" } else { "40" };
        let run = vatic(
            cluster.endpoints(),
            &["bench", "run", "--workload", workload, "--seconds", "1", "--clients", "8"]
                .into_iter()
                .chain(["--keys", keys, "--connections", "2", "--seed", "1", "-o", "json"])
                .chain(["--policy", "hotness"])
                .collect::<Vec<_>>(),
        );
        assert_eq!(run.code, 0, "{run:?}");
        let last: Json = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
        let names = ["throughput_tps", "abort_rate", "aborts", "p50_ms", "p99_ms", "p999_ms"];
        assert!(names.iter().all(|name| !last[name].is_null()), "{last}");
        assert!(last["ops"].as_u64().unwrap() > 0, "{last}");
        assert_eq!(last["errors"].as_object().unwrap().len(), 0, "{last}");
        assert!(last["server_cpu_us_per_op"].as_f64().is_some(), "{last}");
    }
}
