//! Gathers commands into entries: what arrives while a batch is in flight is the next batch.
//!
//! Why no timer: when the group is idle a command goes at once; when it is busy the batch is as
//! large as the pipeline is slow, which is just the size that keeps up. Where appends take
//! long several batches are in flight ([`RoundTrip`]).
//!
//! Within a batch the higher [`Rank`] goes first. What a batch had no room for is in the next one,
//! before all that came since: nothing is overtaken more than once.
//!
//! Invariants: the commands of a caller that waits for each reply keep their order, and so do all
//! of one rank; a command is
//! in one entry; a refusal (`NotLeader`) is given only to commands that are in no log. While a
//! batch hangs (a leader cut off from its peers), those behind it are still submitted after an
//! election's time, so that openraft can refuse them.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fail::fail_point;
use futures::stream::FuturesUnordered;
use futures::{Future, StreamExt};
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::batch::Commands;
use crate::error::ProposeError;
use crate::group::Applied;
use crate::limits::Limits;
use crate::metrics::{Metrics, Times};
use crate::round_trip::RoundTrip;
use crate::status::forwarded;
use crate::types::{Raft, Types};

/// Where a command goes among those that wait for the same entry: the larger first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub u128);

impl Rank {
    /// Before all that is ranked.
    pub const FIRST: Rank = Rank(u128::MAX);
}

pub(crate) struct Proposal {
    pub(crate) command: Bytes,
    pub(crate) rank: Rank,
    pub(crate) reply: oneshot::Sender<Result<Applied, ProposeError>>,
    pub(crate) since: Instant,
}

/// How large batches are, and how many are in flight.
pub(crate) struct Pace {
    pub(crate) limits: Arc<Limits>,
    pub(crate) round_trip: Arc<RoundTrip>,
}

/// What waits for an entry.
#[derive(Default)]
struct Gathered {
    /// The first `left_over` of them a batch had no room for.
    proposals: VecDeque<Proposal>,
    left_over: usize,
}

/// Who waits for the reply to a command, and how long that was queued.
type Waiters = Vec<(oneshot::Sender<Result<Applied, ProposeError>>, Duration)>;

/// Runs until every handle of the group is gone.
pub(crate) async fn run(
    raft: Raft,
    pace: Pace,
    metrics: Metrics,
    mut queue: mpsc::Receiver<Proposal>,
) {
    let Pace { limits, round_trip } = pace;
    let patience = Duration::from_millis(limits.election_max_ms);
    let mut in_flight = FuturesUnordered::new();
    let mut gathered = Gathered::default();
    let mut inbox = Vec::new();
    let mut open = true;
    let mut submitted = Instant::now();
    while open || !gathered.proposals.is_empty() || !in_flight.is_empty() {
        gathered.proposals.extend(inbox.drain(..));
        let with_it = in_flight.len() + 1;
        let full = in_flight.len() >= round_trip.batches(&limits, Instant::now());
        if !full && !gathered.proposals.is_empty() {
            in_flight.push(submit(&raft, &limits, &metrics, &mut gathered, with_it));
            submitted = Instant::now();
            continue;
        }
        let room = limits.batch_commands_max.saturating_sub(gathered.proposals.len());
        let (stalled_at, waits) = (submitted + patience, !gathered.proposals.is_empty());
        tokio::select! {
            biased;
            Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
            count = queue.recv_many(&mut inbox, room), if open && room > 0 => open = count > 0,
            () = tokio::time::sleep_until(stalled_at), if full && waits => {
                in_flight.push(submit(&raft, &limits, &metrics, &mut gathered, with_it));
                submitted = Instant::now();
            }
        }
    }
}

/// Takes the next batch; the future has nothing to do before it is polled, and ends when every
/// command of the batch is answered.
fn submit(
    raft: &Raft,
    limits: &Limits,
    metrics: &Metrics,
    gathered: &mut Gathered,
    in_flight: usize,
) -> impl Future<Output = ()> + use<> {
    let submitted = Instant::now();
    let (commands, waiters) = gathered.take_batch(limits, submitted);
    metrics.submitted(commands.len(), in_flight, waiters.iter().map(|(_, queued)| *queued));
    let (raft, metrics) = (raft.clone(), metrics.clone());
    async move {
        if commands.is_empty() {
            return;
        }
        fail_point!("consensus::propose");
        let (responder, written) = ProgressResponder::complete_only();
        if raft.client_write_ff(Commands(commands), Some(responder)).await.is_err() {
            return refuse(waiters, ProposeError::Stopped);
        }
        match written.await {
            Ok(Ok(written)) => {
                let committed = submitted.elapsed();
                metrics.commit_seconds.observe(committed.as_secs_f64());
                deliver(waiters, written.log_id.index, written.data.0, committed);
            }
            Ok(Err(error)) => refuse(waiters, refusal(error)),
            Err(_) => refuse(waiters, ProposeError::Unknown),
        }
    }
}

