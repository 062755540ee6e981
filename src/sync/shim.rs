//! The one file that names `std::sync` and `loom`.
//!
//! Under `vatic_loom` a wait with a limit is a wait without one: time that passes would hide a
//! wake-up that was lost, and without it loom reports a deadlock.

#[cfg(not(vatic_loom))]
pub use std::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(vatic_loom))]
pub(crate) use std::sync::{
    Condvar,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

#[cfg(vatic_loom)]
pub use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(vatic_loom)]
pub(crate) use loom::sync::{
    Condvar,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use std::time::Duration;

/// Locks, also after a holder has panicked: for what every holder leaves whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Waits for at most about `longest`; may return early.
#[cfg(not(vatic_loom))]
pub(crate) fn wait_at_most<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    longest: Duration,
) -> MutexGuard<'a, T> {
    let waited = condvar.wait_timeout(guard, longest);
    waited.map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard)
}

#[cfg(vatic_loom)]
pub(crate) fn wait_at_most<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    _longest: Duration,
) -> MutexGuard<'a, T> {
    wait(condvar, guard)
}
