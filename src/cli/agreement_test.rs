//! What looks at a group of three replicas come to.

use super::*;
use vatic_client::{Replica, ReplicaChain, Role};

/// Looks at a cluster of one group.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    pub(crate) found: Found,
}

pub(crate) fn kept(byte: u8) -> Head {
    Head::Kept(Hash([byte; 32]))
}

pub(crate) fn set_aside(index: u64) -> Divergence {
    Divergence { index, what: "its chain".to_owned() }
}

fn replica(node_id: u64, applied_index: u64) -> Replica {
    Replica {
        node_id,
        generation: 1,
        role: Role::Follower,
        reachable: true,
        applied_index,
        chain_digest: Some(Hash([applied_index as u8; 32])),
        state_digest: None,
        undecided: 0,
        records: 0,
        divergence: None,
    }
}

fn cluster(replicas: Vec<Replica>) -> Cluster {
    Cluster {
        name: "test".to_owned(),
        node_id: 1,
        version: String::new(),
        ring_epoch: 1,
        ready: true,
        members: Vec::new(),
        groups: vec![Group { group: 1, leader: None, term: 1, replicas }],
        ring: None,
    }
}

fn replicas(applied: [u64; 3]) -> Vec<Replica> {
    (1..).zip(applied).map(|(node_id, index)| replica(node_id, index)).collect()
}

impl Looks {
    /// Of chains that stand where replicas do, with their heads at an index.
    pub(crate) fn look(&mut self, applied: [u64; 3], index: u64, heads: [Head; 3]) {
        let chains = (1..).zip(applied).zip(heads);
        let chains = chains.map(|((node_id, last_index), head)| {
            let last_index = if head == Head::Untold { 0 } else { last_index };
            ReplicaChain { node_id, last_index, head }
        });
        let chains = Chains { group: 1, index, replicas: chains.collect() };
        self.found.look(cluster(replicas(applied)), vec![chains]);
    }

    pub(crate) fn look_at_states(&mut self, applied: [u64; 3], states: [u8; 3]) {
        let mut replicas = replicas(applied);
        for (replica, state) in replicas.iter_mut().zip(states) {
            replica.state_digest = Some(Hash([state; 32]));
        }
        self.found.look_at_states(cluster(replicas));
        self.found.looked_at_states = true;
    }

    /// A look by which the third replica was set aside.
    pub(crate) fn found_out(&mut self, divergence: Divergence) {
        let mut replicas = replicas([9; 3]);
        replicas[2].divergence = Some(divergence);
        self.found.look(cluster(replicas), Vec::new());
    }

    pub(crate) fn group(&self) -> &GroupFound {
        self.found.groups().next().expect("it was looked at")
    }
}

#[test]
fn chains_agree_once_they_are_equal_where_the_furthest_stood_at_first() {
    let mut looks = Looks::default();
    looks.look([0, 9, 9], 9, [Head::Untold, kept(1), kept(1)]);
    looks.look([5, 12, 12], 5, [kept(1); 3]);
    assert!(!looks.group().agrees(Demand::Chains), "it was away, and is behind");
    looks.look([11, 15, 15], 11, [kept(1); 3]);
    assert!(!looks.group().agrees(Demand::Chains), "12 had been applied elsewhere");
    looks.look([12, 20, 20], 12, [kept(1); 3]);
    assert!(looks.group().agrees(Demand::Chains), "that others went on does not matter");
    assert_eq!(looks.group().compared().as_deref(), Some("chain at 12"));
}

#[test]
fn group_in_motion_is_done_by_its_chain_alone() {
    let mut looks = Looks::default();
    looks.look([9, 9, 9], 9, [kept(1); 3]);
    assert!(!looks.found.is_done(Demand::Chains), "it might rest");
    looks.look([11, 10, 10], 10, [kept(1); 3]);
    assert!(!looks.found.wants_states(Demand::Chains) && looks.found.is_done(Demand::Chains));
    assert!(!looks.found.wants_states(Demand::States), "nothing rests");
    assert!(!looks.found.is_done(Demand::States));
}

#[test]
fn group_that_rests_for_two_looks_is_looked_at_by_its_state_once_or_until_that_is_equal() {
    let mut looks = Looks::default();
    for _ in 0..2 {
        assert!(!looks.found.wants_states(Demand::Chains));
        looks.look([9, 9, 9], 9, [kept(1); 3]);
    }
    assert!(looks.found.wants_states(Demand::Chains) && !looks.found.is_done(Demand::Chains));
    // One went on just then.
    looks.look_at_states([9, 9, 10], [5, 5, 6]);
    assert!(!looks.found.wants_states(Demand::Chains) && looks.found.is_done(Demand::Chains));
    assert_eq!(looks.group().compared().as_deref(), Some("chain at 9"));
    assert!(looks.found.wants_states(Demand::States) && !looks.found.is_done(Demand::States));
    looks.look_at_states([10, 10, 10], [6; 3]);
    assert!(looks.found.is_done(Demand::States) && looks.group().agrees(Demand::States));
    // Whatever comes afterwards: they were equal.
    looks.look([11, 12, 13], 11, [kept(1); 3]);
    assert!(looks.found.is_done(Demand::States));
    assert_eq!(looks.group().compared().as_deref(), Some("state at 10"));
}

#[test]
fn replicas_that_differ_are_looked_at_until_one_of_them_is_set_aside() {
    type Differ = fn(&mut Looks);
    let by_chain: Differ = |looks| looks.look([9, 9, 8], 8, [kept(1), kept(1), kept(2)]);
    let by_state: Differ = |looks| looks.look_at_states([9; 3], [5, 5, 6]);
    for differ in [by_chain, by_state] {
        let mut looks = Looks::default();
        looks.look([9; 3], 9, [kept(1); 3]);
        differ(&mut looks);
        // It was mended, which is no excuse.
        looks.look([9; 3], 9, [kept(1); 3]);
        looks.look_at_states([9; 3], [5; 3]);
        assert!(looks.found.differs() && !looks.group().agrees(Demand::Chains));
        assert!(!looks.found.is_done(Demand::Chains), "who differs is not known");
        assert!(!looks.found.wants_states(Demand::States), "chains tell who is set aside");
        let told = looks.group().told(Demand::Chains).join(" ");
        assert!(told.starts_with("group 1: ") && told.contains("differ"), "{told}");
        looks.found_out(set_aside(4));
        assert!(looks.found.is_done(Demand::Chains));
        let told = looks.group().told(Demand::Chains);
        assert_eq!(told, ["group 1: node 3 differs from index 4 on: its chain"]);
    }
}

#[test]
fn replica_of_another_chain_differs_and_one_that_is_out_of_reach_does_not() {
    let mut looks = Looks::default();
    looks.look([9, 9, 8], 8, [Head::Dropped, kept(1), kept(1)]);
    assert!(!looks.found.differs() && !looks.group().agrees(Demand::Chains));
    looks.look([9, 9, 8], 8, [Head::Absent, kept(1), kept(1)]);
    assert!(looks.found.differs());
    let told = looks.group().told(Demand::Chains).join(" ");
    assert!(told.contains("chains differ at index 8: node 1 has none, node 2 has 01"), "{told}");
}
