//! Reads outside a transaction: one record, a range, several records over several groups.

use crate::{
    api::Gateway,
    convert,
    held::{self, Gone, Handed, Out},
    outcome,
    page::Page,
    peer::{Origin, PeerFound, PeerRead},
    status::ApiError,
    time,
};
use fail::fail_point;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vatic_core::{
    body::KeyRead,
    id::{GroupId, Timestamp},
    key::{Key, KeyRange},
    limits::SCAN_BYTES_MAX,
    multiread::{MultiRead, ReadEffect, ReadEvent, Seen, Wanted},
    read::{RangeRecords, Record, SnapshotFault},
    rules::Rules,
    value,
};
use vatic_proto::v1::{self, outcome::State, record_service_server::RecordService};

/// Longest pause between two votes of one read.
const VOTE_PAUSE_MAX_MS: u64 = 50;

/// Chunks that may wait for the connection: one while the next one is made.
const OUT_CHUNKS: usize = 2;
/// Reads of one set at a snapshot that are under way together.
const READS_AT_ONCE: usize = 16;

#[tonic::async_trait]
impl RecordService for Gateway {
    type ScanStream = Handed<v1::ScanResponse>;

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        let deadline = self.deadline(&request);
        let v1::GetRequest { key, at } = request.into_inner();
        let key = convert::key(key)?;
        let group = self.group_of(&key.partition)?;
        let record = self.get_one(group, key, at.map(Timestamp), deadline).await?;
        let read = Some(convert::record_read(record, false));
        let route = Some(outcome::route(&self.cluster, group));
        Ok(Response::new(v1::GetResponse { read, route }))
    }

    async fn scan(
        &self,
        request: Request<v1::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let v1::ScanRequest { range, at, deadline_ms } = request.into_inner();
        let range = range.unwrap_or_default();
        let limit = range.limit;
        let range = convert::range(&range)?;
        let group = self.group_of(&range.partition)?;
        let limit_ms = self.cluster.config.limits.stream_age_max_ms;
        let asked_ms = if deadline_ms == 0 { limit_ms } else { u64::from(deadline_ms) };
        let deadline_ms = asked_ms.min(limit_ms);
        let deadline = time::deadline_in(deadline_ms);
        let (out, chunks) = held::channel(OUT_CHUNKS);
        let scan = Scan { gateway: self.clone(), group, range, limit, deadline, out };
        scan.keep_a_view();
        tokio::spawn(async move {
            let done = match at {
                Some(at) => scan.snapshot(Timestamp(at)).await,
                None => scan.linearizable().await,
            };
            let Scan { gateway, out, .. } = scan;
            let scans = &gateway.cluster.metrics.scans;
            let late = Some(ApiError::Deadline { deadline_ms });
            match done {
                Ok(()) => match out.end(deadline, late).await {
                    true => scans.whole.inc(),
                    false => scans.untaken.inc(),
                },
                Err(Cut::Left) => scans.left.inc(),
                Err(Cut::Untaken) => {
                    scans.untaken.inc();
                    out.end(deadline, late).await;
                }
                Err(Cut::Failed(error)) => {
                    scans.failed.inc();
                    out.fail(error);
                    out.end(deadline, None).await;
                }
            }
        });
        Ok(Response::new(chunks))
    }

    async fn read_set(
        &self,
        request: Request<v1::ReadSetRequest>,
    ) -> Result<Response<v1::ReadSetResponse>, Status> {
        let deadline = self.deadline(&request);
        let v1::ReadSetRequest { keys, at } = request.into_inner();
        let (max, actual) = (self.cluster.config.limits.read_set_keys_max, keys.len() as u64);
        if actual > max {
            return Err(ApiError::Limit { limit: "read_set_keys_max", max, actual }.into());
        }
        let keys: Vec<Key> =
            keys.into_iter().map(|key| convert::key(Some(key))).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Ok(Response::new(v1::ReadSetResponse::default()));
        }
        let (found, passes) = match at {
            Some(at) => (self.get_all_at(&keys, Timestamp(at), deadline).await?, 1),
            None => self.get_all(&keys, deadline).await?,
        };
        // A key may be asked for twice, and counts as often.
        let sizes = keys.iter().filter_map(|key| found.get(key)).map(size_bytes);
        check_size(sizes.sum())?;
        let reads = keys.iter().filter_map(|key| found.get(key).cloned());
        let reads = reads.map(|record| convert::record_read(record, false)).collect();
        Ok(Response::new(v1::ReadSetResponse { reads, passes }))
    }
}

