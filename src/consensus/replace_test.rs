//! A replica takes its predecessor's place: under load, with crashes at each step, from an empty
//! disk, and against an old one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{
    ChangeError, CreateError, ProposeError, ReadError, RebuildError, TransferError,
};
use crate::group::GroupHandle;
use crate::standing::Standing;
use crate::status::ReplacingStage;
use crate::testbed::{Cluster, eventually, read};
use crate::testbed_load::Load;
use crate::types::RaftId;

async fn follower(cluster: &Cluster) -> u32 {
    cluster.leader(1).await.id().node() % 3 + 1
}

/// All replicas of the living nodes know these voters, and nobody else.
async fn members_are(cluster: &Cluster, ids: [RaftId; 3]) {
    let wanted = BTreeSet::from(ids);
    eventually("the membership is settled everywhere", || async {
        for node in cluster.alive() {
            let status = cluster.group(node, 1).await.status();
            let members: BTreeSet<RaftId> =
                status.members.iter().filter(|it| it.voter).map(|it| it.id).collect();
            let settled = !status.changing_members && status.replacing.is_empty();
            if members != wanted || status.members.len() != 3 || !settled {
                return None;
            }
        }
        Some(())
    })
    .await;
}

fn ids(replaced: u32, generation: u32) -> [RaftId; 3] {
    [1, 2, 3].map(|node| RaftId::new(node, if node == replaced { generation } else { 1 }))
}

async fn stands(handle: &GroupHandle, standing: Standing) {
    let mut now = handle.standing();
    let reached = now.wait_for(|now| *now == standing);
    let reached = tokio::time::timeout(crate::testbed::PATIENCE, reached).await;
    assert!(reached.is_ok(), "not {standing:?}");
}

