//! openraft's log, over one replica of the node's write-ahead log.
//!
//! Why so thin: the order of votes and entries, the group commit and the cache are the log's; here
//! is only how an entry is written down, and when openraft is told.
//!
//! Invariants: entries are readable when `append` returns, and openraft hears `io_completed` only
//! after their fsync; a vote is on disk when `save_vote` returns; nothing is purged that a crash
//! would still need, that is, past what the store has flushed.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use fail::fail_point;
use futures::{Stream, StreamExt, stream};
use openraft::OptionalSend;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use tokio::sync::oneshot;
use vatic_log::ReplicaLog;

use crate::codec::{decode, encode};
use crate::fatal::Fatal;
use crate::limits::Limits;
use crate::seeded::{Bug, planted};
use crate::types::{Entry, LogId, Payload, Types, Vote, log_id};

/// Entries looked up at once; the bytes of what was read decide whether to go on.
const READ_STEP: u64 = 32;

/// How far the log may be purged: the index that the store has flushed.
pub(crate) type PurgeBound = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct LogStore {
    log: ReplicaLog,
    limits: Arc<Limits>,
    fatal: Fatal,
    purge_bound: PurgeBound,
}

impl LogStore {
    pub(crate) fn new(
        log: ReplicaLog,
        limits: Arc<Limits>,
        fatal: Fatal,
        purge_bound: PurgeBound,
    ) -> Self {
        Self { log, limits, fatal, purge_bound }
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let (mut next, mut bytes) = (from, 0);
        while next < to && bytes < bytes_max {
            let stored = self.log.read(next..to.min(next + READ_STEP))?;
            let Some(last) = stored.last() else { break };
            next = last.index + 1;
            for entry in stored {
                bytes += entry.payload.len();
                entries.push(loaded(&entry)?);
            }
        }
        // The last step may have gone over; what is beyond the bound is only read again.
        truncate_to_bytes(&mut entries, bytes_max);
        Ok(entries)
    }

    fn bounds(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let state = self.log.state();
        let purged = state.purged.map_or(0, |(index, _)| index + 1);
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = state.last.map_or(0, |(index, _)| index + 1);
        let to = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => end,
        };
        (from.max(purged), to.min(end))
    }

    /// What a write that is waited for answers.
    async fn written(&self, answer: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
        let result = answer.await.unwrap_or_else(|_| Err(closed()));
        if let Err(error) = &result {
            report(&self.fatal, error);
        }
        result
    }
}

/// Keeps at least one entry, and drops what came after `bytes_max` was reached.
fn truncate_to_bytes(entries: &mut Vec<Entry>, bytes_max: usize) {
    let mut bytes = 0;
    let kept = entries.iter().take_while(|entry| {
        let before = bytes;
        bytes += size(entry);
        before < bytes_max
    });
    let kept = kept.count();
    entries.truncate(kept);
}

fn size(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(commands) => commands.0.iter().map(|command| command.len() + 4).sum(),
        _ => 1,
    }
}

fn stored(entry: &Entry) -> vatic_log::Entry {
    let LogId { leader_id, index } = entry.log_id;
    vatic_log::Entry { index, term: leader_id.term, payload: encode(&entry.payload) }
}

fn loaded(entry: &vatic_log::Entry) -> io::Result<Entry> {
    let payload = decode::<Payload>(&entry.payload)?;
    Ok(Entry::new(log_id(entry.term, entry.index), payload))
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed")
}

/// A log that was closed on purpose is not a failure of the node.
pub(crate) fn report(fatal: &Fatal, error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        fatal.raise(&format!("the log failed: {error}"));
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = self.bounds(&range);
        self.read(from, to, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote = self.log.state().vote.filter(|_| !planted(Bug::VoteNotRead));
        Ok(vote.map(|vote| decode(&vote)).transpose()?)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, self.limits.append_bytes_max)
    }

    /// What is to be applied, a part at a time: after an election it can be much.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = self.bounds(&range);
        let parts = stream::unfold((self.clone(), from), move |(log, next)| async move {
            if next >= to {
                return None;
            }
            let read = log.read(next, to, log.limits.append_bytes_max);
            let (part, next) = match read {
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => {
                    let next = entries.last().map_or(to, |entry| entry.log_id.index + 1);
                    (entries.into_iter().map(Ok).collect::<Vec<_>>(), next)
                }
                Err(error) => (vec![Err(error)], to),
            };
            Some((stream::iter(part), (log, next)))
        });
        parts.flatten()
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.log.state();
        let purged = state.purged.map(|(_, value)| decode::<LogId>(&value)).transpose()?;
        let last = state.last.map(|(index, term)| log_id(term, index)).or(purged);
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.log.save_vote(encode(vote), move |result| drop(done.send(result)));
        if planted(Bug::VoteNotDurable) {
            return Ok(());
        }
        self.written(answer).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log.save_committed(encode(&committed)).map_err(io::Error::from)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        match self.log.state().committed {
            Some(committed) => Ok(decode::<Option<LogId>>(&committed)?),
            None => Ok(None),
        }
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| stored(&entry)).collect();
        let fatal = self.fatal.clone();
        fail_point!("consensus::append");
        if planted(Bug::AppendNotDurable) {
            self.log.append(entries, |_| {});
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.log.append(entries, move |result| {
            if let Err(error) = &result {
                report(&fatal, error);
            }
            fail_point!("consensus::append_durable");
            callback.io_completed(result);
        });
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let from = last_log_id.map_or(0, |kept| kept.index + 1);
        self.log.truncate_from(from, move |result| drop(done.send(result)));
        self.written(answer).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let ahead = (self.purge_bound)().is_none_or(|flushed| upto.index > flushed);
        if ahead {
            // It comes again with the next snapshot; until then the log is only longer.
            tracing::warn!(%upto, "purge deferred: the store has not flushed so far");
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let to = upto.index + u64::from(planted(Bug::PurgedTooFar));
        self.log.purge_to(to, encode(&upto), move |result| drop(done.send(result)));
        self.written(answer).await
    }
}
