//! A Merkle tree over the effects of one log entry, so that a receipt can show its own alone.
//!
//! An inner node is `H("vatic/node/v1"; left, right)`, the root `H("vatic/root/v1"; count, top)`,
//! framed as [`crate::hash`] says. To climb from place `index` of `count`: while the level is wider
//! than one, a node that is last in a level of odd width moves up unchanged, any other takes the
//! next sibling, on its left if its place is odd; then place and width are halved, the width
//! rounded up. All siblings must be used.
//!
//! Leaves and inner nodes are hashed in different domains (RFC 6962 does the same), and an odd node
//! moves up unchanged. The root is closed over the count: trees of 3 and of 4 leaves have paths of
//! one shape, so without it a path would fit more than one index and count.

use crate::hash::{Hash, Hasher};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Where a leaf lies, and the siblings on its way to the root, lowest first.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Path {
    /// The leaf's place.
    pub index: u64,
    /// How many leaves there are.
    pub count: u64,
    /// Sibling digests.
    pub siblings: Vec<Hash>,
}

/// A whole tree, from which root and paths are read.
pub struct Tree {
    /// The leaves, and what each level above them comes to.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over leaf digests.
    pub fn over(leaves: &[Hash]) -> Tree {
        Tree { levels: levels(leaves) }
    }

    /// Its root; without leaves, that of a tree that has none.
    pub fn root(&self) -> Hash {
        let top = self.levels.last().and_then(|level| level.first().copied());
        close(self.levels[0].len() as u64, &top.unwrap_or_default())
    }

    /// The path of the leaf at this place, which there is.
    pub fn path(&self, index: usize) -> Path {
        path(&self.levels, index)
    }
}

/// The root over leaf digests.
pub fn root(leaves: &[Hash]) -> Hash {
    Tree::over(leaves).root()
}

/// The root that a leaf and its path lead to; `None` where the path has the wrong shape.
pub fn climb(leaf: Hash, path: &Path) -> Option<Hash> {
    let (mut index, mut width) = (path.index, path.count);
    if index >= width {
        return None;
    }
    let mut siblings = path.siblings.iter();
    let mut digest = leaf;
    while width > 1 {
        let alone = index == width - 1 && width % 2 == 1;
        if !alone {
            let sibling = siblings.next()?;
            digest = if index % 2 == 0 { node(&digest, sibling) } else { node(sibling, &digest) };
        }
        index /= 2;
        width = width.div_ceil(2);
    }
    siblings.next().is_none().then(|| close(path.count, &digest))
}

fn path(levels: &[Vec<Hash>], index: usize) -> Path {
    let count = levels[0].len() as u64;
    let mut at = index;
    let mut siblings = Vec::new();
    for level in &levels[..levels.len() - 1] {
        siblings.extend(level.get(at ^ 1));
        at /= 2;
    }
    Path { index: index as u64, count, siblings }
}

fn levels(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut levels = alloc::vec![leaves.to_vec()];
    while let Some(level) = levels.last().filter(|level| level.len() > 1) {
        let next = level
            .chunks(2)
            .map(|pair| if let [left, right] = pair { node(left, right) } else { pair[0] })
            .collect();
        levels.push(next);
    }
    levels
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hasher::new("vatic/node/v1").hash(left).hash(right).finish()
}

fn close(count: u64, top: &Hash) -> Hash {
    Hasher::new("vatic/root/v1").u64(count).hash(top).finish()
}
