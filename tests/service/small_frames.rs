//! A client that puts each message into an HTTP/2 frame of its own, as gRPC's C core does.

use std::future::poll_fn;

use h2::{RecvStream, SendStream};
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;
use tonic::codegen::http::Request;
use vatic_proto::v1;
use vatic_proto::v1::transact_request::Frame;
use vatic_proto::v1::transact_response::Frame as Answer;
use vatic_tests::cluster::Cluster;
use vatic_tests::values::{add, core_key, key, number, transition};
use vatic_tests::wait::SOON;
use vatic_tests::wire::committed;

/// More small frames than HTTP/2's library lets wait on a connection with the window that it has by
/// itself, in less bytes than a stream may send ahead.
const FRAMES: u64 = 6_000;

/// So little may the node answer until somebody reads that.
const UNREAD_BYTES: u32 = 256;

/// The node waits for its answers to be taken, so that what is sent ahead piles up.
pub(crate) async fn small_frames_sent_ahead_do_not_end_the_connection(cluster: &Cluster) {
    let name = key("ahead", &cluster.partition(1, 0).await, "");
    let endpoint = &cluster.endpoints()[0];
    let address = endpoint.strip_prefix("http://").expect("a plain endpoint");
    let socket = TcpStream::connect(address).await.unwrap();
    let mut client = h2::client::Builder::new();
    let (client, connection) =
        client.initial_window_size(UNREAD_BYTES).handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("{endpoint}/vatic.v1.TransactionService/Transact"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
    send(&mut body, Frame::Begin(v1::BeginFrame::default())).await.unwrap();
    for seq in 1..=FRAMES {
        let sent = send(&mut body, Frame::Transition(transition(seq, add(&name, 1)))).await;
        sent.unwrap_or_else(|error| panic!("the connection was ended at {seq}: {error}"));
    }
    let seal = v1::CommitFrame { count: FRAMES, head: None };
    send(&mut body, Frame::Commit(seal)).await.unwrap();
    let answers = async { answers(response.await?.into_body()).await };
    let answers = tokio::time::timeout(SOON, answers).await.expect("it ends");
    let answers = answers.unwrap_or_else(|error| panic!("the connection was ended: {error}"));
    let Some(Answer::Outcome(outcome)) = answers.last() else { panic!("{:?}", answers.last()) };
    committed(outcome.outcome.as_ref().expect("an outcome"));
    let found = cluster.client().get(&core_key(&name)).await.unwrap();
    assert_eq!(number(found.as_ref()), FRAMES as i64);
}

/// One message, one frame; as the windows allow.
async fn send(body: &mut SendStream<Bytes>, frame: Frame) -> Result<(), h2::Error> {
    let message = v1::TransactRequest { frame: Some(frame) }.encode_to_vec();
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put_slice(&message);
    body.reserve_capacity(bytes.len());
    while body.capacity() < bytes.len() {
        poll_fn(|context| body.poll_capacity(context)).await.transpose()?;
    }
    body.send_data(bytes.freeze(), false)
}

/// All that the server said.
async fn answers(mut body: RecvStream) -> Result<Vec<Answer>, h2::Error> {
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await.transpose()? {
        body.flow_control().release_capacity(data.len())?;
        bytes.put_slice(&data);
    }
    let mut answers = Vec::new();
    while bytes.has_remaining() {
        assert_eq!(bytes.get_u8(), 0, "it is not compressed");
        let length = bytes.get_u32() as usize;
        let response = v1::TransactResponse::decode(bytes.split_to(length)).expect("a message");
        answers.extend(response.frame);
    }
    Ok(answers)
}
