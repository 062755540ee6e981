//! The records that the workloads use, and what is written to them.

use rand::Rng;
use rand::rngs::SmallRng;
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_core::value::{Fields, Scalar, Value};

use super::limits::{LOAD_BATCH, VALUE_BYTES, YCSB_FIELD_BYTES, YCSB_FIELDS};
use super::tpcc;
use super::workload::{Extent, Workload};
use crate::demo;

/// Each record has a partition of its own, so that the ring spreads them.
pub(crate) fn key(record: u32) -> Key {
    Key { collection: "bench".to_owned(), partition: format!("r{record:08}"), sort: String::new() }
}

/// In how many transactions a workload's records are loaded.
pub(crate) fn batches(workload: Workload, extent: Extent) -> u32 {
    match workload {
        Workload::Tpcc => tpcc::batches(extent.warehouses, extent.records),
        _ => extent.records.div_ceil(LOAD_BATCH),
    }
}

/// What one of these writes.
pub(crate) fn loading(
    workload: Workload,
    extent: Extent,
    batch: u32,
    random: &mut SmallRng,
) -> Vec<Delta> {
    if workload == Workload::Tpcc {
        return tpcc::loading(batch, extent.records, random);
    }
    let from = batch * LOAD_BATCH;
    let records = from..extent.records.min(from.saturating_add(LOAD_BATCH));
    let first = |record| match workload {
        Workload::Smallbank => demo::opening(record),
        Workload::YcsbA | Workload::YcsbF => {
            let fields = (0..YCSB_FIELDS).map(|at| field(at, random)).collect();
            vec![Delta { key: key(record), op: Op::Put(fields) }]
        }
        _ => vec![Delta { key: key(record), op: Op::Put(value(random)) }],
    };
    records.flat_map(first).collect()
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
