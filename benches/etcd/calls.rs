//! The calls of etcd's API that the loads make, and no more of its messages than they need.

use prost::{Message, Oneof};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutResponse {}

/// Linearizable, unless it says otherwise, which it does not.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pub(super) records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) unless_changed: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(super) then: Vec<Operation>,
}

/// That a record's last change was in this revision.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Compare {
    #[prost(int32, tag = "1")]
    result: i32,
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(int64, optional, tag = "6")]
    revision: Option<i64>,
}

impl Compare {
    pub(super) fn unchanged(key: Vec<u8>, revision: i64) -> Compare {
        const EQUAL: i32 = 0;
        const REVISION: i32 = 2;
        Compare { result: EQUAL, target: REVISION, key, revision: Some(revision) }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Operation {
    #[prost(oneof = "What", tags = "1, 2")]
    pub(super) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    #[prost(message, tag = "2")]
    Put(PutRequest),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnResponse {
    #[prost(bool, tag = "2")]
    pub(super) succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub(super) answers: Vec<Answer>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    pub(super) range: Option<RangeResponse>,
}

pub(super) async fn put(node: &Channel, request: PutRequest) -> Result<PutResponse, Status> {
    call(node, "/etcdserverpb.KV/Put", request).await
}

pub(super) async fn range(node: &Channel, request: RangeRequest) -> Result<RangeResponse, Status> {
    call(node, "/etcdserverpb.KV/Range", request).await
}

pub(super) async fn txn(node: &Channel, request: TxnRequest) -> Result<TxnResponse, Status> {
    call(node, "/etcdserverpb.KV/Txn", request).await
}

async fn call<Q, A>(node: &Channel, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(node.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(path);
    let answer = client.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await?;
    Ok(answer.into_inner())
}
