//! What became of attempts whose answer was lost.
//!
//! First the cluster is asked, by transaction id and by request id. Where it has never heard of an
//! attempt, that is no proof: its seal may still be on the way. Then the request id itself is
//! taken: an empty transaction commits under it, and since at most one attempt commits under one
//! id, every other one is dead from then on. Or an attempt had it already; then that one won.

use vatic_core::hash::Hash;
use vatic_core::id::Tid;
use vatic_core::key::Key;

use crate::attempt::{Attempt, Plan};
use crate::call::Attempts;
use crate::client::Client;
use crate::error::ClientError;
use crate::outcome::{Committed, Outcome};
use crate::request::{OutcomeOf, Request};
use crate::run::Done;

/// An attempt whose answer was lost, with what it would answer.
#[derive(Debug)]
pub(crate) struct Lost<T> {
    tid: Tid,
    home: Key,
    seed: Option<Hash>,
    deltas: Vec<Vec<u8>>,
    value: T,
}

/// The state of a request.
enum Claim {
    /// It is ours: no attempt has committed or ever will.
    Free,
    /// An attempt committed it.
    Won(Box<Committed>),
    /// Nobody could say.
    Open,
}

impl<T> Lost<T> {
    /// Keeps an attempt that was sealed: it has begun, so it has an id and a home.
    pub(crate) fn keep(attempt: &mut Attempt, value: T) -> Option<Self> {
        let (tid, home) = (attempt.tid()?, attempt.home()?.clone());
        Some(Lost { tid, home, seed: attempt.seed(), deltas: attempt.take_deltas(), value })
    }
}

/// Ends a run with a commit that was learnt of afterwards.
pub(crate) fn won<T>(
    lost: Vec<Lost<T>>,
    mut committed: Committed,
    attempts: u32,
) -> Result<Done<T>, ClientError> {
    let Some(winner) = lost.into_iter().find(|attempt| attempt.tid == committed.tid) else {
        return Err(ClientError::OutcomeUnknown {
            tid: Some(committed.tid),
            request: None,
            message: "an attempt committed that this run did not make".to_owned(),
        });
    };
    committed.evidence.deltas = winner.deltas;
    committed.evidence.verify_as(committed.tid, winner.seed, committed.version)?;
    Ok(Done { value: winner.value, committed, attempts })
}

impl Client {
    /// Asks what became of the lost attempts: the one that committed, if one did. Those that are
    /// known to be dead are dropped from the list.
    pub(crate) async fn ask_after<T>(
        &self,
        plan: &Plan,
        lost: &mut Vec<Lost<T>>,
    ) -> Option<Committed> {
        for attempt in std::mem::take(lost) {
            match self.outcome_until(plan.end, OutcomeOf::Transaction(attempt.tid)).await {
                Ok(Outcome::Committed(committed)) => {
                    lost.push(attempt);
                    return Some(*committed);
                }
                Ok(Outcome::RolledBack(_)) => {}
                Ok(Outcome::Unknown) | Err(_) => lost.push(attempt),
            }
        }
        let request = plan.request.as_deref().filter(|_| !lost.is_empty())?;
        match self.outcome_until(plan.end, OutcomeOf::Request(request)).await {
            Ok(Outcome::Committed(committed)) => Some(*committed),
            _ => None,
        }
    }

    /// The end of a run that did not commit as far as it knows: with its error, if no attempt can
    /// commit any more.
    pub(crate) async fn give_up<T>(
        &self,
        plan: &Plan,
        mut lost: Vec<Lost<T>>,
        error: ClientError,
        attempts: u32,
    ) -> Result<Done<T>, ClientError> {
        if lost.is_empty() {
            return Err(error);
        }
        if let Some(committed) = self.ask_after(plan, &mut lost).await {
            return won(lost, committed, attempts);
        }
        let Some(open) = lost.first() else { return Err(error) };
        match self.claim(plan, &open.home).await {
            Claim::Free => Err(error),
            Claim::Won(committed) => won(lost, *committed, attempts),
            Claim::Open => Err(ClientError::OutcomeUnknown {
                tid: Some(open.tid),
                request: plan.request.as_deref().map(Request::to_string),
                message: error.to_string(),
            }),
        }
    }

    /// Takes the request id with an empty transaction, unless an attempt has it.
    async fn claim(&self, plan: &Plan, home: &Key) -> Claim {
        if plan.request.is_none() {
            return Claim::Open;
        }
        let mut attempts = Attempts::new(self, plan.end);
        let mut own = Vec::new();
        loop {
            let node = attempts.node(Some(&home.partition));
            let mut attempt =
                Attempt::new(self.clone(), plan.clone(), Some(node.clone()), attempts.end());
            let ended = attempt.commit_empty(home).await;
            own.extend(attempt.tid());
            let error = match ended {
                Ok(Outcome::Committed(committed)) if own.contains(&committed.tid) => {
                    return Claim::Free;
                }
                Ok(Outcome::Committed(committed)) => return Claim::Won(committed),
                Ok(Outcome::RolledBack(rollback)) => ClientError::RolledBack(rollback),
                Ok(Outcome::Unknown) => ClientError::OutcomeUnknown {
                    tid: attempt.tid(),
                    request: None,
                    message: "the gateway does not know".to_owned(),
                },
                Err(error) => error,
            };
            let again = error.retryable() || error.may_have_happened();
            if !again || !attempts.again(&error, Some(&node), Some(&home.partition)).await {
                return Claim::Open;
            }
        }
    }
}
