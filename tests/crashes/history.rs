//! What was seen of conflicts outlives those who saw it.

use vatic_client::{ClientError, Conflict};
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Timestamp;
use vatic_core::value::Fields;
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::values::{core_key, key};
use vatic_tests::wait::{SOON, until};

const CONFLICTS: usize = 5;

pub(crate) async fn conflicts_are_told_by_every_node_after_all_were_killed(cluster: &Cluster) {
    let at = core_key(&key("history", &cluster.partition(2, 0).await, ""));
    let client = cluster.client();
    let never = Op::Expect(Expect::Version(Timestamp(1)));
    let deltas = [never, Op::Put(Fields::new())].map(|op| Delta { key: at.clone(), op });
    for _ in 0..CONFLICTS {
        let lost = client.submit(&deltas).await;
        assert!(matches!(lost, Err(ClientError::RolledBack(_))), "{lost:?}");
    }
    let listed = |node: usize| {
        let (at, client) = (at.clone(), cluster.client_of(node));
        async move {
            let found = client.conflicts(0, Some(&at), None).await.ok()?;
            let whole = found.unreachable.is_empty() && found.conflicts.len() == CONFLICTS;
            whole.then_some(found.conflicts)
        }
    };
    let before: Vec<Conflict> = until("all are in the history", SOON, || listed(0)).await;
    (0..NODES).for_each(|node| cluster.kill(node));
    (0..NODES).for_each(|node| cluster.restart(node));
    cluster.wait_ready().await;
    for node in 0..NODES {
        let after = until("this node tells of them", SOON, || listed(node)).await;
        assert_eq!(after, before, "node {node}");
    }
    cluster.wait_agreed().await;
}
