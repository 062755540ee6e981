//! The records that the workloads use, and what is written to them.

use rand::Rng;
use rand::rngs::SmallRng;
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_core::value::{Fields, Scalar, Value};

use super::limits::{VALUE_BYTES, YCSB_FIELD_BYTES, YCSB_FIELDS};
use super::workload::Workload;
use crate::demo;

/// Each record has a partition of its own, so that the ring spreads them.
pub(crate) fn key(record: u32) -> Key {
    Key { collection: "bench".to_owned(), partition: format!("r{record:08}"), sort: String::new() }
}

/// What one record is loaded with, in one transaction.
pub(crate) fn loading(workload: Workload, record: u32, random: &mut SmallRng) -> Vec<Delta> {
    let fields = match workload {
        Workload::Smallbank => return demo::opening(record),
        Workload::YcsbA | Workload::YcsbF => (0..YCSB_FIELDS).map(|at| field(at, random)).collect(),
        _ => value(random),
    };
    vec![Delta { key: key(record), op: Op::Put(fields) }]
}

/// What a put writes.
pub(crate) fn value(random: &mut SmallRng) -> Fields {
    Fields::from([("value".to_owned(), bytes(VALUE_BYTES, random))])
}

/// One field of a YCSB record.
pub(crate) fn field(at: usize, random: &mut SmallRng) -> (String, Value) {
    (format!("field{at}"), bytes(YCSB_FIELD_BYTES, random))
}

fn bytes(count: usize, random: &mut SmallRng) -> Value {
    let mut bytes = vec![0; count];
    random.fill(bytes.as_mut_slice());
    Value::One(Scalar::Bytes(bytes))
}
