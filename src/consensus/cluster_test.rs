//! Three nodes with real sockets and files: what a group promises when nodes stop and links break.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;

use crate::error::{CreateError, ProposeError, ReadError, TransferError};
use crate::group::{Applied, GroupHandle};
use crate::testbed::{Cluster, KvMachine, PATIENCE, eventually, read};

const GROUPS: [u32; 3] = [0, 1, 2];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_three_groups_reach_every_replica() {
    let cluster = Cluster::start(3, &GROUPS).await;
    for group in GROUPS {
        let leader = cluster.leader(group).await;
        let commands = (0..100).map(|n| leader.propose(format!("k{n}={n}").into()));
        let applied: Vec<_> = join_all(commands).await.into_iter().map(Result::unwrap).collect();
        // Many commands share an entry: far fewer entries than commands.
        let entries = applied.iter().map(|applied| applied.index).max().unwrap();
        assert!(entries < 60, "not batched: {entries} entries");
        // Each caller gets the reply to its own command.
        let again = (0..100).map(|n| leader.propose(format!("k{n}=again").into()));
        for (n, applied) in join_all(again).await.into_iter().enumerate() {
            assert_eq!(applied.unwrap().reply, n.to_string());
        }
        cluster.agree(group).await;
        for node in cluster.nodes() {
            let replica = cluster.group(node, group).await;
            assert_eq!(read(&replica, "k93").as_deref(), Some("again"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_dies_is_replaced_and_catches_up_from_its_disk() {
    let mut cluster = Cluster::start(3, &GROUPS).await;
    for group in GROUPS {
        cluster.put(group, "before=1").await;
    }
    let dead = cluster.leader(1).await.id().node();
    cluster.kill(dead).await;
    for group in GROUPS {
        cluster.put(group, "between=2").await;
        let leader = cluster.leader(group).await;
        assert_eq!(read(&leader, "before").as_deref(), Some("1"), "nothing acknowledged is lost");
    }
    cluster.restart(dead).await;
    for group in GROUPS {
        cluster.put(group, "after=3").await;
        cluster.agree(group).await;
        let back = cluster.group(dead, group).await;
        for (key, value) in [("before", "1"), ("between", "2"), ("after", "3")] {
            assert_eq!(read(&back, key).as_deref(), Some(value));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_cluster_that_stops_comes_back_with_what_it_acknowledged() {
    let mut cluster = Cluster::start(3, &[1]).await;
    for n in 0..30 {
        cluster.put(1, &format!("k{n}={n}")).await;
    }
    for node in cluster.nodes() {
        cluster.kill(node).await;
    }
    for node in cluster.nodes() {
        cluster.restart(node).await;
    }
    cluster.put(1, "again=1").await;
    cluster.agree(1).await;
    let leader = cluster.leader(1).await;
    assert_eq!(read(&leader, "k29").as_deref(), Some("29"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follower_that_was_away_past_the_purge_catches_up_by_snapshot() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "first=1").await;
    let last = cluster.agree(1).await;
    let leader = cluster.leader(1).await;
    let away = cluster.nodes().into_iter().find(|node| *node != leader.id().node()).unwrap();
    cluster.kill(away).await;
    let value = "v".repeat(1_000);
    let mut written = 0;
    // Two replicas keep writing until both have purged what the third lacks.
    eventually("the logs are purged past what the follower has", || {
        written += 1;
        let command = format!("k{written}={value}");
        let cluster = &cluster;
        async move {
            cluster.put(1, &command).await;
            let mut purged = Vec::new();
            for node in cluster.alive() {
                purged.push(cluster.group(node, 1).await.status().purged);
            }
            purged.iter().all(|purged| purged.is_some_and(|purged| purged > last)).then_some(())
        }
    })
    .await;
    cluster.restart(away).await;
    cluster.agree(1).await;
    // Once at the open, once for the snapshot.
    eventually("the machine is shown the snapshot", || async {
        (cluster.restores(away) >= 2).then_some(())
    })
    .await;
    let back = cluster.group(away, 1).await;
    assert_eq!(read(&back, "k1").as_deref(), Some(value.as_str()));
    assert_eq!(cluster.alarms(away), Vec::<String>::new());
    // What was installed survives a restart too.
    cluster.kill(away).await;
    drop(back);
    cluster.restart(away).await;
    cluster.agree(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_to_the_node_that_it_is_given_to() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    for _ in 0..4 {
        let leader = cluster.leader(1).await;
        let to = leader.id().node() % 3 + 1;
        let before = leader.leadership_now().term;
        leader.transfer_leader(to).await.unwrap();
        assert_eq!(leader.leader().map(|id| id.node()), Some(to));
        let now = cluster.leader(1).await;
        assert_eq!(now.id().node(), to);
        assert_eq!(now.leadership_now().term, before + 1, "one election, asked for");
        cluster.put(1, "k=2").await;
    }
    let leader = cluster.leader(1).await;
    assert_eq!(leader.transfer_leader(9).await, Err(TransferError::NotVoter { node: 9 }));
    let follower = cluster.group(leader.id().node() % 3 + 1, 1).await;
    assert!(matches!(
        follower.transfer_leader(leader.id().node()).await,
        Err(TransferError::NotLeader { hint: Some(hint) }) if hint.id == leader.id()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_without_a_quorum_is_known_but_not_heard() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let nodes = cluster.nodes();
    let heard = async || {
        let handles = join_all(nodes.iter().map(|node| cluster.group(*node, 1))).await;
        handles.iter().map(|handle| handle.leader_heard()).collect::<Vec<_>>()
    };
    let leader = cluster.leader(1).await;
    for silent in [false, true, false] {
        match silent {
            true => nodes.iter().for_each(|node| cluster.links.isolate(*node, &nodes)),
            false => cluster.links.heal(),
        }
        eventually("all hear the leader, or nobody does", || async {
            heard().await.iter().all(|heard| heard.is_none() == silent).then_some(())
        })
        .await;
        assert!(leader.is_leader() || !silent, "nobody has told it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_of_one_replica_hears_itself() {
    let cluster = Cluster::start(1, &[1]).await;
    let leader = cluster.leader(1).await;
    assert_eq!(leader.leader_heard(), Some(leader.id()));
}

/// Cuts a follower off until it has campaigned, heals, and tells how far the term rose.
async fn terms_gained_by_a_partition(pre_vote: bool) -> u64 {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let leader = cluster.leader(1).await;
    for node in cluster.nodes() {
        cluster.group(node, 1).await.raft().runtime_config().pre_vote(pre_vote);
    }
    let before = leader.leadership_now();
    let lonely = cluster.nodes().into_iter().find(|node| *node != leader.id().node()).unwrap();
    cluster.links.isolate(lonely, &cluster.nodes());
    // A follower sends nothing of its own but votes: so many were lost means several campaigns.
    eventually("the lonely node campaigns", || async {
        (cluster.links.lost_from(lonely) >= 8).then_some(())
    })
    .await;
    cluster.put(1, "k=2").await;
    cluster.links.heal();
    cluster.put(1, "k=3").await;
    cluster.agree(1).await;
    let after = cluster.leader(1).await;
    if pre_vote {
        assert_eq!(after.id(), leader.id(), "the leader stayed");
    }
    after.leadership_now().term - before.term
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidate_that_was_cut_off_does_not_disturb_the_leader() {
    assert_eq!(terms_gained_by_a_partition(true).await, 0);
}

/// Shows that the test above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidate_without_pre_vote_raises_the_term() {
    assert!(terms_gained_by_a_partition(false).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_index_sees_what_another_leader_acknowledged() {
    let cluster = Cluster::start(3, &[1]).await;
    for n in 0..6 {
        cluster.put(1, &format!("k={n}")).await;
        let old = cluster.leader(1).await;
        let to = old.id().node() % 3 + 1;
        old.transfer_leader(to).await.unwrap();
        let new = cluster.group(to, 1).await;
        // No proposal in between: the barrier alone must bring the state up to date.
        new.read_index().await.unwrap();
        assert_eq!(read(&new, "k"), Some(n.to_string()));
        let reads = join_all((0..200).map(|_| new.read_index())).await;
        assert!(reads.iter().all(Result::is_ok));
    }
    let leader = cluster.leader(1).await;
    let follower = cluster.group(leader.id().node() % 3 + 1, 1).await;
    assert!(matches!(
        follower.read_index().await,
        Err(ReadError::NotLeader { hint: Some(hint) }) if hint.id == leader.id()
    ));
}

/// Proposes and returns once the command is in the leader's log, unanswered.
async fn propose_in_flight(leader: &GroupHandle, command: &'static str) -> Proposed {
    let before = leader.status().last;
    let proposer = leader.clone();
    let proposed = tokio::spawn(async move { proposer.propose(command.into()).await });
    eventually("the command is in the log", || async {
        (leader.status().last > before).then_some(())
    })
    .await;
    proposed
}

type Proposed = tokio::task::JoinHandle<Result<Applied, ProposeError>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_is_cut_off_answers_neither_reads_nor_proposals() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=old").await;
    let old = cluster.leader(1).await;
    let cut = old.id().node();
    let others: Vec<u32> = cluster.nodes().into_iter().filter(|node| *node != cut).collect();
    cluster.links.isolate(cut, &cluster.nodes());
    // Of nodes that are near each other one batch is in flight.
    let hanging = propose_in_flight(&old, "k=lost").await;
    let new = cluster.leader_among(1, &others).await;
    new.propose("k=new".into()).await.unwrap();

    let read = old.read_index().await;
    assert!(matches!(read, Err(ReadError::NoQuorum { .. } | ReadError::NotLeader { .. })));
    // Behind a batch that hangs a proposal is refused, instead of waiting for ever.
    let late = tokio::time::timeout(PATIENCE, old.propose("k=late".into())).await;
    assert_eq!(late.expect("an answer"), Err(ProposeError::NotLeader { hint: None }));
    assert!(!hanging.is_finished());

    cluster.links.heal();
    assert_eq!(hanging.await.unwrap(), Err(ProposeError::Unknown));
    cluster.agree(1).await;
    assert_eq!(self::read(&old, "k").as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposal_over_the_limit_is_refused_by_name() {
    let cluster = Cluster::start(1, &[1]).await;
    let leader = cluster.leader(1).await;
    let limit_bytes = cluster.limits.command_bytes_max;
    let command = |bytes: usize| Bytes::from(format!("k={}", "x".repeat(bytes - 2)));
    leader.propose(command(limit_bytes)).await.unwrap();
    assert_eq!(
        leader.propose(command(limit_bytes + 1)).await,
        Err(ProposeError::TooLarge {
            limit: "command_bytes_max",
            limit_bytes,
            command_bytes: limit_bytes + 1,
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follower_refuses_a_proposal_and_names_the_leader() {
    let cluster = Cluster::start(3, &[1]).await;
    let leader = cluster.leader(1).await;
    let node = leader.id().node();
    let follower = cluster.group(node % 3 + 1, 1).await;
    eventually("the follower knows its leader", || async { follower.leader_hint() }).await;
    let refused = follower.propose(Bytes::from_static(b"k=1")).await;
    let Err(ProposeError::NotLeader { hint: Some(hint) }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(hint.id, leader.id());
    assert_eq!(hint.address, cluster.members()[node as usize - 1].address);
    assert_eq!(follower.leader_hint(), Some(hint));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_shuts_down_hands_its_leaderships_over() {
    let cluster = Cluster::start(3, &GROUPS).await;
    for group in GROUPS {
        cluster.put(group, "k=1").await;
        let leader = cluster.leader(group).await;
        if leader.id().node() != 1 {
            leader.transfer_leader(1).await.unwrap();
        }
    }
    let watch = cluster.group(2, 1).await;
    let term = watch.leadership_now().term;
    cluster.node(1).shutdown().await.unwrap();
    for group in GROUPS {
        let leader = cluster.leader_among(group, &[2, 3]).await;
        assert_ne!(leader.id().node(), 1);
    }
    assert!(watch.leadership_now().term > term);
    let members = cluster.members();
    let refused = cluster.node(1).create_group(9, 1, &members, KvMachine::default()).await;
    assert!(matches!(refused, Err(CreateError::Stopped)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_that_panics_ends_the_process() {
    let cluster = Cluster::start(1, &[1]).await;
    let leader = cluster.leader(1).await;
    let hung = leader.propose(Bytes::from_static(b"panic"));
    let _ = tokio::time::timeout(Duration::from_secs(2), hung).await;
    let alarms = eventually("the alarm", || async {
        Some(cluster.alarms(1)).filter(|alarms| !alarms.is_empty())
    })
    .await;
    assert_eq!(alarms[0], "group 1: apply panicked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_terms_indexes_and_members() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let applied = cluster.agree(1).await;
    let leader = cluster.leader(1).await;
    let status = eventually("everything is flushed and matched", || async {
        let status = leader.status();
        let matched = status.members.iter().all(|member| {
            member.voter && (member.id == status.id || member.matched == Some(applied))
        });
        (status.flushed == Some(applied) && matched).then_some(status)
    })
    .await;
    assert!(status.leadership.local);
    assert_eq!((status.group, status.id), (1, leader.id()));
    assert_eq!(status.last, Some(applied));
    assert_eq!(status.committed, Some(applied));
    assert_eq!(status.applied, Some(applied));
    assert_eq!(status.members.len(), 3);
    assert!(!status.changing_members);
}