impl Gateway {
    pub(crate) fn group_of(&self, partition: &str) -> Result<GroupId, ApiError> {
        let ring = self.cluster.ring().ok_or(ApiError::NotReady)?;
        ring.group_of(partition).ok_or(ApiError::NotReady)
    }

    pub(crate) async fn get_one(
        &self,
        group: GroupId,
        key: Key,
        at: Option<Timestamp>,
        deadline: Instant,
    ) -> Result<Record, ApiError> {
        let read = match at {
            Some(at) => PeerRead::GetAt(key, at),
            None => PeerRead::Get(key),
        };
        match self.cluster.read(group, read, deadline).await? {
            PeerFound::Record(record, _) => Ok(record),
            PeerFound::Snapshot(fault) => Err(snapshot_error(fault, at)),
            _ => Err(ApiError::NoLeader { group }),
        }
    }

    async fn get_all_at(
        &self,
        keys: &[Key],
        at: Timestamp,
        deadline: Instant,
    ) -> Result<BTreeMap<Key, Record>, ApiError> {
        let distinct: BTreeSet<Key> = keys.iter().cloned().collect();
        let reads = distinct.into_iter().map(|key| async move {
            let group = self.group_of(&key.partition)?;
            self.get_one(group, key, Some(at), deadline).await
        });
        let mut reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        let (mut found, mut bytes) = (BTreeMap::new(), 0);
        while let Some(record) = reads.try_next().await? {
            bytes += size_bytes(&record);
            check_size(bytes)?;
            found.insert(record.key.clone(), record);
        }
        Ok(found)
    }

    /// A strict read: the core says what to ask and when it is an answer.
    async fn get_all(
        &self,
        keys: &[Key],
        deadline: Instant,
    ) -> Result<(BTreeMap<Key, Record>, u32), ApiError> {
        let mut wanted: BTreeMap<GroupId, Wanted> = BTreeMap::new();
        for key in keys {
            let group = self.group_of(&key.partition)?;
            wanted.entry(group).or_default().keys.push(key.clone());
        }
        let attempts_max = self.cluster.config.limits.read_attempts_max;
        let mut read = MultiRead::start(wanted, attempts_max, Rules::default());
        let mut passes = 0;
        loop {
            let mut asked = Vec::new();
            while let Some(effect) = read.poll() {
                match effect {
                    ReadEffect::Answer(seen) => return Ok((by_key(seen), passes)),
                    ReadEffect::VoteInstead(_) => {
                        return Ok((self.get_all_by_vote(keys, deadline).await?, passes + 1));
                    }
                    pass => asked.push(self.pass(pass, deadline)),
                }
            }
            passes += 1;
            let events = futures::future::try_join_all(asked).await?;
            events.into_iter().for_each(|event| read.handle(event));
        }
    }

