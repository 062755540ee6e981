//! `Transact`: one transaction as a stream.
//!
//! Frames are taken in order and answered in order. Nothing is voted before the commit frame, and
//! what a large transaction staged is freed with its session, so whatever ends a stream earlier (an
//! abort, a stall, a client that vanishes) leaves nothing behind. Reads are of committed state as
//! the group's leader has it; whether they still hold is decided by the votes.

use crate::{
    api::{Gateway, LAST_WORD, Memory, Slot},
    cluster::Cluster,
    convert,
    foresight::{self, Guide, News, Told},
    held::{self, Handed, Held, Out},
    load, outcome, oversize,
    page::Page,
    peer::{Origin, PeerFound, PeerRead},
    records,
    stage::Stager,
    status::ApiError,
    strategy::{Course, Wanted},
    telemetry::journey::Journey,
    time,
};
use std::sync::Arc;
use tokio::time::Instant;
use tonic::Streaming;
use tracing::Instrument;
use vatic_core::{
    codec,
    delta::Delta,
    draft::{Draft, DraftError},
    hash::Hash,
    id::GroupId,
    key::Key,
    read::Record,
    rules::Rules,
    strategy::Basis,
};
use vatic_proto::v1::{self, RollbackCause, transact_request, transact_response};

/// Frames that may wait for a slow client before its stream waits for it.
const OUT_FRAMES: usize = 64;

/// Serves a stream in a task of its own.
pub(crate) fn serve(
    gateway: &Gateway,
    principal: String,
    frames: Streaming<v1::TransactRequest>,
    slot: Slot,
) -> Handed<v1::TransactResponse> {
    let (out, answers) = held::channel(OUT_FRAMES);
    let ends = time::deadline_in(gateway.cluster.config.limits.stream_age_max_ms);
    let origin = Origin::of(&principal, 0);
    let session = Session {
        gateway: gateway.clone(),
        principal,
        priority: 0,
        out: out.clone(),
        draft: None,
        course: Course::new(&gateway.cluster, Wanted::default(), origin),
        begun: false,
        memory: Memory::new(&gateway.cluster),
        stager: Stager::new(&gateway.cluster),
        guide: Guide::new(&gateway.foresight),
        journey: Journey::new(&gateway.cluster),
        ends,
    };
    let span = session.journey.span();
    let to = out.clone();
    let served = async move {
        let _slot = slot;
        if let Err(error) = session.run(frames).await {
            to.fail(error);
        }
    };
    let served = served.instrument(span);
    tokio::spawn(async move {
        served.await;
        out.end(ends + LAST_WORD, None).await;
    });
    answers
}

struct Session {
    gateway: Gateway,
    principal: String,
    priority: u32,
    out: Out<v1::TransactResponse>,
    draft: Option<Draft>,
    course: Course,
    begun: bool,
    memory: Memory,
    stager: Stager,
    guide: Guide,
    journey: Journey,
    ends: Instant,
}

/// Whether the stream goes on.
enum Next {
    Frame,
    End,
}

impl Session {
    async fn run(mut self, frames: Streaming<v1::TransactRequest>) -> Result<(), ApiError> {
        let ended = self.follow(frames).await;
        self.draft.iter().for_each(|draft| self.journey.know(draft));
        if let Err(error) = &ended {
            self.journey.end(outcome::ending_of(error));
        }
        ended
    }

    async fn follow(&mut self, mut frames: Streaming<v1::TransactRequest>) -> Result<(), ApiError> {
        loop {
            let idle = time::deadline_in(self.cluster().config.limits.stream_idle_ms);
            let waiting = Instant::now();
            let until = idle.min(self.ends);
            let received = loop {
                tokio::select! {
                    biased;
                    news = self.guide.news() => if let Next::End = self.tell(news).await {
                        return Ok(());
                    },
                    received = tokio::time::timeout_at(until, frames.message()) => break received,
                }
            };
            self.journey.waited_for_client(waiting);
            self.guide.stir();
            let frame = match received {
                Err(_) => return self.time_out(idle).await,
                Ok(Ok(Some(v1::TransactRequest { frame }))) => frame,
                Ok(Ok(None)) => return self.closed().await,
                Ok(Err(status)) => {
                    let max = self.cluster().config.limits.message_bytes_max;
                    let refused = oversize::error(status.code(), status.message(), max);
                    // None: the client is gone. Nothing was voted.
                    return refused.map_or(Ok(()), Err);
                }
            };
            let Some(frame) = frame else {
                return Err(ApiError::BadFrame { what: "a frame of no known kind".into() });
            };
            match self.take(frame).await? {
                Next::Frame => self.announce().await,
                Next::End => return Ok(()),
            }
        }
    }

