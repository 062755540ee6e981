//! The handle to one replica's state.

use std::sync::Arc;

use crate::cell::Cell;
use crate::id::{Mark, ReplicaId};
use crate::store::Shared;
use crate::view::View;
use crate::writer::Writer;

/// One replica's state. Clones are the same replica.
#[derive(Clone)]
pub struct Replica {
    pub(crate) cell: Arc<Cell>,
    pub(crate) shared: Arc<Shared>,
}

impl Replica {
    pub fn id(&self) -> ReplicaId {
        self.cell.id
    }

    /// Says how to learn which log index is durable on this node; `None`: no entry is. It is asked
    /// from the committer's thread, often, and must not block. Until it is set nothing of this
    /// replica is flushed.
    pub fn set_fence<I: Into<Option<u64>>>(
        &self,
        durable_index: impl Fn() -> I + Send + Sync + 'static,
    ) {
        self.cell.set_fence(Arc::new(move || durable_index().into()));
    }

    /// The mark of the published state. After an open, the mark of the last flush: from there
    /// the log must be replayed.
    pub fn applied(&self) -> Option<Mark> {
        self.cell.pair().mark.clone()
    }

    /// Whether its state is damaged, and neither read nor changed until the replica is rebuilt.
    pub fn is_hidden(&self) -> bool {
        self.cell.pair().hidden
    }

    /// The mark that is in LMDB: what a crash cannot lose. The log must not be purged past it.
    pub fn flushed(&self) -> Option<Mark> {
        self.cell.pair().flushed.clone()
    }

    /// Whether the disk has room for a snapshot that is written or received, beside what is kept
    /// free for those who cannot wait (`disk_reserve_bytes`). Asks the disk.
    pub fn disk_has_room(&self) -> bool {
        self.shared.disk_has_room()
    }

    /// The same with an eighth of that to spare: whoever had just enough would lack it soon.
    pub fn disk_has_ample_room(&self) -> bool {
        self.shared.disk_has_ample_room()
    }

    /// The exclusive writer. Panics while there is another.
    pub fn writer(&self) -> Writer {
        Writer::new(self.cell.clone(), self.shared.clone())
    }

    /// Hides a damaged state, which would stop whoever read it, until the store is opened again or
    /// a snapshot is installed: views see nothing, and what is published changes nothing on disk.
    /// The marks go on, so that the replica of a group can do without its state.
    pub fn hide(&self) {
        self.cell.hide();
    }

    /// The state as published now.
    pub fn view(&self) -> View {
        let (pair, shared) = (self.cell.pair(), self.shared.clone());
        View { pair, shard: shared.next_shard(), shared }
    }
}
