//! Which nodes hold a group's replicas, and which one should lead it.
//!
//! Groups go round the nodes in order, so that replicas and preferred leaders are spread evenly. It
//! is a function of the member list alone: every node computes the same.

use crate::config::Member;
use vatic_core::id::GroupId;

/// The nodes that hold a group, the preferred leader first.
pub(crate) fn nodes_of(group: GroupId, members: &[Member], replicas: u32) -> Vec<u32> {
    let mut nodes: Vec<u32> = members.iter().map(|member| member.node).collect();
    nodes.sort_unstable();
    let count = nodes.len().min(replicas as usize);
    let first = group.0 as usize % nodes.len();
    nodes.rotate_left(first);
    nodes.truncate(count);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_spread_leaders_and_replicas_evenly() {
        let members: Vec<Member> =
            (1..=4).map(|node| Member { node, peer: String::new() }).collect();
        let mut leads = [0; 5];
        let mut holds = [0; 5];
        for group in 0..8 {
            let nodes = nodes_of(GroupId(group), &members, 3);
            assert_eq!(nodes.len(), 3);
            leads[nodes[0] as usize] += 1;
            nodes.iter().for_each(|&node| holds[node as usize] += 1);
        }
        assert_eq!(leads[1..], [2; 4]);
        assert_eq!(holds[1..], [6; 4]);
    }
}
