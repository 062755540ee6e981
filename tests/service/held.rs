//! Clients that begin reads and take nothing of them: a node keeps no more for them than it may.

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;
use vatic_client::{Client, Options, ScanOptions};
use vatic_core::delta::{Delta, Op};
use vatic_core::key::{Key, KeyRange};
use vatic_core::value::{Fields, Value};
use vatic_proto::v1;
use vatic_tests::cluster::{Cluster, free_addresses};
use vatic_tests::http;
use vatic_tests::node::Node;
use vatic_tests::scrape::Scrape;
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{self, Stream, refused};

/// The least that a node takes: two scans find room, and a third one hardly.
const HELD_BYTES_MAX: u64 = 8 << 20;
/// One page of a scan, and twice what chunks, windows and buffers take of it.
const RECORDS: usize = 36;
const VALUE_BYTES: usize = 100 << 10;
const RECORDS_A_TRANSACTION: usize = 6;
/// What a client takes before it says that it has.
const WINDOW_BYTES: u32 = 64 << 10;
/// Many more than find room.
const READS: usize = 12;

struct Small {
    node: Node,
    admin: String,
    _dir: tempfile::TempDir,
}

impl Small {
    async fn start() -> Small {
        let dir = tempfile::tempdir().expect("there is a place for temporary files");
        let addresses = free_addresses(3);
        let config = format!(
            "cluster = \"held\"\nnode = 1\ndata_dir = {:?}\nclient_listen = \"{}\"\n\
             peer_listen = \"{}\"\nadmin_listen = \"{}\"\ngroups = 1\nreplicas = 1\n\n\
             [limits]\nreads_held_bytes_max = {HELD_BYTES_MAX}\n",
            dir.path().join("data"),
            addresses[0],
            addresses[1],
            addresses[2],
        );
        let endpoint = format!("http://{}", addresses[0]);
        let mut node = Node::new(1, endpoint, dir.path(), &config);
        node.start();
        let small = Small { node, admin: addresses[2].clone(), _dir: dir };
        let client = small.client();
        until("the node serves", SOON, || async {
            client.cluster_locally().await.ok().filter(|seen| seen.ready)
        })
        .await;
        small
    }

    fn client(&self) -> Client {
        let endpoints = [self.node.endpoint.clone()];
        Client::lazy(&endpoints, Options::default()).expect("the endpoint is sound")
    }

    /// A connection that takes little ahead of who reads from it.
    fn channel(&self) -> Channel {
        let endpoint = Endpoint::new(self.node.endpoint.clone()).expect("the endpoint is sound");
        endpoint.initial_stream_window_size(WINDOW_BYTES).connect_lazy()
    }

    async fn held_bytes(&self) -> u64 {
        let (status, text) = http::ask(&self.admin, "/metrics").await.unwrap();
        assert_eq!(status, 200, "{text}");
        Scrape::read(&text).is("vatic_reads_held_bytes") as u64
    }

    /// Nothing is held once nobody reads any more.
    async fn let_go(&self) {
        until("what was held is given back", SOON, || async {
            (self.held_bytes().await == 0).then_some(())
        })
        .await;
    }

    async fn fill(&self, range: &KeyRange) {
        let client = self.client();
        let numbers: Vec<usize> = (0..RECORDS).collect();
        for numbers in numbers.chunks(RECORDS_A_TRANSACTION) {
            let done = client.run(|txn| async move {
                for number in numbers {
                    let sort = format!("{number:04}");
                    let key = Key::new(&range.collection, &range.partition, &sort)?;
                    let value = Value::from("x".repeat(VALUE_BYTES).as_str());
                    let op = Op::Put(Fields::from([("value".to_owned(), value)]));
                    txn.apply(&Delta { key, op }).await?;
                }
                Ok(())
            });
            done.await.unwrap();
        }
    }
}

fn asked(range: &KeyRange) -> v1::ScanRange {
    v1::ScanRange {
        collection: range.collection.clone(),
        partition: range.partition.clone(),
        ..v1::ScanRange::default()
    }
}

/// It names the limit, and when to come back.
fn assert_full(status: &Status) {
    let error = refused(status);
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "QUEUE_FULL"));
    assert_eq!(error.metadata["limit"], "reads_held_bytes_max");
    assert_eq!(error.metadata["max"], HELD_BYTES_MAX.to_string());
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
}