    async fn pass(&self, effect: ReadEffect, deadline: Instant) -> Result<ReadEvent, ApiError> {
        let (group, read) = match &effect {
            ReadEffect::Read { group, wanted, .. } => (*group, PeerRead::First(wanted.clone())),
            ReadEffect::Check { group, reads, ranges, since, .. } => {
                (*group, PeerRead::Second(reads.clone(), ranges.clone(), *since))
            }
            ReadEffect::Answer(_) | ReadEffect::VoteInstead(_) => {
                unreachable!("these end a read and are not asked of a group")
            }
        };
        let found = self.cluster.read(group, read, deadline).await?;
        match (effect, found) {
            (ReadEffect::Read { attempt, .. }, PeerFound::First(seen)) => {
                Ok(ReadEvent::Saw { group, attempt, seen })
            }
            (_, PeerFound::TooLarge { actual }) => Err(too_large(actual)),
            (ReadEffect::Check { attempt, reads, .. }, PeerFound::Stands(stands)) => {
                if stands.is_err() {
                    self.wait_for_writers(group, reads, deadline).await?;
                }
                Ok(ReadEvent::Checked { group, attempt, stands })
            }
            _ => Err(ApiError::NoLeader { group }),
        }
    }

    /// Waits until nobody is about to write these: a linearizable read does, and recovers whoever
    /// was left behind.
    async fn wait_for_writers(
        &self,
        group: GroupId,
        reads: Vec<KeyRead>,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let waits = reads.into_iter().map(|read| self.get_one(group, read.key, None, deadline));
        futures::future::try_join_all(waits).await.map(drop)
    }

    /// Too much is being written: take read locks by voting.
    async fn get_all_by_vote(
        &self,
        keys: &[Key],
        deadline: Instant,
    ) -> Result<BTreeMap<Key, Record>, ApiError> {
        while Instant::now() < deadline {
            let mut draft = self.draft(None)?;
            let mut records = BTreeMap::new();
            for key in keys {
                let group = draft.touch(key)?;
                let record = self.get_one(group, key.clone(), None, deadline).await?;
                draft.note_read(&record)?;
                records.insert(key.clone(), record);
            }
            let outcome =
                outcome::finish(&self.cluster, draft, None, Origin::default(), deadline).await?;
            if outcome.state() == State::Committed {
                return Ok(records);
            }
            let pause_ms = rand::random_range(1..=VOTE_PAUSE_MAX_MS);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        Err(ApiError::Deadline { deadline_ms: self.cluster.config.limits.call_deadline_ms })
    }
}

/// One `Scan` call.
struct Scan {
    gateway: Gateway,
    group: GroupId,
    range: KeyRange,
    limit: u32,
    deadline: Instant,
    out: Out<v1::ScanResponse>,
}

/// Why a scan ended before the last of its records.
enum Cut {
    /// The client is gone.
    Left,
    /// The client did not take the next chunk by the scan's deadline.
    Untaken,
    Failed(ApiError),
}

impl From<ApiError> for Cut {
    fn from(error: ApiError) -> Cut {
        Cut::Failed(error)
    }
}

impl From<Gone> for Cut {
    fn from(_: Gone) -> Cut {
        Cut::Left
    }
}

impl Scan {
    /// All of one instant: in one read where that holds it, else piece by piece as of a snapshot
    /// that shows the range as it is.
    async fn linearizable(&self) -> Result<(), Cut> {
        let max = self.gateway.cluster.config.limits.scan_records_max;
        let limit = if self.limit == 0 { u64::MAX } else { u64::from(self.limit) };
        let read = PeerRead::Scan(self.range.clone(), limit.min(max));
        let found = self.page(read, None).await?;
        if !found.more || found.records.len() as u64 == limit {
            let page = Page::of(&self.gateway.cluster, found.records)?;
            return self.send(page, true).await;
        }
        // As much as a page may have, which would be held for as long as the scan goes on.
        drop(found);
        let read = PeerRead::SnapshotOf(self.range.clone());
        let found = self.gateway.cluster.read(self.group, read, self.deadline).await;
        match found.map_err(ApiError::from)? {
            PeerFound::SnapshotOf(at) => self.snapshot(at).await,
            _ => Err(ApiError::NoLeader { group: self.group }.into()),
        }
    }