    async fn take(&mut self, frame: transact_request::Frame) -> Result<Next, ApiError> {
        use transact_request::Frame;
        match frame {
            Frame::Begin(begin) => self.begin(begin),
            Frame::Read(read) => self.read(read).await,
            Frame::Scan(scan) => self.scan(scan).await,
            Frame::Transition(transition) => self.transition(transition).await,
            Frame::Commit(commit) => self.commit(commit).await,
            Frame::Abort(_) => {
                let message = "the client aborted it".into();
                self.roll_back(RollbackCause::ClientAbort, false, message).await
            }
        }
    }

    fn begin(&mut self, begin: v1::BeginFrame) -> Result<Next, ApiError> {
        if self.draft.is_some() {
            return Err(ApiError::BadFrame { what: "a second begin".into() });
        }
        let wanted = Wanted::parse(begin.isolation, begin.strategy)?;
        let urgency = load::urgency(begin.priority, begin.rollbacks)?;
        let origin = Origin::of(&self.principal, 0).with_urgency(urgency);
        self.course = Course::new(&self.gateway.cluster, wanted, origin);
        self.priority = begin.priority;
        self.journey.begin();
        let seed = begin.seed.map(|seed| convert::hash(&seed, "seed")).transpose()?;
        let mut draft = self.gateway.draft(seed)?;
        if let Some(home) = begin.home {
            draft.touch(&convert::key(Some(home))?)?;
        }
        if let Some(request) = begin.request_id {
            let request = convert::request_id(
                request,
                self.principal.clone(),
                self.gateway.clock_ahead_max_ms(),
            )?;
            draft.claim(request, Hash::ZERO)?;
        }
        if begin.deadline_ms > 0 {
            self.ends = self.ends.min(time::deadline_in(u64::from(begin.deadline_ms)));
        }
        self.draft = Some(draft);
        let wants = foresight::convert::wants(begin.foresight);
        let wants = (wants, self.course.may_ask());
        self.guide.begin(wants, &self.principal, &self.gateway.cluster);
        Ok(Next::Frame)
    }

    async fn read(&mut self, frame: v1::ReadFrame) -> Result<Next, ApiError> {
        let key = convert::key(frame.key)?;
        self.touch(&key).await?;
        let draft = self.draft()?;
        let (group, at) = (draft.touch(&key)?, draft.basis().snapshot());
        let written = draft.writes(group, &key);
        self.guide.touch(&self.gateway.cluster, group);
        self.announce().await;
        let asks = self.course.would_ask(group, &key);
        if asks && self.guide.spares(self.course.user(), &key.collection, written) {
            self.course.spare(group, &key);
        }
        let reading = Instant::now();
        let found = self.course.read(group, key, at, self.ends).await;
        self.journey.read(reading);
        let (record, pending) = found?;
        if let Err(error) = noted(self.draft()?.note_read(&record)) {
            return self.doomed(error).await;
        }
        self.watch(group, [&record]);
        let held = Held::take(self.cluster(), held::record_bytes(&record))?;
        let read = Some(convert::record_read(record, pending));
        let result = v1::ReadResultFrame { read_id: frame.read_id, read };
        self.hand(transact_response::Frame::ReadResult(result), Some(held)).await;
        Ok(Next::Frame)
    }

    async fn scan(&mut self, frame: v1::ScanFrame) -> Result<Next, ApiError> {
        let sent = frame.range.unwrap_or_default();
        let range = convert::range(&sent)?;
        let probe = Key::new(&range.collection, &range.partition, "").map_err(ApiError::BadKey)?;
        self.touch(&probe).await?;
        let draft = self.draft()?;
        let (group, at) = (draft.touch(&probe)?, draft.basis().snapshot());
        self.guide.touch(&self.gateway.cluster, group);
        self.announce().await;
        let max = self.cluster().config.limits.scan_records_max;
        let limit = if sent.limit == 0 { max } else { u64::from(sent.limit).min(max) };
        let read = match at {
            Some(at) => PeerRead::ScanAt(range, limit, at),
            None => PeerRead::PeekRange(range, limit),
        };
        let reading = Instant::now();
        let found = self.cluster().read(group, read, self.ends).await;
        self.journey.read(reading);
        let (found, holder) = match found? {
            PeerFound::Range(found, holder) => (found, holder),
            PeerFound::Snapshot(fault) => return Err(records::snapshot_error(fault, at)),
            _ => return Err(ApiError::NoLeader { group }),
        };
        records::check_whole(&found, sent.limit, max)?;
        if let Err(error) = noted(self.draft()?.note_scan(&found)) {
            return self.doomed(error).await;
        }
        self.watch(group, &found.records);
        let page = Page::of(self.cluster(), found.records)?;
        self.send_chunks(frame.scan_id, page, holder.is_some()).await;
        Ok(Next::Frame)
    }

