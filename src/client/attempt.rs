//! The state of one attempt: what was sent, what came back, and where its chain stands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vatic_core::delta::Delta;
use vatic_core::hash::Hash;
use vatic_core::id::Tid;
use vatic_core::key::{Key, KeyRange};
use vatic_core::strategy::Strategy;
use vatic_proto::v1;
use vatic_proto::v1::transact_request::Frame;
use vatic_proto::v1::transact_response::Frame as Answer;

use crate::client::Client;
use crate::convert;
use crate::error::ClientError;
use crate::evidence::SentChain;
use crate::foresight::{Foresight, Notice};
use crate::outcome::{Outcome, Rollback};
use crate::overlay::Overlay;
use crate::pool::Node;
use crate::reads::Record;
use crate::request::Request;
use crate::stream::Wire;
use crate::transaction::Answers;

/// Notices that wait to be taken; the oldest makes room.
const NOTICES_MAX: usize = 256;

/// What all attempts of one run share.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Not set: without exactly-once.
    pub(crate) request: Option<Arc<Request>>,
    pub(crate) strategy: Option<Strategy>,
    pub(crate) foresight: Foresight,
    /// Of the attempts so far.
    pub(crate) rollbacks: u32,
    /// When the run is over, with all that it asks afterwards.
    pub(crate) end: Instant,
}

#[derive(Debug)]
pub(crate) struct Attempt {
    client: Client,
    plan: Plan,
    wanted: Option<Node>,
    end: Instant,
    wire: Option<Wire>,
    begun: Option<Begun>,
    deltas: Vec<Vec<u8>>,
    overlay: Overlay,
    last_read_id: u64,
    outcome: Option<v1::Outcome>,
    home: Option<Key>,
    notices: VecDeque<Notice>,
}

#[derive(Debug)]
struct Begun {
    tid: Tid,
    seed: Hash,
    chain: SentChain,
}

impl Attempt {
    /// An attempt that has touched nothing. `wanted`: the node to use, unless hints know better.
    pub(crate) fn new(client: Client, plan: Plan, wanted: Option<Node>, end: Instant) -> Self {
        Attempt {
            client,
            plan,
            wanted,
            end,
            wire: None,
            begun: None,
            deltas: Vec::new(),
            overlay: Overlay::default(),
            last_read_id: 0,
            outcome: None,
            home: None,
            notices: VecDeque::new(),
        }
    }

    pub(crate) fn tid(&self) -> Option<Tid> {
        self.begun.as_ref().map(|begun| begun.tid)
    }

    pub(crate) fn seed(&self) -> Option<Hash> {
        self.begun.as_ref().map(|begun| begun.seed)
    }

    pub(crate) fn node(&self) -> Option<Node> {
        self.wire.as_ref().map(|wire| wire.node.clone()).or_else(|| self.wanted.clone())
    }

    /// The first record touched.
    pub(crate) fn home(&self) -> Option<&Key> {
        self.home.as_ref()
    }

    /// Whether any transition was sent.
    pub(crate) fn wrote(&self) -> bool {
        !self.deltas.is_empty()
    }