    async fn snapshot(&self, at: Timestamp) -> Result<(), Cut> {
        let page_records = self.gateway.cluster.config.limits.scan_chunk_records.max(1);
        let mut left = if self.limit == 0 { u64::MAX } else { u64::from(self.limit) };
        let mut range = self.range.clone();
        loop {
            let read = PeerRead::ScanAt(range.clone(), page_records.min(left), at);
            let found = self.page(read, Some(at)).await?;
            left -= found.records.len() as u64;
            let end = !found.more || left == 0;
            let next = found.covered.to.clone();
            self.send(Page::of(&self.gateway.cluster, found.records)?, end).await?;
            match next {
                Some(next) if !end => range.from = next,
                _ => return Ok(()),
            }
        }
    }

    /// What a scan must not do: LMDB reuses no page that a view may still show.
    fn keep_a_view(&self) {
        fail_point!("server::scan_view", |_| {
            let view = self.gateway.cluster.groups.get(&self.group).map(|handle| handle.view());
            let out = self.out.clone();
            tokio::spawn(async move {
                out.closed().await;
                drop(view);
            });
        });
    }

    async fn page(&self, read: PeerRead, at: Option<Timestamp>) -> Result<RangeRecords, ApiError> {
        match self.gateway.cluster.read(self.group, read, self.deadline).await? {
            PeerFound::Range(found, _) => Ok(found),
            PeerFound::Snapshot(fault) => Err(snapshot_error(fault, at)),
            _ => Err(ApiError::NoLeader { group: self.group }),
        }
    }

    /// Hands records to the connection, as it takes them.
    async fn send(&self, mut page: Page, end: bool) -> Result<(), Cut> {
        loop {
            let (records, held) = page.chunk();
            let last = page.is_over();
            let end = end && last;
            let route = end.then(|| outcome::route(&self.gateway.cluster, self.group));
            let records = records.into_iter().filter_map(convert::to_record).collect();
            let chunk = v1::ScanResponse { records, end, route };
            let sending = self.out.send(chunk, Some(held));
            tokio::time::timeout_at(self.deadline, sending).await.map_err(|_| Cut::Untaken)??;
            if last {
                return Ok(());
            }
        }
    }
}

fn size_bytes(record: &Record) -> u64 {
    record.fields.as_ref().map_or(0, value::size_bytes)
}

/// Refuses a set of records that is larger than one answer.
fn check_size(bytes: u64) -> Result<(), ApiError> {
    if bytes > SCAN_BYTES_MAX { Err(too_large(bytes)) } else { Ok(()) }
}

fn too_large(actual: u64) -> ApiError {
    ApiError::Limit { limit: "scan_bytes_max", max: SCAN_BYTES_MAX, actual }
}

/// Refuses a scan that a limit cut though the caller set none, or set a higher one.
pub(crate) fn check_whole(found: &RangeRecords, asked: u32, max: u64) -> Result<(), ApiError> {
    let records = found.records.len() as u64;
    if !found.more || (asked > 0 && records >= u64::from(asked)) {
        return Ok(());
    }
    if records >= max {
        return Err(ApiError::Limit { limit: "scan_records_max", max, actual: max + 1 });
    }
    Err(too_large(SCAN_BYTES_MAX + 1))
}

fn by_key(seen: BTreeMap<GroupId, Seen>) -> BTreeMap<Key, Record> {
    let records = seen.into_values().flat_map(|seen| seen.records);
    records.map(|record| (record.key.clone(), record)).collect()
}

pub(crate) fn snapshot_error(fault: SnapshotFault, at: Option<Timestamp>) -> ApiError {
    let at = at.unwrap_or_default();
    match fault {
        SnapshotFault::BelowHorizon { horizon } => ApiError::SnapshotTooOld { at, horizon },
        SnapshotFault::ClockBehind { clock } => ApiError::SnapshotTooNew { at, clock },
        SnapshotFault::Blocked(_) => unreachable!("leaders wait for undecided writes"),
    }
}
