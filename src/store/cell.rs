//! One replica's published pair, and the few ways in which it changes.
//!
//! Readers wait for no more than a pointer's copy; the writer publishing a batch and the committer
//! freezing, flushing or installing take turns, each building on what the other left. A pair
//! that is replaced is returned to the caller, who drops it without any lock: freeing an overlay
//! takes a while.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vatic_sync::{Claim, Current};

use crate::id::{Incarnation, Mark, ReplicaId};
use crate::layout::{Pointer, Prefix};
use crate::lmdb::Base;
use crate::overlay::{Overlay, Pending};
use crate::published::{Frozen, Published};

/// Gives the highest log index that is durable on this node, for one replica, if any is.
pub(crate) type Fence = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

pub(crate) struct Cell {
    pub(crate) id: ReplicaId,
    pub(crate) writer: Claim,
    published: Current<Published>,
    fence: Mutex<Option<Fence>>,
    /// Held while a snapshot file is made or checked: two that made one would write one file.
    pub(crate) snapshots: Mutex<()>,
}

/// Why a batch was not published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Removed,
    Reinstalled,
}

impl Cell {
    pub(crate) fn new(id: ReplicaId, pointer: Pointer, base: Arc<Base>) -> Cell {
        let Pointer { incarnation, mark } = pointer;
        let published = Current::new(fresh(id, incarnation, mark, base));
        Cell {
            id,
            writer: Claim::default(),
            published,
            fence: Mutex::new(None),
            snapshots: Mutex::default(),
        }
    }

    pub(crate) fn pair(&self) -> Arc<Published> {
        self.published.get()
    }

    pub(crate) fn set_fence(&self, fence: Fence) {
        *lock(&self.fence) = Some(fence);
    }

    /// Whether the log holds everything up to `index` on this node's disk. Without a fence
    /// nothing is known, hence no.
    pub(crate) fn is_durable(&self, index: u64) -> bool {
        let fence = lock(&self.fence).clone();
        fence.and_then(|durable_index| durable_index()).is_some_and(|durable| durable >= index)
    }

    /// Makes `pending` and `mark` visible, as one. Returns the old pair and the new one.
    pub(crate) fn publish(
        &self,
        pending: Pending,
        mark: Mark,
        expected: Incarnation,
    ) -> Result<(Arc<Published>, Arc<Published>), Refused> {
        self.published.edit(|now| {
            if now.removed {
                return Err(Refused::Removed);
            }
            if now.incarnation != expected {
                return Err(Refused::Reinstalled);
            }
            debug_assert!(
                now.mark.as_ref().is_none_or(|now| now.index <= mark.index),
                "a mark went back"
            );
            let active = now.active.with(&pending);
            Ok(Published { active, mark: Some(mark), ..(**now).clone() })
        })
    }

    /// Sets the overlay that the next flush writes, unless one is waiting already. Returns the
    /// pair if there is something to flush.
    pub(crate) fn freeze(&self) -> Option<Arc<Published>> {
        let frozen = self.published.edit(|now| {
            if now.removed || now.hidden {
                return Err(None);
            }
            if now.frozen.is_some() {
                return Err(Some(now.clone()));
            }
            if now.active.is_empty() && now.mark == now.flushed {
                return Err(None);
            }
            let mark = now.mark.clone().ok_or(None)?;
            let frozen = Some(Frozen { overlay: now.active.clone(), mark });
            Ok(Published { active: Overlay::default(), frozen, ..(**now).clone() })
        });
        frozen.map_or_else(|as_it_was| as_it_was, |(_, new)| Some(new))
    }

    /// Takes over a newer base. `flushed`: the base holds the frozen overlay now.
    pub(crate) fn rebase(&self, base: Arc<Base>, flushed: bool) -> Arc<Published> {
        self.replace(|now| {
            let mut next = now.clone();
            next.base = base;
            if flushed {
                next.flushed = next.frozen.take().map(|frozen| frozen.mark);
            }
            next
        })
    }

    /// Starts over from an installed incarnation: what was in memory is of the old one.
    pub(crate) fn reinstall(&self, pointer: Pointer, base: Arc<Base>) -> Arc<Published> {
        self.replace(|_| fresh(self.id, pointer.incarnation, pointer.mark, base))
    }

    /// Hides the state: views see nothing, and what is published is not flushed.
    pub(crate) fn hide(&self) {
        drop(self.replace(|now| Published { hidden: true, ..now.clone() }));
    }

    /// Ends the replica: views see nothing any more, publishes are refused.
    pub(crate) fn retire(&self, base: Arc<Base>) -> Arc<Published> {
        // An incarnation that never existed: until it is cleared, LMDB still holds the real one.
        let ended = fresh(self.id, Incarnation::NONE, None, base);
        self.replace(|_| Published { removed: true, ..ended })
    }

    /// Returns the old pair.
    fn replace(&self, next: impl FnOnce(&Published) -> Published) -> Arc<Published> {
        let Ok((old, _)) = self.published.edit(|now| Ok::<_, Infallible>(next(now)));
        old
    }
}

fn fresh(
    id: ReplicaId,
    incarnation: Incarnation,
    mark: Option<Mark>,
    base: Arc<Base>,
) -> Published {
    let (active, frozen, removed, hidden) = (Overlay::default(), None, false, false);
    let prefix = Prefix::new(id, incarnation);
    Published {
        incarnation,
        prefix,
        active,
        frozen,
        base,
        flushed: mark.clone(),
        mark,
        removed,
        hidden,
    }
}

/// Each critical section here leaves whole values behind, so a panic elsewhere in the process
/// (a test's fatal action) need not take the other threads with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
