//! Appends of one group to one follower, several in flight.
//!
//! Why pipelined: with one append at a time a follower gets one batch a round trip and an fsync,
//! however many are ready; with a window its log's group commit takes what arrived meanwhile.
//!
//! Why some are held: openraft tells each advance of the commit index at once, in an append of its
//! own where there are no entries to send. In a busy group the next entries are a moment away and
//! tell it as well: without the wait every second message, and its reply, says nothing more.
//!
//! Invariants: requests go to the lane in the order openraft made them, results come back in that
//! order; one without entries may be left out where a later one says all that it says, for openraft
//! counts what is acknowledged by log id; after the first error nothing more is sent, and openraft
//! starts a new pipeline from what was acknowledged.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::time::{Instant, Sleep};
use vatic_proto::peer::v1::Kind;

use super::lane::{PendingReply, ReplyResult, SendError};
use super::link::{AppendResult, Link, next_session, unreachable};
use crate::codec;
use crate::seeded::{Bug, planted};
use crate::types::{LogId, Types};

pub(crate) struct Pipeline<'l, S> {
    link: &'l Link,
    input: S,
    session: u64,
    state: State,
    window: VecDeque<InFlight>,
    /// Of the oldest append in flight.
    deadline: Pin<Box<Sleep>>,
    /// An append that only tells how far the log is committed.
    held: Option<AppendEntriesRequest<Types>>,
    /// Until when it may wait for entries.
    hold: Pin<Box<Sleep>>,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    /// openraft has no more requests; the replies to those sent still come.
    Draining,
    Ended,
}

struct InFlight {
    answer: PendingReply,
    sent: Instant,
    due: Instant,
    /// The last entry of whoever takes it.
    last: Option<LogId>,
}

impl<'l, S> Pipeline<'l, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    pub(crate) fn new(link: &'l Link, input: S) -> Self {
        Self {
            link,
            input,
            session: next_session(),
            state: State::Open,
            window: VecDeque::new(),
            deadline: Box::pin(tokio::time::sleep(Duration::ZERO)),
            held: None,
            hold: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Sends while there are requests and room in the window.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), SendError> {
        while self.state == State::Open && self.window.len() < self.link.limits.append_window {
            match self.input.poll_next_unpin(cx) {
                Poll::Pending => return self.end_hold(cx),
                Poll::Ready(None) => self.state = State::Draining,
                Poll::Ready(Some(request)) if request.entries.is_empty() => self.keep(request),
                Poll::Ready(Some(request)) => {
                    self.held = None;
                    self.send(&request)?;
                }
            }
        }
        if self.state == State::Draining { self.send_held() } else { Ok(()) }
    }

    /// The wait is from the first on: a group that only ever commits is told of it in time.
    fn keep(&mut self, request: AppendEntriesRequest<Types>) {
        if self.held.replace(request).is_none() {
            let until = Instant::now() + Duration::from_millis(self.link.limits.commit_hold_ms);
            self.hold.as_mut().reset(until);
        }
    }

    fn end_hold(&mut self, cx: &mut Context<'_>) -> Result<(), SendError> {
        match self.held.is_some() && self.hold.as_mut().poll(cx).is_ready() {
            true => self.send_held(),
            false => Ok(()),
        }
    }

    fn send_held(&mut self) -> Result<(), SendError> {
        self.held.take().map_or(Ok(()), |request| self.send(&request))
    }

    fn send(&mut self, request: &AppendEntriesRequest<Types>) -> Result<(), SendError> {
        let envelope = self.link.envelope(Kind::Append, self.session, codec::encode(request));
        let answer = self.link.append_lane().send(envelope)?;
        let sent = Instant::now();
        let due = sent + Duration::from_millis(self.link.limits.append_deadline_ms);
        self.window.push_back(InFlight {
            answer,
            sent,
            due,
            last: request.entries.last().map(RaftEntry::log_id).or(request.prev_log_id),
        });
        Ok(())
    }

    /// The reply to the oldest append, or its deadline.
    fn poll_oldest(&mut self, cx: &mut Context<'_>) -> Poll<ReplyResult> {
        let Some(oldest) = self.window.front_mut() else { return Poll::Pending };
        if let Poll::Ready(reply) = Pin::new(&mut oldest.answer).poll(cx) {
            // What fails at once took no way.
            if reply.is_ok() {
                let now = Instant::now();
                let took = now - oldest.sent;
                self.link.append_seconds.observe(took.as_secs_f64());
                self.link.round_trip().observe(took, now);
            }
            self.window.pop_front();
            return Poll::Ready(reply);
        }
        if self.deadline.deadline() != oldest.due {
            self.deadline.as_mut().reset(oldest.due);
        }
        let limit = Duration::from_millis(self.link.limits.append_deadline_ms);
        self.deadline.as_mut().poll(cx).map(|()| Err(SendError::Deadline(limit)))
    }

    fn end(&mut self, error: SendError) -> Poll<Option<AppendResult>> {
        self.state = State::Ended;
        self.window.clear();
        Poll::Ready(Some(Err(unreachable(error))))
    }
}

impl<S> Stream for Pipeline<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    type Item = AppendResult;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AppendResult>> {
        let this = &mut *self;
        if let Err(error) = this.fill(cx) {
            return this.end(error);
        }
        match this.poll_oldest(cx) {
            Poll::Ready(Ok(body)) => {
                let Ok(result) = codec::decode::<StreamAppendResult<Types>>(&body) else {
                    return this.end(SendError::BadReply);
                };
                if result.is_err() {
                    this.state = State::Ended;
                    this.window.clear();
                }
                Poll::Ready(Some(Ok(result)))
            }
            Poll::Ready(Err(SendError::Deadline(_))) if planted(Bug::SilenceCounted) => {
                let unanswered = this.window.pop_front();
                Poll::Ready(Some(Ok(Ok(unanswered.and_then(|flying| flying.last)))))
            }
            Poll::Ready(Err(error)) => this.end(error),
            Poll::Pending if this.window.is_empty() && this.state != State::Open => {
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
