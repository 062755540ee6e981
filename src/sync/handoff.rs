//! Many threads leave work, one thread takes it: the hand-off of the log's group commit.
//!
//! Why no channel: what is left changes more than a queue (it is readable at once, it may cut off
//! what was left before it), and the worker takes all that has gathered, as much as fits into a
//! batch, in the order in which the callers came. So the state is the user's, under one lock, and
//! this is the waking and the ending.
//!
//! Invariants: the worker never sleeps while there is work; what was left before the end is seen by
//! the worker before it ends; nothing is woken for work that was refused.

use std::time::Duration;

use crate::fault::{Fault, broken};
use crate::shim::{Condvar, Mutex, MutexGuard, lock, wait, wait_at_most};

/// What is handed over.
pub trait Inbox {
    /// Whether there is something for the worker to do.
    fn has_work(&self) -> bool;

    /// Whether the worker should end when there is nothing left to do.
    fn is_closing(&self) -> bool;

    /// From now on nothing more is taken.
    fn close(&mut self);
}

/// What a turn of the worker came to, and so what it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something is done. There may be more.
    Worked,
    /// There was nothing to do: it sleeps until there is, for at most so long where that is given.
    Idle(Option<Duration>),
    /// It cannot do what there is: it sleeps for so long, or until somebody comes.
    Stalled(Duration),
    /// It will do nothing any more.
    Over,
}

/// See the module.
pub struct Handoff<T> {
    inside: Mutex<T>,
    /// Signalled when work is left, and at the end. The worker alone waits for it.
    wake: Condvar,
}

impl<T: Inbox> Handoff<T> {
    pub fn new(inside: T) -> Handoff<T> {
        Handoff { inside: Mutex::new(inside), wake: Condvar::new() }
    }

    /// To look, or to change what is no work. Panics where a holder has panicked: the state may be
    /// half of what it should be.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.inside.lock().expect("a thread panicked while it held what is handed over")
    }

    /// Leaves work, unless `leave` refuses.
    pub fn leave<R, E>(&self, leave: impl FnOnce(&mut T) -> Result<R, E>) -> Result<R, E> {
        if broken(Fault::WakeBeforeTheWork) {
            self.wake.notify_one();
            return leave(&mut self.lock());
        }
        let left = leave(&mut self.lock());
        if left.is_ok() {
            self.wake.notify_one();
        }
        left
    }

    /// Ends it: the worker does what is left and ends. Runs in destructors, so also after a thread
    /// has panicked.
    pub fn close(&self) {
        lock(&self.inside).close();
        if !broken(Fault::CloseInSilence) {
            self.wake.notify_all();
        }
    }

    /// The worker's loop: takes turns until one is the last, or until the end has come and there is
    /// nothing to do, or nothing that it can.
    pub fn work(&self, mut turn: impl FnMut() -> Turn) {
        loop {
            let goes_on = match turn() {
                Turn::Worked => true,
                Turn::Idle(longest) => self.wait_for_work(longest),
                // Whether there is work or not.
                Turn::Stalled(longest) => self.sleep(self.lock(), Some(longest)),
                Turn::Over => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Sleeps while there is no work, for at most `longest` where that is given. Returns whether to
    /// go on; it may be too early, so that there is still no work.
    fn wait_for_work(&self, longest: Option<Duration>) -> bool {
        let had_work = broken(Fault::SleepOnAnOldLook).then(|| self.lock().has_work());
        let inside = self.lock();
        if had_work.unwrap_or_else(|| inside.has_work()) {
            return true;
        }
        self.sleep(inside, longest)
    }

    fn sleep(&self, inside: MutexGuard<'_, T>, longest: Option<Duration>) -> bool {
        if inside.is_closing() {
            return false;
        }
        drop(match longest {
            Some(longest) => wait_at_most(&self.wake, inside, longest),
            None => wait(&self.wake, inside),
        });
        true
    }
}
