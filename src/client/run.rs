//! Whole transactions: a closure, run until it commits or cannot.
//!
//! The argument for exactly-once: all attempts of one run carry one request id, and each attempt
//! writes the request's record expecting its absence, so at most one of them commits. An attempt
//! whose answer was lost is kept, with its result and what it sent, until it is known to be dead; a
//! run never ends with an ordinary error while such an attempt is open. So an error other than
//! `OutcomeUnknown` means that nothing was committed.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vatic_core::strategy::Strategy;

use crate::attempt::{Attempt, Plan};
use crate::call::Attempts;
use crate::client::Client;
use crate::error::ClientError;
use crate::foresight::{Foresight, Notice};
use crate::outcome::{Committed, Outcome, Rollback};
use crate::pool::Node;
use crate::request::Request;
use crate::settle::{Lost, won};
use crate::transaction::Transaction;

/// A committed run.
#[derive(Debug, Clone)]
pub struct Done<T> {
    /// What the closure returned in the attempt that committed.
    pub value: T,
    /// The commit, its receipt verified against what was sent.
    pub committed: Committed,
    /// Attempts that it took.
    pub attempts: u32,
}

/// Watches runs; each method is called once for each event, from the task that runs.
pub trait Observer: Send + Sync {
    /// An attempt was rolled back.
    fn rolled_back(&self, _rollback: &Rollback) {}
    /// An attempt failed before it was sealed, and did nothing.
    fn failed(&self, _error: &ClientError) {}
    /// The answer to a sealed attempt was lost.
    fn lost(&self, _error: &ClientError) {}
    /// A run committed; `commit` is from seal to outcome, of the last attempt.
    fn committed(&self, _commit: Duration) {}
    /// Something was told of an attempt which the closure did not take from the transaction: the
    /// verdict, and what came with it. Told when the attempt has ended.
    fn told(&self, _notice: &Notice) {}
}

struct Silent;

impl Observer for Silent {}

/// How to run a transaction.
pub struct Runner<'a> {
    client: &'a Client,
    exactly_once: bool,
    strategy: Option<Strategy>,
    foresight: Foresight,
    observer: &'a dyn Observer,
}

/// How one attempt ended.
enum End<T> {
    Committed(T, Box<Committed>),
    /// An earlier attempt of this run had committed already.
    Replayed(Box<Committed>),
    Again(ClientError),
    Failed(ClientError),
    Lost(T, ClientError),
}

impl Client {
    /// Runs the closure as a transaction: strict, exactly once, retried on conflicts.
    ///
    /// The closure may run several times, so it must have no other effects. It ends the transaction
    /// without a commit by returning [`ClientError::caller`].
    pub async fn run<T, F, Body>(&self, body: F) -> Result<Done<T>, ClientError>
    where
        F: FnMut(Transaction) -> Body,
        Body: Future<Output = Result<T, ClientError>>,
    {
        self.transaction().run(body).await
    }

    /// To choose how a transaction runs.
    pub fn transaction(&self) -> Runner<'_> {
        Runner {
            client: self,
            exactly_once: true,
            strategy: self.inner.options.strategy,
            foresight: Foresight::default(),
            observer: &Silent,
        }
    }
}

impl<'a> Runner<'a> {
    /// Whether the run has a request id. Without one a lost answer to a transaction that wrote is
    /// `OutcomeUnknown` at once; reading transactions need none.
    #[must_use]
    pub fn exactly_once(mut self, yes: bool) -> Self {
        self.exactly_once = yes;
        self
    }

    /// What is done about conflicts, in place of what the client's options or the collection say.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// What to be told of each attempt while it runs: [`Transaction::next_notice`] has it.
    #[must_use]
    pub fn foresee(mut self, foresight: Foresight) -> Self {
        self.foresight = foresight;
        self
    }

