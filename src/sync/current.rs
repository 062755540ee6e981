//! A value that is replaced as a whole: readers copy a pointer, editors take turns.
//!
//! Two locks. `now` is held only to copy or swap the pointer: all that readers ever wait for.
//! `turn` is held while the next value is built, which may take long: each editor builds on what
//! the one before it left. What was replaced is handed to the editor, who drops it without any
//! lock: freeing it takes a while too.
//!
//! Why not `arc-swap`: readers here already wait for no more than a pointer's copy, and editors
//! would need their turns beside it all the same.

use crate::fault::{Fault, broken};
use crate::shim::{Arc, Mutex, lock};

/// See the module.
pub struct Current<T> {
    turn: Mutex<()>,
    now: Mutex<Arc<T>>,
}

impl<T> Current<T> {
    pub fn new(value: T) -> Current<T> {
        Current { turn: Mutex::new(()), now: Mutex::new(Arc::new(value)) }
    }

    pub fn get(&self) -> Arc<T> {
        lock(&self.now).clone()
    }

    /// Puts another value in its place, unless `next` refuses. Returns the old one and the new one.
    pub fn edit<E>(
        &self,
        next: impl FnOnce(&Arc<T>) -> Result<T, E>,
    ) -> Result<(Arc<T>, Arc<T>), E> {
        let turn = (!broken(Fault::EditOutOfTurn)).then(|| lock(&self.turn));
        let next = Arc::new(next(&self.get())?);
        let mut now = lock(&self.now);
        let old = std::mem::replace(&mut *now, next.clone());
        if broken(Fault::DropUnderTheLock) {
            drop(old);
            return Ok((next.clone(), next));
        }
        drop(now);
        drop(turn);
        Ok((old, next))
    }
}
