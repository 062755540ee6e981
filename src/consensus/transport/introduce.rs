//! What replicas say to each other about who they are, outside of Raft.
//!
//! Why beside Raft: an empty replica must know whether its id took part before *before* it votes,
//! and one that replaces another must ask to be taken in; Raft has no words for either.
//!
//! Invariant: a probe's answer leaves nothing behind, and a join is only a nudge: what happens is
//! decided by the membership that the leader finds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use vatic_proto::peer::v1::{Envelope, Kind, ReplyStatus};

use super::lane::SendError;
use super::peers::Peers;
use crate::codec::{decode, encode};
use crate::notes::Notes;
use crate::round_trip::RoundTrip;
use crate::types::RaftId;

/// What a node knows of another's replica of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// The latest generation that it has spoken to; 0 for none.
    pub(crate) met: u32,
    /// The latest generation in its membership; 0 for none.
    pub(crate) listed: u32,
    /// It leads the group, and a quorum has just confirmed that.
    pub(crate) leads: bool,
    /// Its own replica serves.
    pub(crate) serves: bool,
    /// Its disk has room for new work, and for more.
    pub(crate) has_room: bool,
    /// The generation of its own replica.
    pub(crate) generation: u32,
}

impl Known {
    /// Whether it may be given the leadership.
    pub(crate) fn is_fit(&self) -> bool {
        self.serves && self.has_room
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Join {
    /// Where the replica's node listens for peers.
    pub(crate) address: String,
}

/// Asks a node what it knows of `own`; `None` where it does not answer.
pub(crate) async fn probe(circle: &Circle, node: u32, own: RaftId) -> Option<Known> {
    decode(&circle.call(node, own, Kind::Probe, encode(&())).await?).ok()
}

/// Asks all of `nodes` that `own` be taken in; whoever leads does it.
pub(crate) async fn join(circle: &Circle, nodes: &BTreeSet<u32>, own: RaftId, address: &str) {
    let body = encode(&Join { address: address.to_owned() });
    join_all(nodes.iter().map(|node| circle.call(*node, own, Kind::Join, body.clone()))).await;
}

/// The peers of one replica.
#[derive(Clone)]
pub(crate) struct Circle {
    pub(crate) peers: Arc<Peers>,
    pub(crate) group: u32,
    pub(crate) notes: Arc<Notes>,
    /// Notified when a peer says that this replica was replaced by a later one of its node.
    pub(crate) gone: Arc<Notify>,
    /// To whichever of them answers appends the soonest.
    pub(crate) round_trip: Arc<RoundTrip>,
}

impl Circle {
    pub(crate) fn notice(&self, error: SendError) {
        if error == SendError::Refused(ReplyStatus::Gone) {
            self.gone.notify_one();
        }
    }

    async fn call(&self, node: u32, own: RaftId, kind: Kind, body: Bytes) -> Option<Bytes> {
        let deadline = Duration::from_millis(self.peers.limits.read_deadline_ms);
        let envelope = Envelope {
            group: self.group,
            from: own.as_u64(),
            to: RaftId::new(node, 0).as_u64(),
            kind: kind.into(),
            session: 0,
            sequence: 0,
            body,
        };
        let reply = self.peers.peer(node).control.call(envelope, deadline).await;
        reply.inspect_err(|error| self.notice(*error)).ok()
    }
}
