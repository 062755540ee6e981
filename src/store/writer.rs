//! The writer of one replica: what a state machine applies commands to.

use std::sync::Arc;
use std::time::Duration;

use vatic_core::state::{Read, State};
use vatic_sync::Claimed;

use crate::cell::{Cell, Refused};
use crate::id::{Incarnation, Mark};
use crate::job::Job;
use crate::layout::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::overlay::Pending;
use crate::published::{Lens, Published};
use crate::store::Shared;

/// Writes one replica. There is at most one at a time; dropping it throws away what was not
/// published.
///
/// It reads its own unpublished writes above the published state. Since nobody else changes what
/// the state says, each read may take the pair that is published just then.
pub struct Writer {
    cell: Arc<Cell>,
    shared: Arc<Shared>,
    pending: Pending,
    /// The incarnation that the first of `pending` was written upon.
    incarnation: Incarnation,
    shard: usize,
    _claimed: Claimed,
}

impl Writer {
    pub(crate) fn new(cell: Arc<Cell>, shared: Arc<Shared>) -> Writer {
        let claimed = cell.writer.take();
        let claimed = claimed.unwrap_or_else(|| panic!("{:?} has a writer already", cell.id));
        let shard = shared.next_shard();
        let (pending, incarnation) = (Pending::new(), Incarnation::NONE);
        Writer { cell, shared, pending, incarnation, shard, _claimed: claimed }
    }

    /// Makes everything written since the last publish visible to readers, atomically, with the
    /// mark of the last log entry that it contains. Marks must not go back.
    ///
    /// Waits while the overlays are over `Limits::overlay_max_bytes`, after publishing and at
    /// most `publish_wait_max_ms`; so it can block its thread for about one flush.
    ///
    /// Does nothing on a replica that was removed. Panics if a snapshot was installed between
    /// the first of the writes and now: they were computed from a state that is gone.
    pub fn publish(&mut self, mark: Mark) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            self.incarnation = self.pair().incarnation;
        }
        let (old, new) = match self.cell.publish(pending, mark, self.incarnation) {
            Ok(pairs) => pairs,
            Err(Refused::Removed) => return,
            Err(Refused::Reinstalled) => {
                panic!("{:?}: a snapshot was installed under unpublished writes", self.cell.id)
            }
        };
        self.shared.room.resize(old.overlay_bytes(), new.overlay_bytes());
        drop((old, new));
        if self.shared.room.wants_kick(&self.shared.limits) {
            self.shared.send(Job::Kick);
        }
        self.wait_for_room();
    }

    /// Throws away what was written since the last publish.
    pub fn discard(&mut self) {
        self.pending.clear();
    }

    fn wait_for_room(&self) {
        let longest = Duration::from_millis(self.shared.limits.publish_wait_max_ms);
        if !self.shared.room.wait(&self.shared.limits, longest) {
            let replica = self.cell.id;
            tracing::warn!(?replica, "overlays stay over their bound: are log and disk stuck?");
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let value_bytes = value.as_ref().map_or(0, Vec::len);
        if key.len() > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
            let sizes = format!("{} bytes of key, {value_bytes} of value", key.len());
            self.shared.fatal.stop(&format!("a committed write does not fit: {sizes}"));
        }
        if self.pending.is_empty() {
            self.incarnation = self.pair().incarnation;
        }
        self.pending.insert(key, value);
    }

    fn pair(&self) -> Arc<Published> {
        self.cell.pair()
    }

    fn lens(&self) -> Lens<'_> {
        Lens { shard: self.shard, fatal: &self.shared.fatal }
    }
}

impl Read for Writer {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.pending.get(key) {
            Some(value) => value.clone(),
            None => self.pair().get(key, self.lens()),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.pair().scan((from, Some(to)), Some(&self.pending), self.lens(), visit);
    }
}

impl State for Writer {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.write(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.write(key.to_vec(), None);
    }
}
