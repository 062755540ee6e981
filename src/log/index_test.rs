//! What the index knows of a log while recovery is still meeting its entries.

use bytes::Bytes;

use crate::Entry;
use crate::drill::replica;
use crate::index::{Index, Place};
use crate::record::{Extent, Opening, Record};

/// The term was taken for 0, which the next segment's opening then said for good: a later recovery
/// called that damage, and Raft was told of a last entry of term 0.
#[test]
fn last_term_is_learned_from_a_carried_entry_that_a_truncation_made_the_last() {
    let id = replica(1);
    let mut index = Index::default();
    index.open_segment(1);
    let entries = Some(Extent { first: 5, last: 6, last_term: 9 });
    let opening = Opening { entries, ..Opening::default() };
    index.restore(id, &opening).unwrap();
    let place = |offset| Place { epoch: 1, offset, bytes: 10, term: 7 };
    index.apply(id, &Record::Truncate { from: 6 }, place(0)).unwrap();
    let carried = Entry { index: 5, term: 7, payload: Bytes::new() };
    index.apply(id, &Record::Carried(carried), place(10)).unwrap();
    let extent = index.replica(id).and_then(|replica| replica.extent());
    assert_eq!(extent, Some(Extent { first: 5, last: 5, last_term: 7 }));
}