    /// Tells what happens on the way.
    #[must_use]
    pub fn observe(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Runs the closure until it commits or cannot.
    pub async fn run<T, F, Body>(self, mut body: F) -> Result<Done<T>, ClientError>
    where
        F: FnMut(Transaction) -> Body,
        Body: Future<Output = Result<T, ClientError>>,
    {
        let mut plan = self.plan();
        let mut attempts = Attempts::before_settling(self.client, plan.end);
        let mut lost: Vec<Lost<T>> = Vec::new();
        let mut count = 0;
        loop {
            count += 1;
            let wanted = Some(attempts.node(None));
            let attempt = Attempt::new(self.client.clone(), plan.clone(), wanted, attempts.end());
            let transaction = Transaction::new(attempt);
            let result = body(transaction.clone()).await;
            let mut attempt = transaction.lock().await;
            let end = self.close(&mut attempt, result).await;
            attempt.take_notices().iter().for_each(|notice| self.observer.told(notice));
            let error = match end {
                End::Committed(value, committed) => {
                    let committed = *committed;
                    return Ok(Done { value, committed, attempts: count });
                }
                End::Replayed(committed) => return won(lost, *committed, count),
                End::Failed(error) => return self.client.give_up(&plan, lost, error, count).await,
                End::Again(error) => {
                    plan.rollbacks += u32::from(matches!(error, ClientError::RolledBack(_)));
                    error
                }
                End::Lost(value, error) => {
                    // Without writes and without a request id nothing hangs on the answer.
                    if attempt.wrote() || plan.request.is_some() {
                        lost.extend(Lost::keep(&mut attempt, value));
                    }
                    if let Some(committed) = self.client.ask_after(&plan, &mut lost).await {
                        return won(lost, committed, count);
                    }
                    if plan.request.is_none() && !lost.is_empty() {
                        return self.client.give_up(&plan, lost, error, count).await;
                    }
                    error
                }
            };
            let node: Option<Node> = attempt.node();
            let home = attempt.home().map(|key| key.partition.clone());
            drop(attempt);
            if !attempts.again(&error, node.as_ref(), home.as_deref()).await {
                return self.client.give_up(&plan, lost, error, count).await;
            }
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            request: self.exactly_once.then(|| Arc::new(Request::mint())),
            strategy: self.strategy,
            foresight: self.foresight,
            rollbacks: 0,
            end: self.client.operation_end(),
        }
    }

    /// Commits what the closure left, or aborts it.
    async fn close<T>(&self, attempt: &mut Attempt, result: Result<T, ClientError>) -> End<T> {
        let value = match result {
            Ok(value) => value,
            Err(error) => return self.close_failed(attempt, error).await,
        };
        let sealed = Instant::now();
        match attempt.commit().await {
            Ok(Outcome::Committed(committed)) if Some(committed.tid) == attempt.tid() => {
                self.observer.committed(sealed.elapsed());
                let (tid, version) = (committed.tid, committed.version);
                match committed.evidence.verify_as(tid, attempt.seed(), version) {
                    Ok(()) => End::Committed(value, committed),
                    Err(fault) => End::Failed(ClientError::Evidence(fault)),
                }
            }
            Ok(Outcome::Committed(committed)) => End::Replayed(committed),
            Ok(Outcome::RolledBack(rollback)) => self.rolled_back(*rollback),
            Ok(Outcome::Unknown) => {
                let message = "the gateway does not know".to_owned();
                let tid = attempt.tid();
                let error = ClientError::OutcomeUnknown { tid, request: None, message };
                self.observer.lost(&error);
                End::Lost(value, error)
            }
            Err((error, true)) if error.may_have_happened() => {
                self.observer.lost(&error);
                End::Lost(value, error)
            }
            Err((error, _)) => self.close_failed(attempt, error).await,
        }
    }

    /// After an error before the commit: the server's word counts more than the closure's.
    async fn close_failed<T>(&self, attempt: &mut Attempt, error: ClientError) -> End<T> {
        match attempt.outcome() {
            Some(Ok(Outcome::RolledBack(rollback))) => return self.rolled_back(*rollback),
            Some(Ok(Outcome::Committed(committed))) => return End::Replayed(committed),
            Some(Ok(Outcome::Unknown) | Err(_)) | None => {}
        }
        if error.retryable() {
            self.observer.failed(&error);
            return End::Again(error);
        }
        match attempt.abort().await {
            Ok(Outcome::RolledBack(rollback)) => self.observer.rolled_back(&rollback),
            // The stream is dropped all the same, and what is not sealed cannot commit.
            _ => self.observer.failed(&error),
        }
        End::Failed(error)
    }

    fn rolled_back<T>(&self, rollback: Rollback) -> End<T> {
        self.observer.rolled_back(&rollback);
        let retryable = rollback.retryable;
        let error = ClientError::RolledBack(Box::new(rollback));
        if retryable { End::Again(error) } else { End::Failed(error) }
    }
}
