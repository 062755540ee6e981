//! Changes that are not in LMDB yet: a sorted map that costs nothing to copy.
//!
//! A copy shares all nodes with the original, and a write copies the path to its leaf, so that
//! each publish can hand readers a map of their own while the writer goes on. Deletions are kept
//! as entries without a value: they must hide what LMDB still holds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

/// Writes that are not published yet. Private to one writer, so a plain map.
pub(crate) type Pending = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// One change: the key, and its new value or `None` for a deletion.
pub(crate) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Memory that an entry takes beside its key and value: two reference counts, two fat pointers,
/// allocator slack and its share of the tree's nodes. An estimate.
const ENTRY_OVERHEAD_BYTES: usize = 128;

#[derive(Clone, Default)]
pub(crate) struct Overlay {
    map: OrdMap<Arc<[u8]>, Option<Arc<[u8]>>>,
    bytes: usize,
}

impl Overlay {
    /// `None`: says nothing of this key. `Some(None)`: deleted.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.map.get(key).map(|value| value.as_deref())
    }

    /// A copy of this overlay with `pending` on top.
    pub(crate) fn with(&self, pending: Pending) -> Overlay {
        let mut next = self.clone();
        for (key, value) in pending {
            next.write(key, value);
        }
        next
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += entry_bytes(key.len(), value.as_deref());
        let key_bytes = key.len();
        if let Some(old) = self.map.insert(key.into(), value.map(Arc::from)) {
            self.bytes -= entry_bytes(key_bytes, old.as_deref());
        }
    }

    /// All changes in key order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.map.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    /// The changes within the bounds, in key order.
    pub(crate) fn range<'a>(
        &'a self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = Change<'a>> + use<'a> {
        let bounds = bounds(from, to);
        self.map.range::<_, [u8]>(bounds).map(|(key, value)| (&**key, value.as_deref()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Memory taken, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// `from` included, `to` excluded; `None` is the end of all keys.
pub(crate) fn bounds<'b>(
    from: &'b [u8],
    to: Option<&'b [u8]>,
) -> (Bound<&'b [u8]>, Bound<&'b [u8]>) {
    (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded))
}

fn entry_bytes(key_bytes: usize, value: Option<&[u8]>) -> usize {
    key_bytes + value.map_or(0, <[u8]>::len) + ENTRY_OVERHEAD_BYTES
}
