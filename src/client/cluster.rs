//! The cluster as one of its nodes sees it, and whether its replicas agree.

use vatic_core::hash::Hash;
use vatic_core::id::GroupId;
use vatic_core::ring::RingSpec;
use vatic_core::sign::{PublicKey, TrustedKeys};
use vatic_proto::v1;

use crate::convert::{self, Malformed};

/// Members and groups.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name, which is part of everything that its nodes sign.
    pub name: String,
    /// Who answered.
    pub node_id: u64,
    /// Its version.
    pub version: String,
    /// The ring's epoch.
    pub ring_epoch: u64,
    /// Whether the answering node sees a leader for each group and takes transactions.
    pub ready: bool,
    /// Ascending by id.
    pub members: Vec<Member>,
    /// Ascending by id; group 0 is the cluster's own.
    pub groups: Vec<Group>,
    /// The ring, where the answering node knows it.
    pub ring: Option<RingSpec>,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub node_id: u64,
    /// Where clients reach it.
    pub client_endpoint: String,
    /// Where other nodes reach it.
    pub peer_endpoint: String,
    /// Whether it answered.
    pub reachable: bool,
    /// What its signatures are verified with, where it has told it.
    pub public_key: Option<PublicKey>,
}

/// One Raft group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its id.
    pub group: u32,
    /// Who leads it, where known.
    pub leader: Option<u64>,
    /// The highest term seen.
    pub term: u64,
    /// Ascending by node.
    pub replicas: Vec<Replica>,
}

/// One replica of a group.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Where it is.
    pub node_id: u64,
    /// Rises each time that the node's replica is begun anew.
    pub generation: u32,
    /// What it is.
    pub role: Role,
    /// Whether it answered; if not, the rest is empty.
    pub reachable: bool,
    /// Last log index applied.
    pub applied_index: u64,
    /// The group's chain up to there.
    pub chain_digest: Option<Hash>,
    /// Over every replicated key and value, where it was asked for.
    pub state_digest: Option<Hash>,
    /// Transactions voted Yes on and not yet decided.
    pub undecided: u64,
    /// Records held, where state digests were asked for.
    pub records: u64,
    /// Set where it differs from the others, or is damaged, and serves no more.
    pub divergence: Option<Divergence>,
}

/// How a replica differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The first log index from which on it differs, as far as that is known.
    pub index: u64,
    /// For people.
    pub what: String,
}

/// What a replica is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    Unknown,
    Leader,
    Follower,
    Candidate,
    Learner,
}

impl Role {
    /// Lower-case.
    pub fn name(self) -> &'static str {
        match self {
            Role::Unknown => "unknown",
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Learner => "learner",
        }
    }
}

impl Group {
    /// Whether all replicas answered, stand at one index, and have one chain and one state there.
    /// Digests that were not given are not compared; a chain digest must be given.
    pub fn agrees(&self) -> bool {
        let Some(first) = self.replicas.first() else { return false };
        first.chain_digest.is_some()
            && self.replicas.iter().all(|replica| {
                replica.reachable
                    && replica.divergence.is_none()
                    && replica.applied_index == first.applied_index
                    && replica.chain_digest == first.chain_digest
                    && replica.state_digest == first.state_digest
            })
    }

    /// Whether a replica was set aside, or two contradict each other: at one index with different
    /// digests. Waiting does not mend that.
    pub fn diverges(&self) -> bool {
        let set_aside = self.replicas.iter().any(|replica| replica.divergence.is_some());
        set_aside
            || self.replicas.iter().enumerate().any(|(at, a)| {
                self.replicas[at + 1..].iter().any(|b| {
                    let comparable =
                        a.reachable && b.reachable && a.applied_index == b.applied_index;
                    // Who serves nothing tells nothing.
                    let differ = |a: Option<Hash>, b| a.zip(b).is_some_and(|(a, b)| a != b);
                    comparable
                        && (differ(a.chain_digest, b.chain_digest)
                            || differ(a.state_digest, b.state_digest))
                })
            })
    }
}

impl Cluster {
    /// The keys of all groups' replicas as the cluster itself tells them: to be pinned by whoever
    /// trusts this answer.
    pub fn trusted_keys(&self) -> TrustedKeys {
        let key = |node: u64| {
            let member = self.members.iter().find(|member| member.node_id == node);
            member.and_then(|member| member.public_key).map(|key| (node, key))
        };
        let groups = self.groups.iter().map(|group| {
            let keys = group.replicas.iter().filter_map(|replica| key(replica.node_id));
            (GroupId(group.group), keys.collect())
        });
        TrustedKeys { cluster: self.name.clone(), groups: groups.collect() }
    }

