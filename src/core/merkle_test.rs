//! Each leaf climbs to the root by its own path alone, for every size of tree.

use crate::{
    hash::{Hash, Hasher},
    merkle::{Path, Tree, climb, root},
};
use alloc::vec::Vec;

const SIZES: core::ops::RangeInclusive<u64> = 1..=40;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| Hasher::new("leaf").u64(n).finish()).collect()
}

fn paths(leaves: &[Hash]) -> Vec<Path> {
    let tree = Tree::over(leaves);
    (0..leaves.len()).map(|index| tree.path(index)).collect()
}

#[test]
fn every_leaf_of_every_size_climbs_to_the_root() {
    for count in SIZES {
        let leaves = leaves(count);
        let root = root(&leaves);
        for (leaf, path) in leaves.iter().zip(paths(&leaves)) {
            assert_eq!(climb(*leaf, &path), Some(root), "{path:?}");
        }
    }
}

#[test]
fn roots_of_different_sizes_and_orders_differ() {
    let mut roots: Vec<Hash> = SIZES.map(|count| root(&leaves(count))).collect();
    let mut swapped = leaves(5);
    swapped.swap(1, 3);
    roots.extend([root(&swapped), root(&[])]);
    let all = roots.len();
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), all);
}

#[test]
fn path_with_another_index_or_count_leads_elsewhere() {
    for count in SIZES {
        let leaves = leaves(count);
        let root = root(&leaves);
        for (leaf, path) in leaves.iter().zip(paths(&leaves)) {
            for other in 0..=*SIZES.end() + 1 {
                let (index, count) = (path.index, path.count);
                let siblings = || path.siblings.clone();
                let moved = Path { index: other, count, siblings: siblings() };
                assert!(other == index || climb(*leaf, &moved) != Some(root), "{moved:?}");
                let resized = Path { index, count: other, siblings: siblings() };
                assert!(other == count || climb(*leaf, &resized) != Some(root), "{resized:?}");
            }
        }
    }
}

#[test]
fn path_with_a_changed_lost_or_added_sibling_leads_elsewhere() {
    for count in SIZES {
        let leaves = leaves(count);
        let root = root(&leaves);
        for (leaf, path) in leaves.iter().zip(paths(&leaves)) {
            for at in 0..path.siblings.len() {
                let mut changed = path.clone();
                changed.siblings[at].0[at % 32] ^= 1;
                assert_ne!(climb(*leaf, &changed), Some(root));
                let mut lost = path.clone();
                lost.siblings.remove(at);
                assert_eq!(climb(*leaf, &lost), None);
            }
            let mut added = path.clone();
            added.siblings.push(*leaf);
            assert_eq!(climb(*leaf, &added), None);
        }
    }
}

#[test]
fn another_leaf_does_not_climb_to_the_root() {
    for count in SIZES {
        let leaves = leaves(count);
        let root = root(&leaves);
        for path in paths(&leaves) {
            assert_ne!(climb(Hash([7; 32]), &path), Some(root));
        }
    }
}
