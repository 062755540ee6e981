//! How many rows of the rare kinds a group holds, so that applying need not look for them.
//!
//! Most votes meet no lock and no staged transition at all, yet each would have to scan for them
//! in every layer of the state. These counts say where there is nothing to find. They are a cache,
//! counted anew by [`crate::group::Group::open`] and kept by whoever puts or deletes such a row;
//! no answer depends on them but for its cost, so they are neither stored nor part of the chain.
//! Only applying uses them: a reader of a view asks the rows themselves.
//!
//! Invariant: they are what counting the rows gives (see [`crate::invariant`]).

use crate::{
    state::Read,
    tables::{self, Prepared},
};

/// Counts of rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Census {
    pub(crate) writes: u64,
    pub(crate) reads: u64,
    pub(crate) ranges: u64,
    pub(crate) staged: u64,
}

impl Census {
    /// Counts the rows.
    pub(crate) fn of(state: &impl Read) -> Census {
        let count = |tag| {
            let (from, to) = tables::whole(tag);
            let mut rows = 0;
            state.scan(&from, &to, &mut |_, _| {
                rows += 1;
                true
            });
            rows
        };
        Census {
            writes: count(tables::WRITE_LOCK),
            reads: count(tables::READ_LOCK),
            ranges: count(tables::RANGE_LOCK),
            staged: count(tables::STAGE),
        }
    }

    /// Counts the locks of a vote in.
    pub(crate) fn add(&mut self, vote: &Prepared) {
        self.writes += vote.images.len() as u64;
        self.reads += vote.reads.len() as u64;
        self.ranges += u64::from(!vote.ranges.is_empty());
    }

    /// Counts the locks of a vote out.
    pub(crate) fn remove(&mut self, vote: &Prepared) {
        self.writes -= vote.images.len() as u64;
        self.reads -= vote.reads.len() as u64;
        self.ranges -= u64::from(!vote.ranges.is_empty());
    }
}
