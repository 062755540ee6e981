//! The published pair: everything that a reader needs, replaced as one.
//!
//! Why one value: a key moves from the frozen overlay into LMDB. A reader that took the overlay
//! after the move and the transaction from before it would miss the key; one that took them the
//! other way round could see an old value come back. Here overlays, LMDB's moment and the mark
//! sit in one immutable value, so there is nothing to take apart.
//!
//! Invariant: what `active` over `frozen` over `base` holds is exactly the state at `mark`, and
//! what `base` alone holds is exactly the state at `flushed`.

use std::sync::Arc;

use crate::fatal::Fatal;
use crate::id::{Incarnation, Mark};
use crate::layout::Prefix;
use crate::lmdb::Base;
use crate::merge::{BaseCursor, Layer, Visitor, merge};
use crate::overlay::{Overlay, Pending};

#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) incarnation: Incarnation,
    pub(crate) prefix: Prefix,
    /// What has been published since the last freeze.
    pub(crate) active: Overlay,
    /// What the next flush writes.
    pub(crate) frozen: Option<Frozen>,
    pub(crate) base: Arc<Base>,
    /// The state with all overlays; `None` where nothing was ever applied.
    pub(crate) mark: Option<Mark>,
    /// The state in LMDB alone.
    pub(crate) flushed: Option<Mark>,
    /// The replica was removed: nothing more is published or flushed.
    pub(crate) removed: bool,
    /// The state is damaged and serves nobody: nothing of it is read, and nothing flushed into it.
    pub(crate) hidden: bool,
}

/// An overlay that does not change any more, and the mark of the state that it completes.
#[derive(Clone)]
pub(crate) struct Frozen {
    pub(crate) overlay: Overlay,
    pub(crate) mark: Mark,
}

/// What reading needs beside the pair.
#[derive(Clone, Copy)]
pub(crate) struct Lens<'a> {
    pub(crate) shard: usize,
    pub(crate) fatal: &'a Fatal,
}

impl Published {
    pub(crate) fn get(&self, key: &[u8], lens: Lens<'_>) -> Option<Vec<u8>> {
        for overlay in self.overlays() {
            if let Some(value) = overlay.lookup(key) {
                return value.map(<[u8]>::to_vec);
            }
        }
        if self.hidden {
            return None;
        }
        let found = self.base.get(lens.shard, &self.prefix, key);
        found.unwrap_or_else(|error| lens.fatal.stop(&error.to_string()))
    }

    /// Visits `from <= key < to` (`None`: to the end), with `pending` above everything.
    pub(crate) fn scan(
        &self,
        (from, to): (&[u8], Option<&[u8]>),
        pending: Option<&Pending>,
        lens: Lens<'_>,
        visit: &mut Visitor<'_>,
    ) {
        if self.hidden || to.is_some_and(|to| to <= from) {
            return;
        }
        let mut layers: Vec<Layer<'_>> = Vec::with_capacity(3);
        if let Some(pending) = pending.filter(|pending| !pending.is_empty()) {
            let range = pending.range::<[u8], _>(crate::overlay::bounds(from, to));
            let changes = range.map(|(key, value)| (&**key, value.as_deref()));
            layers.push((Box::new(changes) as Box<dyn Iterator<Item = _>>).peekable());
        }
        for overlay in self.overlays() {
            let changes = overlay.range(from, to);
            layers.push((Box::new(changes) as Box<dyn Iterator<Item = _>>).peekable());
        }
        let base = BaseCursor::new(&self.base, lens.shard, &self.prefix, lens.fatal, (from, to));
        merge(layers, base, visit);
    }

    /// The overlays that say anything, the uppermost first.
    fn overlays(&self) -> impl Iterator<Item = &Overlay> {
        let frozen = self.frozen.iter().map(|frozen| &frozen.overlay);
        std::iter::once(&self.active).chain(frozen).filter(|overlay| !overlay.is_empty())
    }

    /// Memory of the overlays, about.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.active.bytes() + self.frozen.as_ref().map_or(0, |frozen| frozen.overlay.bytes())
    }
}
