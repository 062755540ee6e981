//! A transaction's own writes, laid over what it reads.
//!
//! The server answers reads as committed. A transaction wants to see what it did itself, and the
//! client has every delta it sent: the core's own `apply` makes the image, so that what is shown is
//! what the vote will make of it if nothing else changes.

use std::collections::BTreeMap;

use vatic_core::delta::{Delta, Op, Rejection};
use vatic_core::id::Timestamp;
use vatic_core::key::{Key, KeyRange};
use vatic_core::limits::Limits;
use vatic_core::value::Fields;

use crate::reads::Record;

/// The deltas sent so far, by record, in order.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    written: BTreeMap<Key, Vec<Op>>,
}

impl Overlay {
    pub(crate) fn add(&mut self, delta: &Delta) {
        if delta.op.writes() {
            self.written.entry(delta.key.clone()).or_default().push(delta.op.clone());
        }
    }

    /// The record as this transaction sees it. Errors: a delta that was sent cannot apply to the
    /// version read, so the vote would be No.
    pub(crate) fn over(
        &self,
        key: &Key,
        committed: Option<Record>,
    ) -> Result<Option<Record>, Rejection> {
        let Some(ops) = self.written.get(key) else { return Ok(committed) };
        let version = committed.as_ref().map_or(Timestamp::ZERO, |record| record.version);
        let image = apply(ops, version, committed.map(|record| record.fields))?;
        Ok(image.map(|fields| Record { key: key.clone(), fields, version }))
    }

    /// A scan as this transaction sees it. Where a limit cut the scan, nothing is added beyond the
    /// last record returned.
    pub(crate) fn over_range(
        &self,
        range: &KeyRange,
        limit: u32,
        committed: Vec<Record>,
    ) -> Result<Vec<Record>, Rejection> {
        let cut = limit > 0 && committed.len() >= limit as usize;
        let last = committed.last().filter(|_| cut).map(|record| record.key.clone());
        let mut seen: BTreeMap<Key, Record> =
            committed.into_iter().map(|record| (record.key.clone(), record)).collect();
        let touched = self.written.keys().filter(|key| {
            range.contains(&key.encode()) && last.as_ref().is_none_or(|last| *key <= last)
        });
        for key in touched {
            if let Some(record) = self.over(key, seen.remove(key))? {
                seen.insert(key.clone(), record);
            }
        }
        Ok(seen.into_values().collect())
    }
}

fn apply(
    ops: &[Op],
    version: Timestamp,
    image: Option<Fields>,
) -> Result<Option<Fields>, Rejection> {
    // The group's own limits decide at the vote; these only bound what is shown here.
    let limits = Limits::production();
    ops.iter().try_fold(image, |image, op| op.apply(version, image, &limits))
}

#[cfg(test)]
mod tests {
    use vatic_core::value::Value;

    use super::*;

    fn key(sort: &str) -> Key {
        Key::new("c", "p", sort).unwrap()
    }

    fn record(sort: &str, amount: i64) -> Record {
        let fields = Fields::from([("n".to_owned(), Value::from(amount))]);
        Record { key: key(sort), fields, version: Timestamp(5) }
    }

    fn add(sort: &str, by: i64) -> Delta {
        Delta { key: key(sort), op: Op::Add { field: "n".into(), by } }
    }

    fn overlay(deltas: &[Delta]) -> Overlay {
        let mut overlay = Overlay::default();
        deltas.iter().for_each(|delta| overlay.add(delta));
        overlay
    }

    #[test]
    fn read_shows_own_additions_and_keeps_the_version() {
        let overlay = overlay(&[add("a", 2), add("a", 3)]);
        let seen = overlay.over(&key("a"), Some(record("a", 10))).unwrap().unwrap();
        assert_eq!(seen.fields["n"].as_i64(), Some(15));
        assert_eq!(seen.version, Timestamp(5));
    }

    #[test]
    fn own_delete_hides_the_record() {
        let overlay = overlay(&[Delta { key: key("a"), op: Op::Delete }]);
        assert_eq!(overlay.over(&key("a"), Some(record("a", 1))), Ok(None));
    }

    #[test]
    fn addition_that_cannot_apply_is_said_at_the_read() {
        let overlay = overlay(&[add("a", 1)]);
        let full = record("a", i64::MAX);
        assert!(matches!(overlay.over(&key("a"), Some(full)), Err(Rejection::Overflow { .. })));
    }

    #[test]
    fn scan_shows_own_records_in_their_place() {
        let overlay = overlay(&[add("b", 1), Delta { key: key("c"), op: Op::Delete }]);
        let range = KeyRange::partition("c", "p");
        let committed = vec![record("a", 1), record("c", 1), record("d", 1)];
        let seen = overlay.over_range(&range, 0, committed).unwrap();
        let sorts: Vec<_> = seen.iter().map(|record| record.key.sort.as_str()).collect();
        assert_eq!(sorts, ["a", "b", "d"]);
    }

    #[test]
    fn cut_scan_adds_nothing_beyond_its_last_record() {
        let overlay = overlay(&[add("z", 1)]);
        let range = KeyRange::partition("c", "p");
        let seen = overlay.over_range(&range, 1, vec![record("a", 1)]).unwrap();
        assert_eq!(seen.len(), 1);
    }
}
