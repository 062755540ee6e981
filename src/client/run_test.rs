//! Runs against a scripted server: retried, never doubled, never believed without proof.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;

use crate::client::{Client, Options};
use crate::error::ClientError;
use crate::fake_test::{Act, Fake};
use crate::limits::Limits;
use crate::run::Done;

/// Of an operation that is not answered.
const OPERATION_MS: u64 = 1_000;

fn client(fake: &Fake) -> Client {
    let options = Options { limits: Limits::simulation(), ..Options::default() };
    Client::lazy(std::slice::from_ref(&fake.endpoint), options).unwrap()
}

fn key() -> Key {
    Key::new("c", "p", "").unwrap()
}

/// Reads and adds; the value is the number of the attempt that made it.
async fn add_one(client: &Client) -> Result<Done<u32>, ClientError> {
    let attempts = Arc::new(AtomicU32::new(0));
    client
        .run(|txn| {
            let attempts = attempts.clone();
            async move {
                txn.read(&key()).await?;
                txn.add(&key(), "n", 1).await?;
                Ok(attempts.fetch_add(1, Ordering::Relaxed) + 1)
            }
        })
        .await
}

#[tokio::test]
async fn conflict_is_retried_until_it_commits() {
    let again = Act::RollBack { retryable: true };
    let fake = Fake::start(&[again, again, Act::Commit]).await;
    let done = add_one(&client(&fake)).await.unwrap();
    assert_eq!(done.attempts, 3);
    assert_eq!(done.committed.evidence.verify().unwrap().len(), 1);
    assert_eq!(fake.book.lock().unwrap().commits.len(), 1);
}

#[tokio::test]
async fn all_attempts_carry_one_request_id() {
    let fake = Fake::start(&[Act::Lose { committed: false }, Act::Commit]).await;
    add_one(&client(&fake)).await.unwrap();
    add_one(&client(&fake)).await.unwrap();
    let book = fake.book.lock().unwrap();
    assert_eq!(book.begun, 3);
    assert_ne!(book.commits[0].1, book.commits[1].1);
    assert!(book.commits.iter().all(|(_, request, _)| request.is_some()));
}