impl Gathered {
    fn take_batch(&mut self, limits: &Limits, now: Instant) -> (Vec<Bytes>, Waiters) {
        let fresh = &mut self.proposals.make_contiguous()[self.left_over..];
        // Stable: those of one rank keep their order.
        fresh.sort_by_key(|proposal| Reverse(proposal.rank));
        let (mut commands, mut waiters, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(proposal) = self.proposals.pop_front() {
            if proposal.reply.is_closed() {
                // The caller gave up before its command went anywhere.
                continue;
            }
            bytes += proposal.command.len();
            commands.push(proposal.command);
            waiters.push((proposal.reply, now - proposal.since));
            if commands.len() >= limits.batch_commands_max || bytes >= limits.batch_bytes_max {
                break;
            }
        }
        self.left_over = self.proposals.len();
        (commands, waiters)
    }
}

fn deliver(waiters: Waiters, index: u64, replies: Vec<Bytes>, committed: Duration) {
    assert_eq!(waiters.len(), replies.len(), "the machine gives one reply for each command");
    for ((waiter, queued), reply) in waiters.into_iter().zip(replies) {
        let times = Times { queued, committed };
        // An error: the caller gave up.
        let _ = waiter.send(Ok(Applied { index, reply, times }));
    }
}

fn refuse(waiters: Waiters, error: ProposeError) {
    for (waiter, _) in waiters {
        let _ = waiter.send(Err(error.clone()));
    }
}

fn refusal(error: ClientWriteError<Types>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => {
            ProposeError::NotLeader { hint: forwarded(forward) }
        }
        // The other two answer membership changes; for a command they would be a surprise.
        ClientWriteError::LogEntryDiscarded(_)
        | ClientWriteError::ChangeMembershipError(_)
        | ClientWriteError::PreconditionFailed(_) => ProposeError::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proposals named by a letter, and who waits for them.
    fn gather(gathered: &mut Gathered, of: &[(&'static str, u128)]) -> Vec<impl Sized + use<>> {
        let proposal = |&(name, rank): &(&'static str, u128)| {
            let (reply, waiter) = oneshot::channel();
            let (command, since) = (Bytes::from_static(name.as_bytes()), Instant::now());
            gathered.proposals.push_back(Proposal { command, rank: Rank(rank), reply, since });
            waiter
        };
        of.iter().map(proposal).collect()
    }

    fn batch(gathered: &mut Gathered, batch_commands_max: usize) -> String {
        let limits = Limits { batch_commands_max, ..Limits::production() };
        let (commands, _) = gathered.take_batch(&limits, Instant::now());
        commands.iter().map(|command| str::from_utf8(command).unwrap()).collect()
    }

    #[tokio::test]
    async fn higher_ranks_go_first_and_equal_ones_as_they_came() {
        let mut gathered = Gathered::default();
        let first = Rank::FIRST.0;
        let _waiters =
            gather(&mut gathered, &[("a", 1), ("b", first), ("c", 2), ("d", 1), ("e", first)]);
        assert_eq!(batch(&mut gathered, 9), "becad");
        assert_eq!(batch(&mut gathered, 9), "");
    }

    #[tokio::test]
    async fn what_a_batch_had_no_room_for_is_not_overtaken_again() {
        let mut gathered = Gathered::default();
        let _waiters = gather(&mut gathered, &[("a", 1), ("b", 3), ("c", 2)]);
        assert_eq!(batch(&mut gathered, 1), "b");
        let _later = gather(&mut gathered, &[("d", 4), ("e", 9)]);
        assert_eq!(batch(&mut gathered, 2), "ca");
        assert_eq!(batch(&mut gathered, 2), "ed");
    }

    #[tokio::test]
    async fn whose_caller_gave_up_goes_nowhere() {
        let mut gathered = Gathered::default();
        drop(gather(&mut gathered, &[("a", 2)]));
        let _waiters = gather(&mut gathered, &[("b", 1)]);
        assert_eq!(batch(&mut gathered, 1), "b");
    }
}
