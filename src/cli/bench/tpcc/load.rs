//! The rows to begin with, in batches: items, then all of one warehouse after the other.

use rand::Rng;
use rand::rngs::SmallRng;
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_core::value::Fields;

use super::rows::{
    self, BALANCE, BALANCES, CUSTOMERS, DISCOUNT, DISTRICT_YTD, DISTRICTS, NEXT, PAID, PAYMENTS,
    PRICE, QUANTITY, REMOTE, SEQUENCES, SOLD, TAX, TIMES, WAREHOUSE_YTD, WAREHOUSES, YTD,
};

/// Rows of a batch.
const BATCH: u32 = 100;
/// Of a district to begin with, in cents; a warehouse has what its districts have.
pub(super) const DISTRICT_YTD_CENTS: i64 = 3_000_000;

/// How many batches load so many warehouses and items.
pub(crate) fn batches(warehouses: u32, items: u32) -> u32 {
    items.div_ceil(BATCH) + warehouses * of_warehouse(items)
}

/// The batch with a number below that.
pub(crate) fn loading(batch: u32, items: u32, random: &mut SmallRng) -> Vec<Delta> {
    let Some(rest) = batch.checked_sub(items.div_ceil(BATCH)) else {
        let price = |random: &mut SmallRng| random.random_range(100..=10_000);
        let row = |item| put(rows::item(item), rows::fields([(PRICE, price(random))]));
        return (batch * BATCH + 1..=items.min((batch + 1) * BATCH)).map(row).collect();
    };
    let (warehouse, within) = (rest / of_warehouse(items) + 1, rest % of_warehouse(items));
    if within == 0 {
        return warehouse_rows(warehouse, random);
    }
    if let Some(district) = (within - 1).checked_div(customer_batches(items))
        && district < super::DISTRICTS
    {
        let first = (within - 1) % customer_batches(items) * BATCH / 2;
        let last = (first + BATCH / 2).min(super::customers(items));
        return customer_rows((warehouse, district + 1), first + 1..=last, random);
    }
    let first = (within - 1 - super::DISTRICTS * customer_batches(items)) * BATCH;
    let row = |item| {
        let quantity = random.random_range(10..=100);
        let fields = [(QUANTITY, quantity), (SOLD, 0), (TIMES, 0), (REMOTE, 0)];
        put(rows::stock(warehouse, item), rows::fields(fields))
    };
    (first + 1..=items.min(first + BATCH)).map(row).collect()
}

/// Batches of one warehouse: its own row and its districts', customers, stock.
fn of_warehouse(items: u32) -> u32 {
    1 + super::DISTRICTS * customer_batches(items) + items.div_ceil(BATCH)
}

/// A customer has two rows.
fn customer_batches(items: u32) -> u32 {
    super::customers(items).div_ceil(BATCH / 2)
}

fn warehouse_rows(warehouse: u32, random: &mut SmallRng) -> Vec<Delta> {
    let mut tax = || rows::fields([(TAX, random.random_range(0..=2_000))]);
    let all = DISTRICT_YTD_CENTS * i64::from(super::DISTRICTS);
    let mut deltas = vec![
        put(rows::of_warehouse(WAREHOUSES, warehouse), tax()),
        put(rows::of_warehouse(WAREHOUSE_YTD, warehouse), rows::fields([(YTD, all)])),
    ];
    for district in 1..=super::DISTRICTS {
        let at = |collection| rows::of_district(collection, warehouse, district);
        deltas.push(put(at(DISTRICTS), tax()));
        deltas.push(put(at(DISTRICT_YTD), rows::fields([(YTD, DISTRICT_YTD_CENTS)])));
        deltas.push(put(at(SEQUENCES), rows::fields([(NEXT, 1)])));
    }
    deltas
}

fn customer_rows(
    home: (u32, u32),
    customers: std::ops::RangeInclusive<u32>,
    random: &mut SmallRng,
) -> Vec<Delta> {
    let rows = customers.flat_map(|customer| {
        let discount = random.random_range(0..=5_000);
        let money = rows::fields([(BALANCE, -1_000), (PAID, 1_000), (PAYMENTS, 1)]);
        [
            put(rows::of_customer(CUSTOMERS, home, customer), rows::fields([(DISCOUNT, discount)])),
            put(rows::of_customer(BALANCES, home, customer), money),
        ]
    });
    rows.collect()
}

fn put(key: Key, fields: Fields) -> Delta {
    Delta { key, op: Op::Put(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    /// Of items; all else of a batch is one warehouse's.
    const PARTITIONS_MAX: usize = 16;

    #[test]
    fn batches_load_each_row_once() {
        let (warehouses, items) = (2, 1_050);
        let mut random = SmallRng::seed_from_u64(1);
        let mut keys = BTreeSet::new();
        for batch in 0..batches(warehouses, items) {
            let deltas = loading(batch, items, &mut random);
            assert!(!deltas.is_empty() && deltas.len() <= BATCH as usize, "batch {batch}");
            let partitions: BTreeSet<&str> =
                deltas.iter().map(|delta| delta.key.partition.as_str()).collect();
            assert!(partitions.len() <= PARTITIONS_MAX, "batch {batch} has {partitions:?}");
            for delta in deltas {
                assert!(keys.insert(delta.key.clone()), "{} is loaded twice", delta.key);
            }
        }
        let districts = crate::bench::tpcc::DISTRICTS;
        let customers = districts * crate::bench::tpcc::customers(items);
        let each = 2 + 3 * districts + 2 * customers + items;
        assert_eq!(keys.len() as u32, items + warehouses * each);
    }
}