    pub(crate) fn take_deltas(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.deltas)
    }

    /// The outcome, if the server announced one.
    pub(crate) fn outcome(&self) -> Option<Result<Outcome, ClientError>> {
        let outcome = self.outcome.clone()?;
        let read = convert::outcome_in(outcome, self.deltas.clone());
        Some(read.map_err(|what| self.broke(what)))
    }

    /// The rollback that the server announced, if it did.
    fn announced(&self) -> Option<Rollback> {
        self.outcome.as_ref().and_then(convert::rollback)
    }

    /// Takes what was told and nobody has taken yet.
    pub(crate) fn take_notices(&mut self) -> VecDeque<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The next notice, waited for no longer than asked. Errors where the transaction ends.
    pub(crate) async fn next_notice(
        &mut self,
        within: Duration,
    ) -> Result<Option<Notice>, ClientError> {
        let until = Instant::now() + within;
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Some(notice));
            }
            if self.outcome.is_some() {
                return Err(self.ended());
            }
            let Some(wire) = self.wire.as_mut() else { return Ok(None) };
            let Some(answer) = wire.next_until(until).await? else { return Ok(None) };
            self.take(answer, &mut Answers::new())?;
        }
    }

    pub(crate) async fn write(&mut self, delta: &Delta, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.open(&delta.key).await?;
        let seq = self.deltas.len() as u64 + 1;
        let frame = Frame::Transition(convert::transition_out(seq, &bytes));
        self.overlay.add(delta);
        self.deltas.push(bytes);
        self.send(frame).await
    }

    pub(crate) async fn read_many(
        &mut self,
        keys: &[Key],
    ) -> Result<Vec<Option<Record>>, ClientError> {
        keys.iter().try_for_each(Key::check)?;
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        self.open(first).await?;
        let mut answers = Answers::new();
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            let read_id = self.next_read_id();
            ids.push(read_id);
            let frame = v1::ReadFrame { read_id, key: Some(convert::key_out(key)) };
            self.send_collecting(Frame::Read(frame), &mut answers).await?;
        }
        while !ids.iter().all(|id| answers.contains_key(id)) {
            let answer = self.wire()?.next().await?;
            self.take(answer, &mut answers)?;
        }
        ids.iter().zip(keys).map(|(id, key)| self.shown(key, answers.remove(id))).collect()
    }

    pub(crate) async fn scan(
        &mut self,
        range: &KeyRange,
        limit: u32,
    ) -> Result<Vec<Record>, ClientError> {
        self.open(&Key::new(&range.collection, &range.partition, &range.from)?).await?;
        let scan_id = self.next_read_id();
        let wire_range = Some(convert::range_out(range, limit));
        self.send(Frame::Scan(v1::ScanFrame { scan_id, range: wire_range })).await?;
        let mut records = Vec::new();
        loop {
            let answer = self.wire()?.next().await?;
            let Answer::ScanChunk(chunk) = answer else {
                self.take(answer, &mut Answers::new())?;
                continue;
            };
            if chunk.scan_id != scan_id {
                continue;
            }
            for record in chunk.records {
                records.push(convert::record_in(record).map_err(|what| self.broke(what))?);
            }
            if chunk.end {
                return Ok(self.overlay.over_range(range, limit, records)?);
            }
        }
    }

    /// Seals the stream and waits for the outcome. Before the seal is handed over, errors are those
    /// of any attempt; afterwards an error leaves the outcome open (`true`).
    pub(crate) async fn commit(&mut self) -> Result<Outcome, (ClientError, bool)> {
        let head = self.sealed_head().await.map_err(|error| (error, false))?;
        let seal = v1::CommitFrame {
            count: self.deltas.len() as u64,
            head: Some(bytes::Bytes::copy_from_slice(&head.0)),
        };
        self.finish(Frame::Commit(seal)).await.map_err(|error| (error, true))
    }

    /// Reads one record and commits: takes the request id and changes nothing.
    pub(crate) async fn commit_empty(&mut self, home: &Key) -> Result<Outcome, ClientError> {
        let read = self.read_many(std::slice::from_ref(home)).await;
        match (read, self.outcome()) {
            (_, Some(announced)) => announced,
            (Err(error), None) => Err(error),
            (Ok(_), None) => self.commit().await.map_err(|(error, _)| error),
        }
    }

    /// Ends the stream with a rollback, and waits until the server has said so.
    pub(crate) async fn abort(&mut self) -> Result<Outcome, ClientError> {
        if self.wire.is_none() {
            return Ok(Outcome::Unknown);
        }
        self.finish(Frame::Abort(v1::AbortFrame {})).await
    }

    async fn sealed_head(&mut self) -> Result<Hash, ClientError> {
        if self.wire.is_none() {
            let what = "a transaction must read or write something";
            return Err(ClientError::Input(what.to_owned()));
        }
        // The id must be known before the commit: without it a lost answer could not be asked for.
        while self.begun.is_none() {
            let answer = self.wire()?.next().await?;
            self.take(answer, &mut Answers::new())?;
        }
        let begun = self.begun.as_ref().expect("the loop ends when it has begun");
        Ok(begun.chain.head(&self.deltas))
    }

    async fn finish(&mut self, frame: Frame) -> Result<Outcome, ClientError> {
        if self.outcome.is_none() {
            match self.send(frame).await {
                Ok(()) => self.wait_for_outcome().await?,
                Err(error) if self.outcome.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        let route = self.outcome.as_ref().and_then(|outcome| outcome.route.clone());
        if let Some(home) = &self.home {
            self.client.learn_route(&home.partition, route);
        }
        self.outcome().expect("waited for")
    }

    async fn wait_for_outcome(&mut self) -> Result<(), ClientError> {
        while self.outcome.is_none() {
            let answer = self.wire()?.next().await?;
            match self.take(answer, &mut Answers::new()) {
                Err(error) if self.outcome.is_none() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Opens the stream, once; the partition of the first record touched is home.
    async fn open(&mut self, first: &Key) -> Result<(), ClientError> {
        if self.outcome.is_some() {
            return Err(self.ended());
        }
        if self.wire.is_some() {
            return Ok(());
        }
        let partition = first.partition.as_str();
        let inner = &self.client.inner;
        let learnt = inner.routes.find(partition);
        let node = match (&self.wanted, learnt) {
            (Some(wanted), None) => wanted.clone(),
            (_, learnt) => inner.pool.pick(learnt.as_deref()),
        };
        let request_id = self.plan.request.as_ref().and_then(|request| {
            request.route_by(partition);
            convert::request_out(request)
        });
        let begin = v1::BeginFrame {
            request_id,
            home: None,
            seed: None,
            isolation: v1::Isolation::Unspecified.into(),
            deadline_ms: 0,
            foresight: Some(convert::foresight_out(self.plan.foresight)),
            priority: inner.options.priority.into(),
            strategy: convert::strategy_out(self.plan.strategy).into(),
            rollbacks: self.plan.rollbacks,
        };
        self.home = Some(first.clone());
        self.wanted = Some(node.clone());
        self.wire = Some(Wire::open(&self.client, node, begin, self.end).await?);
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), ClientError> {
        self.send_collecting(frame, &mut Answers::new()).await
    }

    async fn send_collecting(
        &mut self,
        frame: Frame,
        answers: &mut Answers<v1::RecordRead>,
    ) -> Result<(), ClientError> {
        if self.outcome.is_some() {
            return Err(self.ended());
        }
        let mut frame = Some(frame);
        while frame.is_some() {
            if let Some(answer) = self.wire()?.push(&mut frame).await? {
                self.take(answer, answers)?;
            }
        }
        Ok(())
    }

    /// Takes one frame in. Errors where it says that the transaction is over.
    fn take(
        &mut self,
        answer: Answer,
        answers: &mut Answers<v1::RecordRead>,
    ) -> Result<(), ClientError> {
        match answer {
            Answer::Begun(begun) => self.take_begun(begun),
            Answer::ReadResult(result) => {
                let read = result.read.ok_or_else(|| self.broke("a read result without read"))?;
                answers.insert(result.read_id, read);
                Ok(())
            }
            // Of a scan whose caller has gone.
            Answer::ScanChunk(_) => Ok(()),
            Answer::Ack(ack) => {
                let Some(begun) = self.begun.as_mut() else {
                    return Err(self.broke("an acknowledgement before begun"));
                };
                Ok(begun.chain.acknowledge(&self.deltas, ack.seq, &ack.digest)?)
            }
            Answer::Forecast(frame) => {
                self.notice(Notice::Forecast(convert::forecast_in(frame)));
                Ok(())
            }
            Answer::Warning(frame) => {
                let warning = convert::warning_in(frame).map_err(|what| self.broke(what))?;
                warning.into_iter().for_each(|warning| self.notice(warning));
                Ok(())
            }
            Answer::Outcome(frame) => {
                let outcome = frame.outcome.ok_or_else(|| self.broke("an empty outcome"))?;
                let verdict = outcome.verdict.map(convert::verdict_in);
                self.outcome = Some(outcome);
                verdict.into_iter().for_each(|verdict| self.notice(Notice::Verdict(verdict)));
                Err(self.ended())
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    fn take_begun(&mut self, begun: v1::BegunFrame) -> Result<(), ClientError> {
        if self.begun.is_some() {
            return Err(self.broke("a second begun"));
        }
        let tid = convert::tid_in(&begun.transaction_id).map_err(|what| self.broke(what))?;
        let seed = convert::hash_in(&begun.seed).map_err(|what| self.broke(what))?;
        self.begun = Some(Begun { tid, seed, chain: SentChain::new(seed) });
        if let Some(home) = &self.home {
            self.client.learn_route(&home.partition, begun.route);
        }
        Ok(())
    }

    fn shown(
        &self,
        key: &Key,
        read: Option<v1::RecordRead>,
    ) -> Result<Option<Record>, ClientError> {
        let record = read.and_then(|read| read.record).map(convert::record_in).transpose();
        let committed = record.map_err(|what| self.broke(what))?;
        if committed.as_ref().is_some_and(|record| record.key != *key) {
            return Err(self.broke("a read result of another key"));
        }
        Ok(self.overlay.over(key, committed)?)
    }

    /// The error with which everything after an outcome ends.
    fn ended(&self) -> ClientError {
        match self.announced() {
            Some(rollback) => ClientError::RolledBack(Box::new(rollback)),
            None => ClientError::Input("the transaction has already ended".to_owned()),
        }
    }

    fn next_read_id(&mut self) -> u64 {
        self.last_read_id += 1;
        self.last_read_id
    }

    fn wire(&mut self) -> Result<&mut Wire, ClientError> {
        let what = "the stream could not be opened";
        self.wire.as_mut().ok_or_else(|| ClientError::Input(what.to_owned()))
    }

    fn broke(&self, what: &str) -> ClientError {
        let endpoint = self.node().map(|node| node.endpoint.to_string()).unwrap_or_default();
        ClientError::Protocol { endpoint, what: what.to_owned() }
    }
}