/// Rebuilds the replica as soon as enough of the others answer.
pub(crate) async fn rebuild(cluster: &Cluster, node: u32) {
    eventually("the replica can be spared", || async {
        match cluster.node(node).rebuild_group(1, cluster.machine(node)).await {
            Ok(_) => Some(()),
            Err(RebuildError::QuorumAtRisk { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

async fn rejoin(cluster: &Cluster, node: u32, generation: u32) -> GroupHandle {
    let (members, machine) = (cluster.members(), cluster.machine(node));
    cluster.node(node).rejoin_group(1, generation, &members, machine).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follower_that_is_rebuilt_under_load_takes_its_predecessors_place() {
    let cluster = Cluster::start(3, &[1]).await;
    let load = Load::start(&cluster, 1);
    load.more(100).await;
    let node = follower(&cluster).await;
    let handle = cluster.group(node, 1).await;
    rebuild(&cluster, node).await;
    // The handle that was there before is the new replica's.
    assert_eq!(handle.id(), RaftId::new(node, 2));
    stands(&handle, Standing::Member).await;
    members_are(&cluster, ids(node, 2)).await;
    eventually("the old replica is deleted", || async {
        (cluster.on_disk(node, 1) == [2].into()).then_some(())
    })
    .await;
    load.more(100).await;
    load.end(&cluster, 1).await;
    // It can lead.
    let leader = cluster.leader(1).await;
    leader.transfer_leader(node).await.unwrap();
    assert_eq!(cluster.leader(1).await.id(), RaftId::new(node, 2));
    cluster.put(1, "led=1").await;
    for node in cluster.nodes() {
        assert_eq!(cluster.alarms(node), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_is_rebuilt_hands_over_first_and_answers_nobody() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let old = cluster.leader(1).await;
    let node = old.id().node();
    old.quarantine().await.unwrap();
    assert!(!old.is_leader());
    assert!(matches!(old.propose("k=2".into()).await, Err(ProposeError::NotLeader { .. })));
    assert!(matches!(old.read_index().await, Err(ReadError::NotLeader { .. })));
    assert_eq!(old.status().standing, Standing::Quarantined);
    // It still counts: with one of the others gone the two go on.
    let new = cluster.leader(1).await;
    assert_ne!(new.id().node(), node);
    new.propose("k=3".into()).await.unwrap();
    // Nor is it given the leadership again.
    let term = new.leadership_now().term;
    assert_eq!(new.transfer_leader(node).await, Err(TransferError::Unfit { node }));
    assert_eq!(new.leadership_now().term, term, "nobody was disturbed");
    assert!(new.is_leader());
    rebuild(&cluster, node).await;
    members_are(&cluster, ids(node, 2)).await;
    stands(&old, Standing::Member).await;
    cluster.agree(1).await;
    assert_eq!(read(&old, "k").as_deref(), Some("3"));
}

/// A node rebuilds it as soon as it hears of the quarantine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_is_rebuilt_while_it_hands_over_does_so_first() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let old = cluster.leader(1).await;
    let (node, term) = (old.id().node(), old.leadership_now().term);
    let mut standing = old.standing();
    let rebuilt = async {
        standing.wait_for(|now| *now == Standing::Quarantined).await.unwrap();
        rebuild(&cluster, node).await;
    };
    let (handed, ()) = tokio::join!(old.quarantine(), rebuilt);
    assert_eq!(handed, Ok(()));
    assert_eq!(cluster.leader(1).await.leadership_now().term, term + 1, "nobody had to elect");
    members_are(&cluster, ids(node, 2)).await;
    cluster.agree(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quarantine_outlives_a_restart_and_keeps_the_quorum() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let node = follower(&cluster).await;
    cluster.group(node, 1).await.quarantine().await.unwrap();
    cluster.kill(node).await;
    cluster.restart(node).await;
    let handle = cluster.group(node, 1).await;
    assert_eq!(handle.status().standing, Standing::Quarantined);
    assert_eq!(cluster.node(node).generation_of(1).unwrap(), Some((1, true)));
    drop(handle);
    let other = cluster.nodes().into_iter().find(|other| *other != node).unwrap();
    cluster.kill(other).await;
    // The replica in quarantine votes, and cannot be spared.
    cluster.put(1, "k=2").await;
    let machine = cluster.machine(node);
    let refused = cluster.node(node).rebuild_group(1, machine).await;
    assert!(matches!(refused, Err(RebuildError::QuorumAtRisk { answering: 1, needed: 2, .. })));
    cluster.put(1, "k=3").await;
    cluster.restart(other).await;
    cluster.put(1, "k=4").await;
    rebuild(&cluster, node).await;
    members_are(&cluster, ids(node, 2)).await;
    stands(&cluster.group(node, 1).await, Standing::Member).await;
    cluster.kill(node).await;
    cluster.restart(node).await;
    assert_eq!(cluster.node(node).generation_of(1).unwrap(), Some((2, false)));
    cluster.agree(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_whose_state_cannot_be_read_keeps_the_quorum_and_is_rebuilt() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=a value that rots").await;
    let node = follower(&cluster).await;
    cluster.agree(1).await;
    let handle = cluster.group(node, 1).await;
    eventually("it is flushed", || async {
        let status = handle.status();
        (status.flushed == status.applied).then_some(())
    })
    .await;
    drop(handle);
    cluster.kill(node).await;
    rot(&cluster.disk(node).join("store/data.mdb"), b"a value that rots");
    cluster.damaged.insert(node);
    cluster.restart(node).await;
    let handle = cluster.group(node, 1).await;
    assert_eq!(handle.status().standing, Standing::Quarantined);
    assert_eq!(read(&handle, "k"), None, "nothing of it is read");
    // Its vote is needed, and there.
    let other = cluster.nodes().into_iter().find(|other| *other != node).unwrap();
    cluster.kill(other).await;
    cluster.put(1, "k=2").await;
    cluster.restart(other).await;
    rebuild(&cluster, node).await;
    members_are(&cluster, ids(node, 2)).await;
    stands(&handle, Standing::Member).await;
    cluster.agree(1).await;
    assert_eq!(read(&handle, "k").as_deref(), Some("2"));
    for node in cluster.nodes() {
        assert_eq!(cluster.alarms(node), Vec::<String>::new());
    }
}

/// Flips a bit of every copy of the text in the file.
fn rot(file: &Path, text: &[u8]) {
    let mut bytes = std::fs::read(file).unwrap();
    let places: Vec<usize> =
        (0..bytes.len()).filter(|from| bytes[*from..].starts_with(text)).collect();
    assert!(!places.is_empty(), "the text is in the file");
    places.iter().for_each(|place| bytes[*place] ^= 1);
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_after_the_new_generation_is_noted_goes_on_with_it() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let node = follower(&cluster).await;
    // It can neither be taken in nor catch up; so all that is there is the note.
    cluster.links.isolate(node, &cluster.nodes());
    rejoin(&cluster, node, 2).await;
    cluster.kill(node).await;
    cluster.restart(node).await;
    let handle = cluster.group(node, 1).await;
    assert_eq!(handle.id(), RaftId::new(node, 2));
    assert_eq!(cluster.on_disk(node, 1), [1, 2].into(), "the old one stays until it is replaced");
    let (members, machine) = (cluster.members(), cluster.machine(node));
    let older = cluster.node(node).rejoin_group(1, 1, &members, machine).await;
    assert!(matches!(older, Err(CreateError::NotNewer { generation: 1, held: 2, .. })));
    // Asked again it is the same.
    assert_eq!(rejoin(&cluster, node, 2).await.id(), handle.id());
    cluster.links.heal();
    members_are(&cluster, ids(node, 2)).await;
    eventually("the old replica is deleted", || async {
        (cluster.on_disk(node, 1) == [2].into()).then_some(())
    })
    .await;
}

/// The stage of a replacement, as the leader tells it.
fn stage(leader: &GroupHandle) -> Option<ReplacingStage> {
    leader.status().replacing.first().map(|replacing| replacing.stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_dies_while_a_replica_catches_up_leaves_it_to_the_next() {
    let mut cluster = Cluster::start(3, &[1]).await;
    let load = Load::start(&cluster, 1);
    load.more(50).await;
    let node = follower(&cluster).await;
    let leader = cluster.leader(1).await;
    let dead = leader.id().node();
    // The learner is in the membership, and hears nothing more.
    let seen = leader.clone();
    cluster.links.trap(node, move || stage(&seen) == Some(ReplacingStage::CatchingUp));
    rejoin(&cluster, node, 2).await;
    eventually("the learner waits", || async { cluster.links.is_cut_off(node).then_some(()) })
        .await;
    assert_eq!(stage(&leader), Some(ReplacingStage::CatchingUp));
    cluster.kill(dead).await;
    drop(leader);
    cluster.links.heal();
    cluster.restart(dead).await;
    members_are(&cluster, ids(node, 2)).await;
    load.more(50).await;
    load.end(&cluster, 1).await;
}

/// Begins a replacement, cuts the leader off in the middle of it and kills it; whether the other
/// follower was left with the joint membership.
async fn leader_dies_in_the_joint_membership(cluster: &mut Cluster, generation: u32) -> bool {
    let node = follower(cluster).await;
    let dead = cluster.leader(1).await.id().node();
    let witness = 6 - node - dead;
    let seen = cluster.group(witness, 1).await;
    cluster.links.trap(dead, move || stage(&seen) == Some(ReplacingStage::Joint));
    let handle = rejoin(cluster, node, generation).await;
    eventually("the leader is cut off, or was too quick", || async {
        let joined = *handle.standing().borrow() == Standing::Member;
        (joined || cluster.links.is_cut_off(dead)).then_some(())
    })
    .await;
    let left_joint = cluster.links.is_cut_off(dead)
        && stage(&cluster.group(witness, 1).await) == Some(ReplacingStage::Joint);
    cluster.kill(dead).await;
    cluster.links.heal();
    cluster.restart(dead).await;
    stands(&handle, Standing::Member).await;
    left_joint
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_dies_in_the_joint_membership_leaves_it_to_the_next() {
    let mut cluster = Cluster::start(3, &[1]).await;
    let load = Load::start(&cluster, 1);
    load.more(50).await;
    // The membership is joint for a few milliseconds: not every attempt meets them.
    let mut met = false;
    for generation in 2..12 {
        met = leader_dies_in_the_joint_membership(&mut cluster, generation).await;
        if met {
            break;
        }
    }
    assert!(met, "no attempt met the joint membership");
    load.more(50).await;
    load.end(&cluster, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_replica_that_dies_while_it_is_taken_in_goes_on_after_its_restart() {
    for wanted in [ReplacingStage::CatchingUp, ReplacingStage::Joint] {
        let mut cluster = Cluster::start(3, &[1]).await;
        let load = Load::start(&cluster, 1);
        load.more(50).await;
        let node = follower(&cluster).await;
        let seen = cluster.leader(1).await;
        cluster.links.trap(node, move || stage(&seen) == Some(wanted));
        rejoin(&cluster, node, 2).await;
        eventually("the new replica is cut off", || async {
            cluster.links.is_cut_off(node).then_some(())
        })
        .await;
        cluster.kill(node).await;
        cluster.links.heal();
        load.more(50).await;
        cluster.restart(node).await;
        members_are(&cluster, ids(node, 2)).await;
        stands(&cluster.group(node, 1).await, Standing::Member).await;
        load.end(&cluster, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacement_is_asked_of_a_follower_or_for_a_replaced_id_and_refused() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let node = follower(&cluster).await;
    let handle = cluster.group(node, 1).await;
    // Between two terms it names nobody.
    eventually("a follower names its leader", || async {
        let refused = handle.replace_replica(1, 2, "127.0.0.1:1").await;
        matches!(refused, Err(ChangeError::NotLeader { hint: Some(_) })).then_some(())
    })
    .await;
    rejoin(&cluster, node, 3).await;
    members_are(&cluster, ids(node, 3)).await;
    let leader = cluster.leader(1).await;
    let refused = leader.replace_replica(node, 2, "127.0.0.1:1").await;
    assert_eq!(refused, Err(ChangeError::Gone { later: RaftId::new(node, 3) }));
    assert_eq!(leader.replace_replica(node, 3, "127.0.0.1:1").await, Ok(()), "done already");
}
