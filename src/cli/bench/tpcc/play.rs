//! What the two transactions read and write.
//!
//! What is read and never changes comes apart from what will be written: nobody needs a turn for
//! it.

use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_core::value::Fields;

use super::draw::{Order, Payment};
use super::rows::{
    self, BALANCE, BALANCES, COUNT, CUSTOMER, CUSTOMERS, DISCOUNT, DISTRICT_YTD, DISTRICTS,
    HISTORY, NEW_ORDERS, NEXT, ORDERS, PAID, PAYMENTS, PRICE, QUANTITY, REMOTE, SEQUENCES, SOLD,
    TAX, TIMES, WAREHOUSE_YTD, WAREHOUSES, YTD,
};
use crate::bench::guarded::Seen;

/// What an order will write, then what it only reads.
pub(crate) fn order_reads(order: &Order) -> (Vec<Key>, Vec<Key>) {
    let Order { warehouse, district, customer, .. } = *order;
    let mut written = vec![rows::of_district(SEQUENCES, warehouse, district)];
    written.extend(order.lines().iter().map(|line| rows::stock(line.supplier, line.item)));
    let mut fixed = vec![
        rows::of_warehouse(WAREHOUSES, warehouse),
        rows::of_district(DISTRICTS, warehouse, district),
        rows::of_customer(CUSTOMERS, (warehouse, district), customer),
    ];
    fixed.extend(order.lines().iter().map(|line| rows::item(line.item)));
    (written, fixed)
}

/// What it writes, by what it read; `None` where an item does not exist.
pub(crate) fn order_writes(order: &Order, written: &Seen, fixed: &Seen) -> Option<Vec<Delta>> {
    if order.invalid {
        return None;
    }
    let Order { warehouse, district, customer, .. } = *order;
    let number = written.integer(0, NEXT);
    let at = |collection| rows::order(collection, warehouse, district, number);
    let count = order.lines().len() as i64;
    let head = rows::fields([(CUSTOMER, i64::from(customer)), (COUNT, count)]);
    let mut deltas = vec![
        add(rows::of_district(SEQUENCES, warehouse, district), NEXT, 1),
        put(at(ORDERS), head),
        put(at(NEW_ORDERS), Fields::new()),
    ];
    let rates = [(0, TAX), (1, TAX)].map(|(row, field)| fixed.integer(row, field));
    let factor_bp = (10_000 + rates[0] + rates[1]) * (10_000 - fixed.integer(2, DISCOUNT)) / 10_000;
    for (nth, line) in order.lines().iter().enumerate() {
        let ordered = i64::from(line.quantity);
        let had = written.integer(nth + 1, QUANTITY);
        let left = if had >= ordered + 10 { had - ordered } else { had + 91 - ordered };
        let cents = fixed.integer(nth + 3, PRICE) * ordered * factor_bp / 10_000;
        let stock = rows::fields([
            (QUANTITY, left),
            (SOLD, written.integer(nth + 1, SOLD) + ordered),
            (TIMES, written.integer(nth + 1, TIMES) + 1),
            (REMOTE, written.integer(nth + 1, REMOTE) + i64::from(line.supplier != warehouse)),
        ]);
        let bought = [("item", i64::from(line.item)), (QUANTITY, ordered), ("cents", cents)];
        deltas.push(put(rows::stock(line.supplier, line.item), stock));
        let line = rows::line(warehouse, district, number, nth + 1);
        deltas.push(put(line, rows::fields(bought)));
    }
    Some(deltas)
}

/// What a payment will write, then what it only reads.
pub(crate) fn payment_reads(payment: &Payment) -> (Vec<Key>, Vec<Key>) {
    let Payment { warehouse, district, home, customer, .. } = *payment;
    let written = vec![
        rows::of_warehouse(WAREHOUSE_YTD, warehouse),
        rows::of_district(DISTRICT_YTD, warehouse, district),
        rows::of_customer(BALANCES, home, customer),
    ];
    let fixed = vec![
        rows::of_warehouse(WAREHOUSES, warehouse),
        rows::of_district(DISTRICTS, warehouse, district),
        rows::of_customer(CUSTOMERS, home, customer),
    ];
    (written, fixed)
}

/// What it writes.
pub(crate) fn payment_writes(payment: &Payment) -> Vec<Delta> {
    let Payment { warehouse, district, home, customer, cents, nonce } = *payment;
    let balance = rows::of_customer(BALANCES, home, customer);
    vec![
        add(rows::of_warehouse(WAREHOUSE_YTD, warehouse), YTD, cents),
        add(rows::of_district(DISTRICT_YTD, warehouse, district), YTD, cents),
        add(balance.clone(), BALANCE, -cents),
        add(balance.clone(), PAID, cents),
        add(balance, PAYMENTS, 1),
        put(rows::history(warehouse, nonce), rows::fields([(HISTORY, cents)])),
    ]
}

fn put(key: Key, fields: Fields) -> Delta {
    Delta { key, op: Op::Put(fields) }
}

fn add(key: Key, field: &str, by: i64) -> Delta {
    Delta { key, op: Op::Add { field: field.to_owned(), by } }
}
