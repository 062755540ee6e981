//! One-shot transactions.
//!
//! A submission has a request id, so it may be sent again whenever the answer is lost: the cluster
//! applies it once and repeats the original outcome. A lost answer that nobody settles in time
//! is reported as unknown, even where a later attempt was refused: an earlier one may still win.

use tokio::time::Instant;
use vatic_core::codec;
use vatic_core::delta::Delta;
use vatic_proto::v1;

use crate::call::Attempts;
use crate::client::Client;
use crate::convert;
use crate::error::ClientError;
use crate::outcome::{Committed, Outcome};
use crate::pool::Node;
use crate::request::{OutcomeOf, Request};

impl Client {
    /// Applies all deltas as one transaction. Errors: `RolledBack` where it was, for good or at
    /// the last attempt; `OutcomeUnknown` where nobody could say in time.
    pub async fn submit(&self, deltas: &[Delta]) -> Result<Committed, ClientError> {
        self.submit_as(&Request::mint(), deltas).await
    }

    /// The same under a request id of the caller's, which must not be used for other deltas.
    pub async fn submit_as(
        &self,
        request: &Request,
        deltas: &[Delta],
    ) -> Result<Committed, ClientError> {
        let Some(first) = deltas.first() else {
            return Err(ClientError::Input("a submission needs at least one delta".to_owned()));
        };
        deltas.iter().try_for_each(|delta| delta.key.check())?;
        let partition = first.key.partition.as_str();
        request.route_by(partition);
        let encoded: Vec<Vec<u8>> = deltas.iter().map(codec::encode).collect();
        let mut message = self.with_options(message(Some(request), &encoded));
        let end = self.operation_end();
        let mut attempts = Attempts::before_settling(self, end);
        let mut uncertain = false;
        loop {
            let node = attempts.node(Some(partition));
            let error = match self.submit_once(&message, &encoded, &node, attempts.end()).await {
                Ok(committed) => return Ok(committed),
                Err(error) => error,
            };
            uncertain |= error.may_have_happened();
            message.rollbacks += u32::from(matches!(error, ClientError::RolledBack(_)));
            let again = error.retryable() || error.may_have_happened();
            if !again || !attempts.again(&error, Some(&node), Some(partition)).await {
                let uncertain = uncertain && !matches!(error, ClientError::Evidence(_));
                return if uncertain {
                    self.settle(request, encoded, error, end).await
                } else {
                    Err(error)
                };
            }
        }
    }

    async fn submit_once(
        &self,
        message: &v1::SubmitRequest,
        encoded: &[Vec<u8>],
        node: &Node,
        end: Instant,
    ) -> Result<Committed, ClientError> {
        let request = self.request_until(end, message.clone());
        let mut service = self.transactions(node);
        let answer = self.ask_once("Submit", node, end, service.submit(request)).await?;
        let outcome = answer.outcome.ok_or_else(|| node.broke("Submit without outcome"))?;
        if let Some(id) = &message.request_id {
            self.learn_route(&id.route_key, outcome.route.clone());
        }
        match convert::outcome_in(outcome, encoded.to_vec()).map_err(|what| node.broke(what))? {
            Outcome::Committed(committed) => verified(*committed),
            Outcome::RolledBack(rollback) => Err(ClientError::RolledBack(rollback)),
            Outcome::Unknown => Err(ClientError::OutcomeUnknown {
                tid: None,
                request: None,
                message: "the gateway does not know".to_owned(),
            }),
        }
    }

    /// With this client's priority and strategy.
    pub(crate) fn with_options(&self, message: v1::SubmitRequest) -> v1::SubmitRequest {
        let options = &self.inner.options;
        let strategy = convert::strategy_out(options.strategy).into();
        v1::SubmitRequest { priority: options.priority.into(), strategy, ..message }
    }

    /// The last word on a request of which some attempt was lost.
    pub(crate) async fn settle(
        &self,
        request: &Request,
        encoded: Vec<Vec<u8>>,
        last: ClientError,
        end: Instant,
    ) -> Result<Committed, ClientError> {
        if let Ok(Outcome::Committed(mut committed)) =
            self.outcome_until(end, OutcomeOf::Request(request)).await
        {
            committed.evidence.deltas = encoded;
            return verified(*committed);
        }
        let tid = if let ClientError::OutcomeUnknown { tid, .. } = &last { *tid } else { None };
        Err(ClientError::OutcomeUnknown {
            tid,
            request: Some(request.to_string()),
            message: last.to_string(),
        })
    }
}

/// What one submission sends.
pub(crate) fn message(request: Option<&Request>, encoded: &[Vec<u8>]) -> v1::SubmitRequest {
    v1::SubmitRequest {
        request_id: request.and_then(convert::request_out),
        transitions: transitions(encoded),
        seed: None,
        isolation: v1::Isolation::Unspecified.into(),
        token: 0,
        priority: 0,
        strategy: v1::Strategy::Unspecified.into(),
        rollbacks: 0,
    }
}

pub(crate) fn verified(committed: Committed) -> Result<Committed, ClientError> {
    committed.evidence.verify_as(committed.tid, None, committed.version)?;
    Ok(committed)
}

pub(crate) fn transitions(encoded: &[Vec<u8>]) -> Vec<v1::Transition> {
    (1..).zip(encoded).map(|(seq, delta)| convert::transition_out(seq, delta)).collect()
}