    pub(crate) fn read(answer: v1::ClusterResponse) -> Result<Cluster, Malformed> {
        Ok(Cluster {
            name: answer.cluster,
            node_id: answer.node_id,
            version: answer.version,
            ring_epoch: answer.ring_epoch,
            ready: answer.ready,
            members: answer.members.into_iter().map(member).collect::<Result<_, _>>()?,
            groups: answer.groups.into_iter().map(group).collect::<Result<_, _>>()?,
            ring: answer.ring.map(ring),
        })
    }
}

fn ring(ring: v1::Ring) -> RingSpec {
    let groups = ring.groups.into_iter().map(GroupId).collect();
    RingSpec { epoch: ring.epoch, virtual_nodes: ring.virtual_nodes, groups }
}

fn member(member: v1::Member) -> Result<Member, Malformed> {
    let public_key = digest(&member.public_key)?.map(|key| PublicKey(key.0));
    Ok(Member {
        node_id: member.node_id,
        client_endpoint: member.client_endpoint,
        peer_endpoint: member.peer_endpoint,
        reachable: member.reachable,
        public_key,
    })
}

fn group(group: v1::Group) -> Result<Group, Malformed> {
    Ok(Group {
        group: group.group,
        leader: Some(group.leader_node).filter(|node| *node != 0),
        term: group.term,
        replicas: group.replicas.into_iter().map(replica).collect::<Result<_, _>>()?,
    })
}

fn replica(replica: v1::Replica) -> Result<Replica, Malformed> {
    Ok(Replica {
        node_id: replica.node_id,
        generation: replica.generation,
        role: match replica.role() {
            v1::replica::Role::Unspecified => Role::Unknown,
            v1::replica::Role::Leader => Role::Leader,
            v1::replica::Role::Follower => Role::Follower,
            v1::replica::Role::Candidate => Role::Candidate,
            v1::replica::Role::Learner => Role::Learner,
        },
        reachable: replica.reachable,
        applied_index: replica.applied_index,
        chain_digest: digest(&replica.chain_digest)?,
        state_digest: digest(&replica.state_digest)?,
        undecided: replica.undecided,
        records: replica.records,
        divergence: replica
            .divergence
            .map(|v1::Divergence { index, what }| Divergence { index, what }),
    })
}

fn digest(bytes: &[u8]) -> Result<Option<Hash>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { convert::hash_in(bytes).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(applied_index: u64, chain: u8) -> Replica {
        Replica {
            node_id: 1,
            generation: 1,
            role: Role::Follower,
            reachable: true,
            applied_index,
            chain_digest: Some(Hash([chain; 32])),
            state_digest: None,
            undecided: 0,
            records: 0,
            divergence: None,
        }
    }

    fn group(replicas: Vec<Replica>) -> Group {
        Group { group: 1, leader: Some(1), term: 1, replicas }
    }

    #[test]
    fn replicas_at_one_index_with_one_chain_agree() {
        assert!(group(vec![replica(5, 1), replica(5, 1)]).agrees());
    }

    #[test]
    fn replica_that_lags_neither_agrees_nor_diverges() {
        let group = group(vec![replica(5, 1), replica(4, 2)]);
        assert!(!group.agrees());
        assert!(!group.diverges());
    }

    #[test]
    fn replicas_at_one_index_with_two_chains_diverge() {
        let group = group(vec![replica(4, 9), replica(5, 1), replica(5, 2)]);
        assert!(!group.agrees());
        assert!(group.diverges());
    }

    #[test]
    fn unreachable_replica_does_not_agree() {
        let gone = Replica { reachable: false, ..replica(5, 1) };
        assert!(!group(vec![replica(5, 1), gone]).agrees());
        assert!(!group(vec![]).agrees());
    }

    #[test]
    fn state_digests_are_compared_where_given() {
        let state = |byte| Replica { state_digest: Some(Hash([byte; 32])), ..replica(5, 1) };
        assert!(group(vec![state(1), state(1)]).agrees());
        assert!(group(vec![state(1), state(2)]).diverges());
    }
}
