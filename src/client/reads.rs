//! Reads outside a transaction.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Streaming;
use vatic_core::id::Timestamp;
use vatic_core::key::{Key, KeyRange};
use vatic_core::value::Fields;
use vatic_proto::v1;

use crate::call::Attempts;
use crate::client::Client;
use crate::convert;
use crate::error::ClientError;
use crate::pool::Node;

/// One version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: Key,
    /// Its fields.
    pub fields: Fields,
    /// The commit that wrote it; 0 for what a transaction in progress has made itself.
    pub version: Timestamp,
}

/// What part of a range, and as of when.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanOptions {
    /// Greatest number of records; 0: no limit.
    pub limit: u32,
    /// A snapshot; `None`: linearizable.
    pub at: Option<Timestamp>,
}

/// A scan in progress. The deadline of streams bounds all of it.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    node: Node,
    chunks: Streaming<v1::ScanResponse>,
    partition: String,
    end: Instant,
    done: bool,
}

impl Client {
    /// One record, linearizable; `None` where it is absent.
    pub async fn get(&self, key: &Key) -> Result<Option<Record>, ClientError> {
        self.get_at(key, None).await
    }

    /// One record as of a snapshot, or linearizable.
    pub async fn get_at(
        &self,
        key: &Key,
        at: Option<Timestamp>,
    ) -> Result<Option<Record>, ClientError> {
        key.check()?;
        let message = v1::GetRequest { key: Some(convert::key_out(key)), at: at.map(|at| at.0) };
        let (answer, node) = self
            .call("Get", Some(&key.partition), |node| {
                let request = self.request(message.clone());
                let mut service = self.records(&node);
                async move { service.get(request).await }
            })
            .await?;
        self.learn_route(&key.partition, answer.route);
        let read = answer.read.ok_or_else(|| node.broke("Get without read"))?;
        read.record.map(convert::record_in).transpose().map_err(|what| node.broke(what))
    }

    /// Several records as of one instant, in the order of the keys.
    pub async fn read_set(
        &self,
        keys: &[Key],
        at: Option<Timestamp>,
    ) -> Result<Vec<Option<Record>>, ClientError> {
        keys.iter().try_for_each(Key::check)?;
        let wire_keys = keys.iter().map(convert::key_out).collect();
        let message = v1::ReadSetRequest { keys: wire_keys, at: at.map(|at| at.0) };
        let (answer, node) = self
            .call("ReadSet", None, |node| {
                let request = self.request(message.clone());
                let mut service = self.records(&node);
                async move { service.read_set(request).await }
            })
            .await?;
        if answer.reads.len() != keys.len() {
            return Err(node.broke("ReadSet with another number of records"));
        }
        answer
            .reads
            .into_iter()
            .map(|read| read.record.map(convert::record_in).transpose())
            .collect::<Result<_, _>>()
            .map_err(|what| node.broke(what))
    }

    /// A range of one partition, chunk by chunk. Failures before the first chunk are retried.
    pub async fn scan(&self, range: &KeyRange, options: ScanOptions) -> Result<Scan, ClientError> {
        self.scan_until(self.operation_end(), range, options).await
    }

    async fn scan_until(
        &self,
        end: Instant,
        range: &KeyRange,
        options: ScanOptions,
    ) -> Result<Scan, ClientError> {
        Key::new(&range.collection, &range.partition, &range.from)?;
        let mut attempts = Attempts::new(self, end);
        loop {
            let node = attempts.node(Some(&range.partition));
            let error = match self.open_scan(range, options, &node, end).await {
                Ok(scan) => return Ok(scan),
                Err(error) => error,
            };
            let partition = Some(range.partition.as_str());
            if !error.retryable() || !attempts.again(&error, Some(&node), partition).await {
                return Err(error);
            }
        }
    }

    /// A whole range at once, read again from the start where the stream breaks.
    pub async fn scan_all(
        &self,
        range: &KeyRange,
        options: ScanOptions,
    ) -> Result<Vec<Record>, ClientError> {
        let end = self.operation_end();
        let mut attempts = Attempts::new(self, end);
        loop {
            let error = match self.scan_until(end, range, options).await?.collect().await {
                Ok(records) => return Ok(records),
                Err(error) => error,
            };
            let partition = Some(range.partition.as_str());
            if !error.retryable() || !attempts.again(&error, None, partition).await {
                return Err(error);
            }
        }
    }

    async fn open_scan(
        &self,
        range: &KeyRange,
        options: ScanOptions,
        node: &Node,
        operation_end: Instant,
    ) -> Result<Scan, ClientError> {
        let stream_ms = self.limits().stream_ms;
        let request = self.request_until(
            operation_end,
            v1::ScanRequest {
                range: Some(convert::range_out(range, options.limit)),
                at: options.at.map(|at| at.0),
                deadline_ms: u32::try_from(stream_ms).unwrap_or(u32::MAX),
            },
        );
        let end = Instant::now() + Duration::from_millis(stream_ms);
        let mut service = self.records(node);
        let chunks = self.ask_once("Scan", node, operation_end, service.scan(request)).await?;
        Ok(Scan {
            client: self.clone(),
            node: node.clone(),
            chunks,
            partition: range.partition.clone(),
            end,
            done: false,
        })
    }
}

impl Scan {
    /// The next records, in order; `None` after the last. A stream that ends early is an error.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<Record>>, ClientError> {
        if self.done {
            return Ok(None);
        }
        let limit_ms = self.client.limits().stream_ms;
        let answer = timeout_at(self.end, self.chunks.message())
            .await
            .map_err(|_| ClientError::Deadline { what: "Scan", limit_ms })?
            .map_err(|status| ClientError::from_status(status, &self.node.endpoint))?;
        let chunk = answer.ok_or_else(|| ClientError::Unreachable {
            endpoint: self.node.endpoint.to_string(),
            message: "the scan was cut short".to_owned(),
            sent: true,
        })?;
        self.done = chunk.end;
        self.client.learn_route(&self.partition, chunk.route);
        let records = chunk.records.into_iter().map(convert::record_in).collect::<Result<_, _>>();
        records.map(Some).map_err(|what| self.node.broke(what))
    }

    async fn collect(mut self) -> Result<Vec<Record>, ClientError> {
        let mut records = Vec::new();
        while let Some(chunk) = self.next_chunk().await? {
            records.extend(chunk);
        }
        Ok(records)
    }
}
