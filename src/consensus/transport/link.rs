//! openraft's network trait for one group and one target, over the lanes to the target's node.
//!
//! Why every failure is `Unreachable`: openraft backs off from that, and retries the others at
//! once; a peer that timed out is the last that should get a retry at once.
//!
//! Invariant: pre-vote is asked of the peer. openraft's default grants it unseen, and a candidate
//! that nobody hears would then unseat a leader that everybody else does. A target is noted before
//! it is sent what may bind it (`notes`).

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::Stream;
use openraft::OptionalSend;
use openraft::alias::SnapshotOf;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prometheus::Histogram;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vatic_proto::peer::v1::{Envelope, Kind};
use vatic_sync::Level;

use super::append::Pipeline;
use super::introduce::Circle;
use super::lane::{Lane, SendError};
use super::peers::Peer;
use super::snapshot_send;
use crate::codec;
use crate::limits::Limits;
use crate::round_trip::RoundTrip;
use crate::snapshot::SnapshotHandle;
use crate::types::{Place, RaftId, Types, Vote};

/// Makes the links of one replica.
pub(crate) struct Links {
    circle: Circle,
    from: RaftId,
}

impl Links {
    pub(crate) fn new(circle: Circle, from: RaftId) -> Self {
        Self { circle, from }
    }

    fn link(&self, target: RaftId, place: &Place, heartbeat: bool) -> Link {
        let peers = &self.circle.peers;
        peers.addresses.learn(target.node(), &place.address);
        Link {
            from: self.from,
            to: target,
            heartbeat,
            peer: peers.peer(target.node()),
            limits: peers.limits.clone(),
            append_seconds: peers.metrics.append_seconds.clone(),
            circle: self.circle.clone(),
        }
    }
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: RaftId, node: &Place) -> Link {
        self.link(target, node, false)
    }

    async fn new_heartbeat_client(&mut self, target: RaftId, node: &Place) -> Link {
        self.link(target, node, true)
    }
}

/// One group's way to one target.
pub(crate) struct Link {
    circle: Circle,
    pub(crate) from: RaftId,
    pub(crate) to: RaftId,
    /// Appends without entries that only keep the lease: on the control lane.
    heartbeat: bool,
    pub(crate) peer: Peer,
    pub(crate) limits: Arc<Limits>,
    pub(crate) append_seconds: Histogram,
}

impl Link {
    pub(crate) fn envelope(&self, kind: Kind, session: u64, body: bytes::Bytes) -> Envelope {
        Envelope {
            group: self.circle.group,
            from: self.from.as_u64(),
            to: self.to.as_u64(),
            kind: kind.into(),
            session,
            sequence: 0,
            body,
        }
    }

    async fn control<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: Kind,
        request: &Q,
        deadline: Duration,
    ) -> Result<A, RPCError<Types>> {
        let reply = self.call(kind, codec::encode(request), deadline).await?;
        codec::decode(&reply).map_err(|_| unreachable(SendError::BadReply))
    }

    async fn call(
        &self,
        kind: Kind,
        body: bytes::Bytes,
        deadline: Duration,
    ) -> Result<bytes::Bytes, RPCError<Types>> {
        let called = self.peer.control.call(self.envelope(kind, 0, body), deadline).await;
        called.inspect_err(|error| self.circle.notice(*error)).map_err(unreachable)
    }

    /// Notes that the target is there, before the first message that may bind it.
    async fn introduce(&self) -> Result<(), RPCError<Types>> {
        if self.circle.notes.met(self.to.node()) >= self.to.generation() {
            return Ok(());
        }
        let deadline = Duration::from_millis(self.limits.append_deadline_ms);
        self.call(Kind::Greet, bytes::Bytes::new(), deadline).await?;
        let noted = self.circle.notes.meet(self.to).await;
        noted.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
    }

    pub(crate) fn append_lane(&self) -> &Lane {
        &self.peer.append
    }

    pub(crate) fn round_trip(&self) -> &RoundTrip {
        &self.circle.round_trip
    }
}

pub(crate) fn unreachable(error: SendError) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&error))
}

/// Numbers pipelines and snapshot transfers; a later one has the greater number.
pub(crate) fn next_session() -> u64 {
    static NEXT: LazyLock<Level> = LazyLock::new(|| Level::new(1));
    NEXT.step()
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotHandle;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.introduce().await?;
        self.control(Kind::Heartbeat, &rpc, option.hard_ttl()).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, AppendStream<'s>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        if self.heartbeat {
            return stream_append_sequential(self, input, option);
        }
        Box::pin(async move {
            if let Err(error) = self.introduce().await {
                // openraft backs off where it is asked for the next request; before the first one
                // nobody has asked, and a peer that refuses at once would be tried in a circle.
                tokio::time::sleep(Duration::from_millis(self.limits.reconnect_min_ms)).await;
                return Err(error);
            }
            let pipeline: BoxStream<'s, _> = Box::pin(Pipeline::new(self, input));
            Ok(pipeline)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.introduce().await?;
        self.control(Kind::Vote, &rpc, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.control(Kind::PreVote, &rpc, option.hard_ttl()).await
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.introduce().await?;
        self.control(Kind::TransferLeader, &req, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotHandle>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = async {
                self.introduce().await?;
                snapshot_send::send(self, vote, snapshot.snapshot).await
            } => sent,
        }
    }
}

pub(crate) type AppendResult = Result<StreamAppendResult<Types>, RPCError<Types>>;
type AppendStream<'s> = Result<BoxStream<'s, AppendResult>, RPCError<Types>>;