    async fn transition(&mut self, transition: v1::Transition) -> Result<Next, ApiError> {
        let seq = transition.seq;
        let sent = transition.digest.as_deref();
        let digest = sent.map(|digest| convert::hash(digest, "digest")).transpose()?;
        let delta = convert::delta_bytes(transition)?;
        self.gateway.check_delta(&delta)?;
        self.memory.take(delta.len() as u64)?;
        if !self.course.is_settled()
            && let Ok(Delta { key, .. }) = codec::decode(&delta)
        {
            self.touch(&key).await?;
        }
        let (draft, guide) = (self.draft.as_mut().ok_or_else(no_begin)?, &mut self.guide);
        let accepted = draft.push_seen(delta, Some(seq), digest, |delta| guide.step(delta))?;
        self.guide.touch(&self.gateway.cluster, accepted.group);
        self.guide.weigh(&self.gateway.cluster, draft, &self.principal);
        let ends = self.ends;
        if let Some(draft) = self.draft.as_mut() {
            let staging = Instant::now();
            let staged = self.stager.stage_chunk(draft, accepted.group, ends).await;
            self.journey.staged(staging);
            staged?;
        }
        self.announce().await;
        let digest = accepted.digest.0.to_vec().into();
        let ack = v1::AckFrame { seq: accepted.seq, digest };
        self.send(transact_response::Frame::Ack(ack)).await;
        Ok(Next::Frame)
    }

    async fn commit(&mut self, commit: v1::CommitFrame) -> Result<Next, ApiError> {
        let draft = self.draft()?;
        let seal = draft.seal().clone();
        if commit.count != seal.count {
            return Err(ApiError::BadCount { expected: seal.count, actual: commit.count });
        }
        if let Some(head) = &commit.head {
            let actual = convert::hash(head, "head")?;
            if actual != seal.head {
                let (seq, expected) = (seal.count, seal.head);
                return Err(ApiError::DigestMismatch { seq, expected, actual });
            }
        }
        let entering = self.gateway.arrive(self.priority, &self.principal)?;
        let place = self.gateway.entered(entering, self.ends).await?;
        let Some(mut draft) = self.draft.take() else { return Ok(Next::End) };
        let groups = draft.groups().len();
        let unused = Stager::new(self.cluster());
        let stager = std::mem::replace(&mut self.stager, unused);
        self.journey.know(&draft);
        let sealed = Instant::now();
        let judged = (&mut draft, &mut self.course);
        foresight::judge(&self.gateway.cluster, &mut self.guide, judged, self.ends).await?;
        let origin = Origin::of(&self.principal, 0);
        let finished = self.course.finish(draft, Some(stager), origin, self.ends).await;
        place.end(outcome::by_conflict(&finished));
        self.guide.ended(outcome::end(&finished));
        self.journey.coordinated(sealed);
        let outcome = finished?;
        // Those that came too late for the client to make use of are told all the same.
        while let Some(told) = self.guide.forecast() {
            let frame = foresight::convert::forecast(&told, groups);
            self.send(transact_response::Frame::Forecast(frame)).await;
        }
        self.send_outcome(outcome).await;
        Ok(Next::End)
    }

    /// Tells the client what there is to tell of its stream.
    async fn tell(&mut self, news: News) -> Next {
        match news {
            News::Forecast(told) => {
                let groups = self.draft.as_ref().map_or(0, |draft| draft.groups().len());
                let frame = foresight::convert::forecast(&told, groups);
                self.send(transact_response::Frame::Forecast(frame)).await;
            }
            News::Progress(told) => return self.hold_so_far(&told).await,
            News::Disturbed(found) => {
                if self.guide.wants().warnings {
                    let frame = foresight::convert::warning(&found);
                    self.send(transact_response::Frame::Warning(frame)).await;
                }
                if self.guide.wants().abort_early
                    && found.ends(self.draft.as_ref(), Rules::default())
                {
                    let tid = self.draft.as_ref().and_then(Draft::tid);
                    let rollback = foresight::convert::stale_read(&found);
                    let outcome = outcome::of_rollback(self.cluster(), tid, rollback);
                    self.send_outcome(outcome).await;
                    return Next::End;
                }
            }
        }
        Next::Frame
    }

    /// Holds what came against the way that the stream was expected to go.
    async fn hold_so_far(&mut self, told: &Arc<Told>) -> Next {
        let Some(draft) = &self.draft else { return Next::Frame };
        let (guide, cluster) = (&mut self.guide, &self.gateway.cluster);
        let judged = guide.judge_so_far(cluster, draft, told);
        let Some(judgement) = judged.filter(|judged| !judged.verdict.valid) else {
            return Next::Frame;
        };
        guide.note_strayed(draft, told, &judgement);
        let (tid, ends) = (draft.tid(), guide.ends_for(&judgement.verdict));
        if guide.wants().warnings {
            let frame = foresight::convert::strayed(&judgement);
            self.send(transact_response::Frame::Warning(frame)).await;
        }
        if !ends {
            return Next::Frame;
        }
        let rollback = foresight::convert::ended_astray(&judgement, self.guide.quarantines());
        let outcome = outcome::of_rollback(self.cluster(), tid, rollback);
        self.send_outcome(outcome).await;
        Next::End
    }

