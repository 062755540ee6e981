//! The groups' digest chains at an index that all their replicas have reached.
//!
//! Replicas that work are rarely at one index, so their last heads prove nothing; each keeps the
//! heads of its last entries, though, and those at one index must be equal.

use std::collections::BTreeSet;

use vatic_core::hash::Hash;
use vatic_proto::v1;

use crate::client::Client;
use crate::convert::{self, Malformed};
use crate::error::ClientError;

/// What the replicas of a group have in common of its chain.
#[derive(Debug, Clone)]
pub struct Chains {
    /// The group's id.
    pub group: u32,
    /// The lowest index at which the chain of a replica that answered stood; 0: none answered.
    pub index: u64,
    /// Ascending by node: all that hold the group.
    pub replicas: Vec<ReplicaChain>,
}

/// One replica's part.
#[derive(Debug, Clone)]
pub struct ReplicaChain {
    /// Where it is.
    pub node_id: u64,
    /// Where its chain stood; 0: it did not answer.
    pub last_index: u64,
    /// What it has at the common index.
    pub head: Head,
}

/// A replica's head at an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// It did not answer, serves no more, or has fallen behind since it was asked first.
    Untold,
    /// This one.
    Kept(Hash),
    /// It has gone on for so long that it does not keep it any more.
    Dropped,
    /// Its chain has none there: it is another one.
    Absent,
}

impl Chains {
    /// The head at the index, where all replicas have the same one.
    pub fn agreed(&self) -> Option<Hash> {
        let Head::Kept(first) = self.replicas.first()?.head else { return None };
        let same = self.replicas.iter().all(|replica| replica.head == Head::Kept(first));
        same.then_some(first)
    }

    /// Whether two replicas contradict each other: with different heads, or where one has none.
    pub fn differ(&self) -> bool {
        // Who does not tell, or no longer knows, contradicts nobody.
        let told = self.replicas.iter().filter_map(|replica| match replica.head {
            Head::Kept(digest) => Some(Some(digest)),
            Head::Absent => Some(None),
            Head::Untold | Head::Dropped => None,
        });
        told.collect::<BTreeSet<_>>().len() > 1
    }

    /// The highest index that a replica's chain has reached, once all of them have told theirs.
    pub fn furthest(&self) -> Option<u64> {
        let all = self.replicas.iter().all(|replica| replica.last_index > 0);
        self.replicas.iter().map(|replica| replica.last_index).max().filter(|_| all)
    }

    /// Whether a replica is so far behind that another one no longer keeps a head of its index.
    pub fn out_of_reach(&self) -> bool {
        self.replicas.iter().any(|replica| replica.head == Head::Dropped)
    }

    pub(crate) fn read(chains: v1::GroupChains) -> Result<Chains, Malformed> {
        Ok(Chains {
            group: chains.group,
            index: chains.index,
            replicas: chains.replicas.into_iter().map(replica).collect::<Result<_, _>>()?,
        })
    }
}

impl Client {
    /// Every group's chains at the lowest index that its replicas have in common; ascending by
    /// group. No node reads more for it than heads.
    pub async fn chains(&self) -> Result<Vec<Chains>, ClientError> {
        let (answer, node) = self
            .call("Chains", None, |node| {
                let request = self.request(v1::ChainsRequest {});
                let mut service = self.clusters(&node);
                async move { service.chains(request).await }
            })
            .await?;
        let groups = answer.groups.into_iter().map(Chains::read).collect::<Result<_, _>>();
        groups.map_err(|what| node.broke(what))
    }
}

fn replica(replica: v1::ReplicaChain) -> Result<ReplicaChain, Malformed> {
    use v1::replica_chain::Head as Told;
    let head = match replica.head() {
        Told::Unspecified => Head::Untold,
        Told::Kept => Head::Kept(convert::hash_in(&replica.digest)?),
        Told::Dropped => Head::Dropped,
        Told::Absent => Head::Absent,
    };
    Ok(ReplicaChain { node_id: replica.node_id, last_index: replica.last_index, head })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(byte: u8) -> Head {
        Head::Kept(Hash([byte; 32]))
    }

    fn chains(replicas: &[(u64, Head)]) -> Chains {
        let replicas = replicas.iter().zip(1..);
        let replica = |(&(last_index, head), node_id)| ReplicaChain { node_id, last_index, head };
        Chains { group: 1, index: 7, replicas: replicas.map(replica).collect() }
    }

    #[test]
    fn replicas_with_one_head_agree_though_they_stand_at_different_indexes() {
        let chains = chains(&[(9, kept(1)), (7, kept(1)), (8, kept(1))]);
        assert_eq!(chains.agreed(), Some(Hash([1; 32])));
        assert!(!chains.differ());
        assert_eq!(chains.furthest(), Some(9));
    }

    #[test]
    fn replica_that_is_silent_or_out_of_reach_neither_agrees_nor_differs() {
        for head in [Head::Untold, Head::Dropped] {
            let chains = chains(&[(9, kept(1)), (7, kept(1)), (8, head)]);
            assert_eq!(chains.agreed(), None, "{head:?}");
            assert!(!chains.differ(), "{head:?}");
            assert_eq!(chains.out_of_reach(), head == Head::Dropped);
        }
        assert_eq!(chains(&[(9, kept(1)), (0, Head::Untold)]).furthest(), None);
        assert_eq!(chains(&[]).agreed(), None);
    }

    #[test]
    fn replica_with_another_head_or_without_one_differs() {
        for head in [kept(2), Head::Absent] {
            let chains = chains(&[(9, kept(1)), (7, head), (8, Head::Untold)]);
            assert!(chains.differ(), "{head:?}");
            assert_eq!(chains.agreed(), None, "{head:?}");
        }
        assert_eq!(chains(&[(9, Head::Absent), (8, Head::Absent)]).agreed(), None);
    }

    #[test]
    fn head_that_is_kept_has_its_digest_and_others_need_none() {
        let told = |head: v1::replica_chain::Head, digest: usize| v1::GroupChains {
            group: 1,
            index: 7,
            replicas: vec![v1::ReplicaChain {
                node_id: 1,
                last_index: 9,
                head: head.into(),
                digest: vec![1; digest].into(),
            }],
        };
        let read = Chains::read(told(v1::replica_chain::Head::Kept, 32)).unwrap();
        assert_eq!(read.agreed(), Some(Hash([1; 32])));
        assert!(Chains::read(told(v1::replica_chain::Head::Kept, 0)).is_err());
        let read = Chains::read(told(v1::replica_chain::Head::Dropped, 0)).unwrap();
        assert_eq!(read.replicas[0].head, Head::Dropped);
    }
}
