//! Questions to a node that answers everything and counts its streams.

use super::*;
use crate::{cluster::refusal, status::ApiError};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use vatic_core::{
    delta::{Delta, Op},
    id::GroupId,
    key::Key,
    value::{Fields, Scalar, Value},
};
use vatic_proto::peer::v1::{
    Answer,
    node_service_server::{NodeService, NodeServiceServer},
};

const NODE: u32 = 2;

#[derive(Clone, Default)]
struct Willing {
    streams: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl NodeService for Willing {
    type AskStream = ReceiverStream<Result<AskResponse, Status>>;

    async fn ask(
        &self,
        request: Request<Streaming<AskRequest>>,
    ) -> Result<Response<Self::AskStream>, Status> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        let (out, answers) = mpsc::channel(8);
        let mut messages = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let body: prost::bytes::Bytes = codec::encode(&PeerReply::Noted).into();
                let answer = |question: Question| Answer { id: question.id, body: body.clone() };
                let answers = message.questions.into_iter().map(answer).collect();
                let _ = out.send(Ok(AskResponse { answers })).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

fn question(bytes: usize) -> PeerRequest {
    let value = Value::One(Scalar::Bytes(vec![7; bytes]));
    let op = Op::Put(Fields::from([("value".to_owned(), value)]));
    let delta = Delta { key: Key::new("c", "p", "").unwrap(), op };
    PeerRequest::Explain { group: GroupId(1), user: 0, deltas: vec![(1, delta)] }
}

#[tokio::test]
async fn question_over_the_limit_is_refused_by_name_and_the_stream_lives() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = BTreeMap::from([(NODE, listener.local_addr().unwrap().to_string())]);
    let willing = Willing::default();
    let service = NodeServiceServer::new(willing.clone());
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let peers = PeerClients::new("tests".to_owned(), addresses);
    let ask = async |bytes| {
        let deadline = Instant::now() + Duration::from_secs(30);
        peers.call(NODE, &question(bytes), deadline).await
    };
    assert!(matches!(ask(1).await, Some(PeerReply::Noted)));
    let refused = ask(QUESTION_BYTES_MAX).await.expect("it is answered here");
    assert!(matches!(refused, PeerReply::Unsendable { .. }), "{refused:?}");
    let error = refusal(GroupId(1), &refused).map(ApiError::from);
    let max = QUESTION_BYTES_MAX as u64;
    assert!(
        matches!(
            error,
            Some(ApiError::Limit { limit: "question_bytes_max", max: told, actual })
                if told == max && actual > max
        ),
        "{error:?}"
    );
    assert!(matches!(ask(1).await, Some(PeerReply::Noted)));
    assert_eq!(willing.streams.load(Ordering::Relaxed), 1, "it is the stream of before");
}
