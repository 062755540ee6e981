//! Changes that are not in LMDB yet: a sorted map that costs nothing to copy.
//!
//! A copy shares all nodes with the original, and a write copies the path to its leaf, so that
//! each publish can hand readers a map of their own while the writer goes on. Deletions are kept
//! as entries without a value: they must hide what LMDB still holds.
//!
//! Copying a leaf counts one reference up for each entry in it, and each is a cache miss; so an
//! entry is one allocation, key and value together.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

/// Writes that are not published yet. Private to one writer, so a plain map.
pub(crate) type Pending = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// One change: the key, and its new value or `None` for a deletion.
pub(crate) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Memory that an entry takes beside its key and value: reference counts, fat pointers, allocator
/// slack and its share of the tree's nodes. An estimate.
const ENTRY_OVERHEAD_BYTES: usize = 96;

#[derive(Clone, Default)]
pub(crate) struct Overlay {
    entries: OrdSet<Entry>,
    bytes: usize,
}

impl Overlay {
    /// `None`: says nothing of this key. `Some(None)`: deleted.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.entries.get(key).map(Entry::value)
    }

    /// A copy of this overlay with `pending` on top.
    pub(crate) fn with(&self, pending: &Pending) -> Overlay {
        let mut next = self.clone();
        for (key, value) in pending {
            let entry = Entry::new(key, value.as_deref());
            next.bytes += entry.memory_bytes();
            if let Some(old) = next.entries.insert(entry) {
                next.bytes -= old.memory_bytes();
            }
        }
        next
    }

    /// All changes in key order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.entries.iter().map(Entry::change)
    }

    /// The changes within the bounds, in key order.
    pub(crate) fn range<'a>(
        &'a self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = Change<'a>> + use<'a> {
        self.entries.range::<_, [u8]>(bounds(from, to)).map(Entry::change)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
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

/// A key and what became of it. Entries compare by key alone, so that one replaces another.
#[derive(Clone)]
struct Entry {
    /// The key, then the value.
    bytes: Arc<[u8]>,
    key_bytes: u32,
    deleted: bool,
}

impl Entry {
    fn new(key: &[u8], value: Option<&[u8]>) -> Entry {
        let value_bytes = value.unwrap_or_default();
        // One allocation and two copies; `concat().into()` would allocate twice.
        let length = key.len() + value_bytes.len();
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        let (front, back) =
            Arc::get_mut(&mut bytes).expect("nobody else has it yet").split_at_mut(key.len());
        front.copy_from_slice(key);
        back.copy_from_slice(value_bytes);
        let key_bytes = u32::try_from(key.len()).expect("the writer bounds its keys");
        Entry { bytes, key_bytes, deleted: value.is_none() }
    }

    fn key(&self) -> &[u8] {
        &self.bytes[..self.key_bytes as usize]
    }

    fn value(&self) -> Option<&[u8]> {
        (!self.deleted).then(|| &self.bytes[self.key_bytes as usize..])
    }

    fn change(&self) -> Change<'_> {
        (self.key(), self.value())
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.len() + ENTRY_OVERHEAD_BYTES
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}
