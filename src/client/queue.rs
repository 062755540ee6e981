//! Transactions that are to happen without anybody waiting for them.

use vatic_core::codec;
use vatic_core::delta::Delta;
use vatic_core::id::{Tid, Timestamp};
use vatic_proto::v1;

use crate::call::Attempts;
use crate::client::Client;
use crate::convert;
use crate::error::ClientError;
use crate::request::Request;
use crate::submit;

/// How far a ticket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketState {
    /// No such ticket, or it was resolved more than a quarter of an hour ago.
    Unknown,
    /// It waits, or is under way.
    Queued,
    /// It happened, once.
    Committed {
        /// The transaction that it was.
        tid: Tid,
        /// Its version.
        version: Timestamp,
    },
    /// It cannot happen: why.
    RolledBack(String),
    /// It was taken back before it happened.
    Cancelled,
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Whether dispatching is stopped.
    pub paused: bool,
    /// How many wait, up to `tickets_max`, by group, ascending.
    pub groups: Vec<(u32, u32)>,
}

impl Client {
    /// Queues a transaction of these deltas. Under a request id it can be asked for again, and is
    /// the same ticket; without one it gets one of its own, so that it is queued once.
    pub async fn enqueue(
        &self,
        request: Option<&Request>,
        priority: u8,
        deltas: &[Delta],
    ) -> Result<String, ClientError> {
        deltas.iter().try_for_each(|delta| delta.key.check())?;
        let Some(first) = deltas.first() else {
            return Err(ClientError::Input("a ticket needs at least one delta".to_owned()));
        };
        let partition = first.key.partition.as_str();
        let own = Request::mint();
        let request = request.unwrap_or(&own);
        request.route_by(partition);
        let encoded: Vec<Vec<u8>> = deltas.iter().map(codec::encode).collect();
        let message = v1::EnqueueRequest {
            transitions: submit::transitions(&encoded),
            priority: u32::from(priority),
            request_id: convert::request_out(request),
        };
        let mut attempts = Attempts::new(self, self.operation_end());
        let mut uncertain = false;
        loop {
            let node = attempts.node(Some(partition));
            let mut service = self.queue_service(&node);
            let asked = service.enqueue(self.request(message.clone()));
            let error = match self.ask_once("Enqueue", &node, attempts.end(), asked).await {
                Ok(answer) => return Ok(answer.ticket),
                Err(error) => error,
            };
            uncertain |= error.may_have_happened();
            let again = error.retryable() || error.may_have_happened();
            if again && attempts.again(&error, Some(&node), Some(partition)).await {
                continue;
            }
            return Err(match uncertain {
                true => ClientError::OutcomeUnknown {
                    tid: None,
                    request: Some(request.to_string()),
                    message: error.to_string(),
                },
                false => error,
            });
        }
    }

    /// How far a ticket is, once it is resolved or after so long.
    pub async fn ticket(&self, ticket: &str, wait_ms: u32) -> Result<TicketState, ClientError> {
        let message = v1::GetTicketRequest { ticket: ticket.to_owned(), wait_ms };
        let (answer, node) = self
            .call("GetTicket", None, |node| {
                let request = self.request(message.clone());
                let mut service = self.queue_service(&node);
                async move { service.get_ticket(request).await }
            })
            .await?;
        Ok(match answer.state() {
            v1::TicketState::Unspecified => TicketState::Unknown,
            v1::TicketState::Queued => TicketState::Queued,
            v1::TicketState::Committed => TicketState::Committed {
                tid: convert::tid_in(&answer.transaction_id).map_err(|what| node.broke(what))?,
                version: Timestamp(answer.commit_version),
            },
            v1::TicketState::RolledBack => TicketState::RolledBack(answer.message),
            v1::TicketState::Cancelled => TicketState::Cancelled,
        })
    }

    /// Takes a ticket back; true unless it was resolved before.
    pub async fn cancel(&self, ticket: &str) -> Result<bool, ClientError> {
        let message = v1::CancelTicketRequest { ticket: ticket.to_owned() };
        let (answer, _) = self
            .call("CancelTicket", None, |node| {
                let request = self.request(message.clone());
                let mut service = self.queue_service(&node);
                async move { service.cancel_ticket(request).await }
            })
            .await?;
        Ok(answer.state() == v1::TicketState::Cancelled)
    }

    /// What waits.
    pub async fn queue(&self) -> Result<Queue, ClientError> {
        let (answer, _) = self
            .call("QueueStatus", None, |node| {
                let request = self.request(v1::QueueStatusRequest {});
                let mut service = self.queue_service(&node);
                async move { service.queue_status(request).await }
            })
            .await?;
        let groups = answer.groups.into_iter().map(|group| (group.group, group.queued));
        Ok(Queue { paused: answer.paused, groups: groups.collect() })
    }

    /// Stops dispatching, or goes on with it.
    pub async fn pause_queue(&self, paused: bool) -> Result<(), ClientError> {
        let message = v1::PauseQueueRequest { paused };
        self.call("PauseQueue", None, |node| {
            let request = self.request(message);
            let mut service = self.queue_service(&node);
            async move { service.pause_queue(request).await }
        })
        .await?;
        Ok(())
    }
}
