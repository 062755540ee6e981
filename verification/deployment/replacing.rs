//! Replicas that begin anew: set aside as if they had been found to differ, or lost with the disk
//! of their node.
//!
//! As the server does, a node looks after each of its replicas' standings; what one asks for, and
//! what each step of that makes durable, is the consensus module's.

use super::{Deployment, machine::Watched, node::Boot};
use std::time::Duration;
use vatic_consensus::{GroupHandle, Member, Node, Standing};
use vatic_core::id::GroupId;

/// Between two tries, and two looks at a standing that did not change.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A replica that is to begin anew, or all those of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replacing {
    node: usize,
    life: u32,
    /// One group's replica, of this generation; `None`: the node lost its disk.
    replica: Option<(GroupId, u32)>,
}

impl Replacing {
    pub(crate) fn node(self) -> usize {
        self.node
    }

    /// Whether it is a node without its disk.
    pub(crate) fn lost_disk(self) -> bool {
        self.replica.is_none()
    }
}

impl Deployment {
    /// Has a replica that takes part set aside, as one that was found to differ.
    pub(crate) fn set_aside(&self, group: GroupId, node: usize) -> Option<Replacing> {
        let (process, handle) = self.replica(group, node)?;
        let replica = Some((group, handle.id().generation()));
        process.spawn(async move {
            // Where the leadership is not handed over, the others elect.
            let _ = handle.quarantine().await;
        });
        Some(Replacing { node, life: self.nodes[node].life, replica })
    }

    /// Has a node that is down find an empty disk when it starts.
    pub(crate) fn lose_disk(&mut self, number: usize) -> Replacing {
        self.nodes[number].loses_disk = true;
        self.replacing(number)
    }

    /// What is over when the node has started another time, and all of it takes part.
    pub(crate) fn replacing(&self, number: usize) -> Replacing {
        Replacing { node: number, life: self.nodes[number].life, replica: None }
    }

    /// Whether a node that is down will find an empty disk.
    pub(crate) fn loses_disk(&self, number: usize) -> bool {
        self.nodes[number].loses_disk
    }

    /// Whether whatever was to begin anew takes part again, and all else on its node.
    pub(crate) fn is_replaced(&self, replacing: Replacing) -> bool {
        let node = &self.nodes[replacing.node];
        let begun_anew = match replacing.replica {
            Some((group, generation)) => {
                let handle = node.groups.get(&group);
                handle.is_some_and(|handle| handle.id().generation() > generation)
            }
            None => false,
        };
        // What was not written down before a crash was never set aside.
        let restarted = node.life > replacing.life;
        node.is_up() && (begun_anew || restarted) && self.takes_part(replacing.node)
    }

    /// Whether all replicas of a node that is up take part.
    pub(crate) fn takes_part(&self, number: usize) -> bool {
        let mut groups = self.nodes[number].groups.values();
        groups.all(|handle| *handle.standing().borrow() == Standing::Member)
    }
}

/// Brings one replica back whenever it is set aside or was lost, for as long as the process runs.
pub(super) async fn look_after(
    boot: Boot,
    node: Node,
    (id, members): (GroupId, Vec<Member>),
    handle: GroupHandle,
) {
    let mut standing = handle.standing();
    loop {
        let seen = *standing.borrow_and_update();
        let machine = Watched::new(id, boot.number, boot.life, boot.reports.clone());
        // What fails is tried again.
        let _ = node.begin_anew(id.0, seen, &members, machine).await;
        let _ = tokio::time::timeout(TRY_AGAIN, standing.changed()).await;
    }
}
