//! Peers and clients that are none, or that vanish: a node shrugs them off.

use prost::bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::iter;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use vatic_proto::peer::v1::node_service_client::NodeServiceClient;
use vatic_proto::peer::v1::raft_service_client::RaftServiceClient;
use vatic_proto::peer::v1::{AskRequest, Envelope, ExchangeRequest, Hello, Lane, Question};
use vatic_tests::cluster::Cluster;
use vatic_tests::scrape::Scrape;
use vatic_tests::values::{key, put, text};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const VANISHING: usize = 60;

pub(crate) async fn garbage_on_either_port_ends_its_connection_alone(cluster: &Cluster) {
    let client = cluster.endpoints()[0].trim_start_matches("http://").to_owned();
    // Lengths of 2^24-1 that nothing follows, frames cut short, frames of no kind.
    let frames: [&[u8]; 4] = [
        &[0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1],
        &[0, 0, 20, 1, 4, 0, 0, 0, 1, 0x82],
        &[0, 0, 4, 0xEE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4],
        &[0xA5; 4_096],
    ];
    for address in [client.as_str(), cluster.peer_address(0)] {
        for frame in frames {
            for bytes in [frame.to_vec(), [PREFACE, frame].concat()] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                // It may hang up before it has read all.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let mut answer = Vec::new();
                let reading = stream.read_to_end(&mut answer);
                let ended = tokio::time::timeout(SOON, reading).await;
                assert!(ended.is_ok(), "{address} keeps a connection that sent {bytes:?}");
            }
        }
    }
    still_commits(cluster, "garbage").await;
}

pub(crate) async fn stranger_on_the_peer_port_is_refused(cluster: &Cluster) {
    let endpoint = Endpoint::new(format!("http://{}", cluster.peer_address(0))).unwrap();
    let channel = endpoint.connect_lazy();
    let ask = |name: &str, body: &'static [u8]| AskRequest {
        cluster: name.to_owned(),
        questions: vec![Question { id: 1, deadline_ms: 1_000, body: Bytes::from_static(body) }],
    };
    let requests = [("others", ask("others", b"")), ("no body", ask("tests", b""))];
    let garbage = [("garbage", ask("tests", &[0xA5; 64])), ("format", ask("tests", &[255, 0]))];
    for (what, request) in requests.into_iter().chain(garbage) {
        assert_ne!(asked(&channel, request).await, Code::Ok, "{what}");
    }
    let hello = |cluster: &str, lane: Lane| Hello {
        cluster: cluster.to_owned(),
        node: 2,
        lane: lane.into(),
    };
    let first = |format, hello| ExchangeRequest { format, hello, envelopes: Vec::new() };
    let refused = [
        ("another cluster", first(1, Some(hello("others", Lane::Append)))),
        ("another format", first(9, Some(hello("tests", Lane::Append)))),
        ("no lane", first(1, Some(hello("tests", Lane::Unspecified)))),
        ("no hello", first(1, None)),
    ];
    for (what, request) in refused {
        let opened = RaftServiceClient::new(channel.clone()).exchange(iter([request])).await;
        assert_ne!(opened.expect_err(what).code(), Code::Ok);
    }
    // Past the hello: bodies of every kind, and of none, that nobody can read.
    for lane in [Lane::Control, Lane::Append, Lane::Snapshot] {
        let envelopes = (0..=12).map(|kind| Envelope {
            group: 1,
            from: 2 << 32 | 1,
            to: 1 << 32 | 1,
            kind,
            session: u64::MAX,
            sequence: kind as u64,
            body: vec![0xA5; 64].into(),
        });
        let second = ExchangeRequest { format: 1, hello: None, envelopes: envelopes.collect() };
        let messages = iter([first(1, Some(hello("tests", lane))), second]);
        let opened = RaftServiceClient::new(channel.clone()).exchange(messages).await;
        let mut replies = opened.unwrap().into_inner();
        // Whether it answers or hangs up, it does not go on for ever.
        let all = async { while let Ok(Some(_)) = replies.message().await {} };
        tokio::time::timeout(SOON, all).await.expect("the stream ends");
    }
    still_commits(cluster, "stranger").await;
}

async fn asked(channel: &Channel, request: AskRequest) -> Code {
    // Questions follow the hello.
    let hello = AskRequest { questions: Vec::new(), ..request.clone() };
    match NodeServiceClient::new(channel.clone()).ask(iter([hello, request])).await {
        Err(status) => status.code(),
        Ok(answers) => {
            let mut answers = answers.into_inner();
            let answer = tokio::time::timeout(SOON, answers.message()).await;
            answer.expect("it comes in time").err().map_or(Code::Ok, |status| status.code())
        }
    }
}

pub(crate) async fn clients_that_vanish_mid_stream_leave_no_slot_and_no_memory(cluster: &Cluster) {
    let name = key("vanishing", &cluster.partition(1, 0).await, "");
    for _ in 0..VANISHING {
        let mut stream = Stream::begin(cluster.channel(0)).await;
        stream.write(put(&name, text("x".repeat(10_000)))).await;
        stream.acknowledged().await;
        // Connection and all.
        drop(stream);
    }
    until("slots and memory are free again", SOON, || async {
        let (_, text) = cluster.admin(0, "/metrics").await.ok()?;
        let scrape = Scrape::read(&text);
        let left = scrape.is("vatic_streams") + scrape.is("vatic_gateway_bytes");
        (left == 0.0).then_some(())
    })
    .await;
    still_commits(cluster, "vanishing").await;
}

/// All nodes run, and take transactions.
async fn still_commits(cluster: &Cluster, collection: &str) {
    for at in 0..vatic_tests::cluster::NODES {
        let name = key(collection, &cluster.partition(2, 0).await, "");
        let mut stream = Stream::begin(cluster.channel(at)).await;
        stream.write(put(&name, text("fine"))).await;
        committed(&stream.commit().await);
    }
    cluster.assert_alive();
    cluster.wait_agreed().await;
}
