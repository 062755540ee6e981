//! The oracle itself: it must refuse what no order explains.

use crate::commit::serial::{Op, Write, explains};

fn read(reads: &[(usize, Option<i64>)]) -> Op {
    Op { required: true, reads: reads.to_vec(), ..Op::default() }
}

fn write(writes: &[(usize, Write)]) -> Op {
    Op { required: true, writes: writes.to_vec(), ..Op::default() }
}

#[test]
fn write_skew_has_no_order() {
    let skew = |from, to| Op { writes: vec![(to, Write::Put(1))], ..read(&[(from, None)]) };
    assert!(!explains(&[skew(0, 1), skew(1, 0)], 2));
    assert!(explains(&[skew(0, 1)], 2));
}

#[test]
fn half_a_transfer_has_no_order() {
    let transfer = write(&[(0, Write::Add(-1)), (1, Write::Add(1))]);
    let seen = |a, b| read(&[(0, a), (1, b)]);
    assert!(explains(&[transfer.clone(), seen(Some(-1), Some(1))], 2));
    assert!(explains(&[transfer.clone(), seen(None, None)], 2));
    assert!(!explains(&[transfer.clone(), seen(Some(-1), None)], 2));
    assert!(!explains(&[transfer, seen(Some(-2), Some(2))], 2));
}

#[test]
fn late_reader_must_see_what_was_acknowledged() {
    let put = write(&[(0, Write::Put(1))]);
    let late = |value| Op { after: 1, ..read(&[(0, value)]) };
    assert!(!explains(&[put.clone(), late(None)], 1));
    assert!(explains(&[put, late(Some(1))], 1));
}

#[test]
fn pending_write_may_be_seen_or_not_but_not_undone() {
    let pending = Op { required: false, ..write(&[(0, Write::Put(1))]) };
    let first = read(&[(0, Some(1))]);
    let second = |value| Op { after: 1 << 1, ..read(&[(0, value)]) };
    assert!(explains(&[pending.clone(), first.clone(), second(Some(1))], 1));
    assert!(!explains(&[pending, first, second(None)], 1));
}

#[test]
fn deleted_record_is_seen_as_absent() {
    let put = write(&[(0, Write::Put(1))]);
    let delete = Op { after: 1, ..write(&[(0, Write::Delete)]) };
    let seen = |value| Op { after: 0b11, ..read(&[(0, value)]) };
    assert!(explains(&[put.clone(), delete.clone(), seen(None)], 1));
    assert!(!explains(&[put, delete, seen(Some(1))], 1));
}