    /// The first record that is touched decides how the transaction goes about conflicts.
    async fn touch(&mut self, key: &Key) -> Result<(), ApiError> {
        let draft = self.draft.as_mut().ok_or_else(no_begin)?;
        self.course.touch(draft, key, self.ends).await
    }

    /// Warns of changes to what was read, where it shall hold.
    fn watch<'a>(&self, group: GroupId, records: impl IntoIterator<Item = &'a Record>) {
        let basis = self.draft.as_ref().map(Draft::basis);
        if basis == Some(Basis::Reads) {
            self.guide.read(group, records);
        }
    }

    async fn send_chunks(&self, scan_id: u64, mut page: Page, pending: bool) {
        loop {
            let (records, held) = page.chunk();
            let end = page.is_over();
            let pending = pending && end;
            let records = records.into_iter().filter_map(convert::to_record).collect();
            let chunk = v1::ScanChunkFrame { scan_id, records, end, pending };
            self.hand(transact_response::Frame::ScanChunk(chunk), Some(held)).await;
            if end {
                return;
            }
        }
    }

    /// A read that can no longer be repeated: the vote would refuse it, so it ends now.
    async fn doomed(&mut self, error: DraftError) -> Result<Next, ApiError> {
        match error {
            DraftError::Unrepeatable { .. } => {
                self.roll_back(RollbackCause::StaleRead, true, error.to_string()).await
            }
            other => Err(other.into()),
        }
    }

    /// The client has closed its side, and may still listen.
    async fn closed(&mut self) -> Result<(), ApiError> {
        if self.draft.is_none() {
            return Ok(());
        }
        let message = "the stream was closed before its commit frame".into();
        self.roll_back(RollbackCause::ClientAbort, false, message).await.map(drop)
    }

    async fn time_out(&mut self, idle: Instant) -> Result<(), ApiError> {
        let limits = &self.cluster().config.limits;
        let message = match idle < self.ends {
            true => format!("nothing came for stream_idle_ms, {} ms", limits.stream_idle_ms),
            false => "the stream's deadline passed".to_owned(),
        };
        self.roll_back(RollbackCause::IdleTimeout, true, message).await.map(drop)
    }

    async fn roll_back(
        &mut self,
        cause: RollbackCause,
        retryable: bool,
        message: String,
    ) -> Result<Next, ApiError> {
        let tid = self.draft.as_ref().and_then(Draft::tid);
        self.announce().await;
        let outcome = outcome::before_seal(self.cluster(), tid, cause, retryable, message);
        self.send_outcome(outcome).await;
        Ok(Next::End)
    }

    /// Sends `begun`, once the transaction has its id.
    async fn announce(&mut self) {
        let Some(draft) = self.draft.as_ref().filter(|_| !self.begun) else { return };
        let Some(tid) = draft.tid() else { return };
        let begun = v1::BegunFrame {
            transaction_id: convert::tid(tid),
            seed: draft.seal().seed.0.to_vec().into(),
            route: Some(outcome::route(self.cluster(), tid.home)),
        };
        self.begun = true;
        self.send(transact_response::Frame::Begun(begun)).await;
    }

    async fn send_outcome(&mut self, outcome: v1::Outcome) {
        self.journey.end(outcome::ending(&outcome));
        let frame = v1::OutcomeFrame { outcome: Some(outcome) };
        self.send(transact_response::Frame::Outcome(frame)).await;
    }

    async fn send(&self, frame: transact_response::Frame) {
        self.hand(frame, None).await;
    }

    async fn hand(&self, frame: transact_response::Frame, held: Option<Held>) {
        // A client that is gone is noticed by its frames.
        // One that stopped reading holds its place no longer than its stream may live.
        let frame = v1::TransactResponse { frame: Some(frame) };
        let _ = tokio::time::timeout_at(self.ends, self.out.send(frame, held)).await;
    }

    fn draft(&mut self) -> Result<&mut Draft, ApiError> {
        self.draft.as_mut().ok_or_else(no_begin)
    }

    fn cluster(&self) -> &Arc<Cluster> {
        &self.gateway.cluster
    }
}

fn no_begin() -> ApiError {
    ApiError::BadFrame { what: "the first frame must be begin".into() }
}

/// Whether a read was noted. One that own deltas do not apply to is, and is answered like any
/// other: the delta at fault is the vote's to name.
fn noted<T>(result: Result<T, DraftError>) -> Result<(), DraftError> {
    match result {
        Ok(_) | Err(DraftError::Rejected { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