/// A scan of which the first chunk was taken, and no more.
async fn begin_scan(
    small: &Small,
    range: &KeyRange,
) -> Result<Streaming<v1::ScanResponse>, Status> {
    let mut records = wire::records(small.channel());
    let request = v1::ScanRequest { range: Some(asked(range)), ..v1::ScanRequest::default() };
    let mut chunks = records.scan(request).await?.into_inner();
    let first = chunks.message().await?.expect("a first chunk");
    assert!(!first.end && !first.records.is_empty());
    Ok(chunks)
}

async fn scans_are_refused(small: &Small, range: &KeyRange) {
    let mut begun = Vec::new();
    let refusal = loop {
        assert!(begun.len() < READS, "whatever nobody takes is kept");
        match begin_scan(small, range).await {
            Ok(scan) => begun.push(scan),
            Err(status) => break status,
        }
        assert!(small.held_bytes().await <= HELD_BYTES_MAX);
    };
    assert_full(&refusal);
    assert!(begun.len() >= 2, "two find room: {}", begun.len());
    // The one that was refused holds nothing, and those before all that they have.
    let held = small.held_bytes().await;
    assert!(held > HELD_BYTES_MAX / 4 && held <= HELD_BYTES_MAX, "{held}");
    drop(begun);
    small.let_go().await;
}

/// The same of scans in transactions, which send no frame more.
async fn scans_of_streams_are_refused(small: &Small, range: &KeyRange) {
    let mut begun: Vec<Stream> = Vec::new();
    let refusal = loop {
        assert!(begun.len() < READS, "whatever nobody takes is kept");
        let mut stream = Stream::begin(small.channel()).await;
        let frame = v1::ScanFrame { scan_id: 1, range: Some(asked(range)) };
        stream.send(v1::transact_request::Frame::Scan(frame)).await;
        let first = stream.find(|frame| match frame {
            v1::transact_response::Frame::ScanChunk(chunk) => Some(chunk.end),
            _ => None,
        });
        match first.await {
            Ok(end) => assert!(!end, "there is more of it"),
            Err(status) => break status,
        }
        begun.push(stream);
        assert!(small.held_bytes().await <= HELD_BYTES_MAX);
    };
    assert_full(&refusal);
    assert!(begun.len() >= 2, "two find room: {}", begun.len());
    drop(begun);
    small.let_go().await;
}

/// A message of reads that together are over the limit: those that find room are answered.
async fn reads_of_pipelines_are_refused(small: &Small, range: &KeyRange) {
    let operation = |id: u64| {
        let sort = format!("{:04}", id as usize % RECORDS);
        let key = vatic_tests::values::key(&range.collection, &range.partition, &sort);
        let get = v1::GetRequest { key: Some(key), at: None };
        v1::Operation { id, deadline_ms: 0, call: Some(v1::operation::Call::Get(get)) }
    };
    let count = 2 * HELD_BYTES_MAX / VALUE_BYTES as u64;
    let message = v1::PipelineRequest { operations: (0..count).map(operation).collect() };
    let mut service = v1::pipeline_service_client::PipelineServiceClient::new(small.channel())
        .max_decoding_message_size(usize::MAX);
    let mut answers = service.pipeline(tokio_stream::iter([message])).await.unwrap().into_inner();
    let (mut found, mut full) = (0, 0);
    while let Some(message) = answers.message().await.unwrap() {
        for result in message.results {
            match result.answer.expect("a result has an answer") {
                v1::operation_result::Answer::Read(read) => {
                    assert!(read.record.is_some());
                    found += 1;
                }
                v1::operation_result::Answer::Error(error) => {
                    assert_eq!(error.code, Code::ResourceExhausted as i32, "{error:?}");
                    assert!(error.message.contains("reads_held_bytes_max"), "{error:?}");
                    full += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(found + full, count);
    assert!(found >= count / 3 && full >= count / 3, "{found} found, {full} refused");
    small.let_go().await;
}

pub(crate) async fn reads_that_nobody_takes_are_bounded_by_bytes_and_refused_beyond(_: &Cluster) {
    let small = Small::start().await;
    let range = KeyRange::partition("held", "p");
    small.fill(&range).await;
    small.let_go().await;
    scans_are_refused(&small, &range).await;
    scans_of_streams_are_refused(&small, &range).await;
    reads_of_pipelines_are_refused(&small, &range).await;
    let found = small.client().scan_all(&range, ScanOptions::default()).await.unwrap();
    assert_eq!(found.len(), RECORDS);
    small.let_go().await;
}
