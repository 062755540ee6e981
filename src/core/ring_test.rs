//! The ring spreads partitions evenly and moves only what a change must move.

use crate::{
    id::GroupId,
    ring::{Ring, RingSpec},
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

const VIRTUAL_NODES: u32 = 64;
const PARTITIONS: usize = 20_000;

fn ring(groups: core::ops::RangeInclusive<u32>) -> Ring {
    let groups = groups.map(GroupId).collect();
    Ring::new(RingSpec { epoch: 1, virtual_nodes: VIRTUAL_NODES, groups })
}

fn partitions() -> Vec<String> {
    (0..PARTITIONS).map(|n| format!("customer-{n}")).collect()
}

#[test]
fn each_group_owns_about_its_share() {
    for count in [2u32, 4, 8, 16] {
        let ring = ring(1..=count);
        let mut owned: BTreeMap<GroupId, usize> = BTreeMap::new();
        for partition in partitions() {
            *owned.entry(ring.group_of(&partition).expect("an owner")).or_default() += 1;
        }
        let share = PARTITIONS / count as usize;
        assert_eq!(owned.len(), count as usize);
        for (group, owned) in owned {
            assert!(owned * 2 > share && owned < share * 2, "{group} of {count}: {owned}");
        }
    }
}

#[test]
fn added_group_takes_about_its_share_and_nothing_else_moves() {
    for count in [2u32, 4, 8] {
        let (before, after) = (ring(1..=count), ring(1..=count + 1));
        let mut moved = 0;
        for partition in partitions() {
            let (from, to) = (before.group_of(&partition), after.group_of(&partition));
            if from != to {
                assert_eq!(to, Some(GroupId(count + 1)), "{partition} moved between old groups");
                moved += 1;
            }
        }
        let share = PARTITIONS / (count as usize + 1);
        assert!(moved * 2 > share && moved < share * 2, "{moved} moved, a share is {share}");
    }
}

#[test]
fn removed_group_gives_up_only_its_own() {
    let (before, after) = (ring(1..=5), ring(1..=4));
    for partition in partitions() {
        let owner = before.group_of(&partition);
        assert!(owner == Some(GroupId(5)) || after.group_of(&partition) == owner);
    }
}

#[test]
fn order_of_the_list_does_not_matter_and_an_empty_ring_owns_nothing() {
    let spec = |groups: &[u32]| RingSpec {
        epoch: 1,
        virtual_nodes: VIRTUAL_NODES,
        groups: groups.iter().copied().map(GroupId).collect(),
    };
    let (one, other) = (Ring::new(spec(&[1, 2, 3])), Ring::new(spec(&[3, 1, 2])));
    for partition in partitions().iter().take(1_000) {
        assert_eq!(one.group_of(partition), other.group_of(partition));
    }
    assert_eq!(Ring::new(spec(&[])).group_of("a"), None);
}