/// Else the client resets them, and loses the connection with all that runs on it after enough.
#[tokio::test]
async fn streams_with_an_outcome_end_whole() {
    let script = [Act::CommitAndLinger, Act::RollBackEarly, Act::CommitAndLinger];
    let fake = Fake::start(&script).await;
    let client = client(&fake);
    add_one(&client).await.unwrap();
    add_one(&client).await.unwrap();
    let whole = || fake.book.lock().unwrap().ended_whole;
    for _ in 0..200 {
        if whole() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(whole(), 3);
}

#[tokio::test]
async fn rollback_for_good_is_not_retried() {
    let fake = Fake::start(&[Act::RollBack { retryable: false }]).await;
    let error = add_one(&client(&fake)).await.unwrap_err();
    assert!(matches!(error, ClientError::RolledBack(_)), "{error}");
    assert_eq!(fake.book.lock().unwrap().begun, 1);
}

#[tokio::test]
async fn early_rollback_ends_the_attempt_and_is_retried() {
    let fake = Fake::start(&[Act::RollBackEarly, Act::Commit]).await;
    assert_eq!(add_one(&client(&fake)).await.unwrap().attempts, 2);
}

#[tokio::test]
async fn lost_answer_to_a_commit_is_asked_for_and_not_doubled() {
    let fake = Fake::start(&[Act::Lose { committed: true }]).await;
    let done = add_one(&client(&fake)).await.unwrap();
    assert_eq!((done.value, done.attempts), (1, 1));
    assert!(done.committed.evidence.verify().is_ok());
    assert_eq!(fake.book.lock().unwrap().commits.len(), 1);
}

#[tokio::test]
async fn lost_answer_to_a_rollback_is_asked_for_and_retried() {
    let fake = Fake::start(&[Act::Lose { committed: false }, Act::Commit]).await;
    let done = add_one(&client(&fake)).await.unwrap();
    assert_eq!((done.value, done.attempts), (2, 2));
    assert_eq!(fake.book.lock().unwrap().commits.len(), 1);
}

#[tokio::test]
async fn lost_answer_that_nobody_settles_is_unknown_and_not_an_ordinary_error() {
    let fake = Fake::start(&[Act::LoseUnheard; 40]).await;
    fake.book.lock().unwrap().deaf = u32::MAX;
    let error = add_one(&client(&fake)).await.unwrap_err();
    assert!(matches!(error, ClientError::OutcomeUnknown { tid: Some(_), request: Some(_), .. }));
}

#[tokio::test]
async fn operation_with_its_settling_ends_by_its_deadline() {
    let fake = Fake::start(&[Act::Hang; 40]).await;
    fake.book.lock().unwrap().mute = true;
    let limits = Limits {
        call_ms: OPERATION_MS,
        stream_ms: OPERATION_MS,
        operation_ms: OPERATION_MS,
        ..Limits::simulation()
    };
    let options = Options { limits, ..Options::default() };
    let client = Client::lazy(std::slice::from_ref(&fake.endpoint), options).unwrap();
    let deltas = [Delta { key: key(), op: Op::Add { field: "n".into(), by: 1 } }];
    let both = async { tokio::join!(add_one(&client), client.submit(&deltas)) };
    // With a second deadline for what is asked afterwards it would be twice as long at least.
    let within = Duration::from_millis(OPERATION_MS * 9 / 5);
    let (run, submitted) = tokio::time::timeout(within, both).await.expect("it ends in time");
    for error in [run.err(), submitted.err()] {
        let unknown = matches!(error, Some(ClientError::OutcomeUnknown { request: Some(_), .. }));
        assert!(unknown, "{error:?}");
    }
}

#[tokio::test]
async fn commit_that_cannot_be_asked_for_is_found_by_taking_the_request_id() {
    let script = [Act::Lose { committed: true }, Act::RollBack { retryable: false }];
    let fake = Fake::start(&script).await;
    fake.book.lock().unwrap().deaf = u32::MAX;
    let done = add_one(&client(&fake)).await.unwrap();
    assert_eq!(done.value, 1);
    assert_eq!(fake.book.lock().unwrap().commits.len(), 1);
}

#[tokio::test]
async fn attempt_that_nobody_heard_of_is_shut_out_before_the_run_fails() {
    let fake = Fake::start(&[Act::LoseUnheard, Act::RollBack { retryable: false }]).await;
    let error = add_one(&client(&fake)).await.unwrap_err();
    assert!(matches!(error, ClientError::RolledBack(_)), "{error}");
    // What shuts it out is a commit of nothing under the run's request id.
    let book = fake.book.lock().unwrap();
    assert_eq!(book.commits.len(), 1);
    assert_eq!(book.commits[0].0.nonce, 3);
}

#[tokio::test]
async fn caller_that_gives_up_commits_nothing() {
    let fake = Fake::start(&[]).await;
    let client = client(&fake);
    let run = client.run(|txn| async move {
        txn.add(&key(), "n", 1).await?;
        Err::<(), _>(ClientError::caller("insufficient funds"))
    });
    let error = run.await.unwrap_err();
    assert_eq!(error.to_string(), "insufficient funds");
    let book = fake.book.lock().unwrap();
    assert_eq!((book.begun, book.commits.len()), (1, 0));
}

#[tokio::test]
async fn acknowledgement_of_other_bytes_fails_the_run() {
    let fake = Fake::start(&[Act::WrongAck]).await;
    let error = add_one(&client(&fake)).await.unwrap_err();
    assert!(matches!(error, ClientError::Evidence(_)), "{error}");
}

#[tokio::test]
async fn receipt_of_another_stream_is_not_believed() {
    let fake = Fake::start(&[Act::WrongReceipt]).await;
    let error = add_one(&client(&fake)).await.unwrap_err();
    assert!(matches!(error, ClientError::Evidence(_)), "{error}");
}

#[tokio::test]
async fn stream_of_more_frames_than_fit_does_not_block() {
    let fake = Fake::start(&[]).await;
    // Time enough: the machine may be busy.
    let limits = Limits { frames_in_flight_max: 2, ..Limits::production() };
    let options = Options { limits, ..Options::default() };
    let client = Client::lazy(std::slice::from_ref(&fake.endpoint), options).unwrap();
    let run = client.run(|txn| async move {
        for _ in 0..1_000 {
            txn.add(&key(), "n", 1).await?;
        }
        Ok(())
    });
    let done = run.await.unwrap();
    assert_eq!(done.committed.evidence.deltas.len(), 1_000);
    assert!(done.committed.evidence.verify().is_ok());
}

#[tokio::test]
async fn transaction_that_touches_nothing_is_refused() {
    let fake = Fake::start(&[]).await;
    let error = client(&fake).run(|_| async { Ok(()) }).await.unwrap_err();
    assert!(matches!(error, ClientError::Input(_)));
    assert_eq!(fake.book.lock().unwrap().begun, 0);
}

#[tokio::test]
async fn lost_submission_is_sent_again_and_applied_once() {
    let fake = Fake::start(&[Act::Lose { committed: true }]).await;
    let deltas = [Delta { key: key(), op: Op::Add { field: "n".into(), by: 1 } }];
    let committed = client(&fake).submit(&deltas).await.unwrap();
    assert!(committed.replayed);
    assert_eq!(committed.evidence.deltas.len(), 1);
    assert_eq!(fake.book.lock().unwrap().commits.len(), 1);
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_certain() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let options = Options { limits: Limits::simulation(), ..Options::default() };
    let client = Client::lazy(&[endpoint], options).unwrap();
    let deltas = [Delta { key: key(), op: Op::Delete }];
    let error = client.submit(&deltas).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { sent: false, .. }), "{error}");
}
