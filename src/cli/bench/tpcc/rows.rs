//! Where the rows lie, and how their fields are called.

use vatic_core::key::{Key, KeyRange};
use vatic_core::value::{Fields, Scalar, Value};

pub(super) const ITEMS: &str = "tpcc-item";
pub(super) const WAREHOUSES: &str = "tpcc-warehouse";
pub(super) const WAREHOUSE_YTD: &str = "tpcc-warehouse-ytd";
pub(super) const DISTRICTS: &str = "tpcc-district";
pub(super) const DISTRICT_YTD: &str = "tpcc-district-ytd";
pub(super) const SEQUENCES: &str = "tpcc-sequence";
pub(super) const CUSTOMERS: &str = "tpcc-customer";
pub(super) const BALANCES: &str = "tpcc-balance";
pub(super) const STOCK: &str = "tpcc-stock";
pub(super) const ORDERS: &str = "tpcc-order";
pub(super) const NEW_ORDERS: &str = "tpcc-new-order";
pub(super) const LINES: &str = "tpcc-order-line";
pub(super) const HISTORY: &str = "tpcc-history";

pub(super) const TAX: &str = "tax_bp";
pub(super) const YTD: &str = "ytd";
pub(super) const NEXT: &str = "next_order";
pub(super) const DISCOUNT: &str = "discount_bp";
pub(super) const BALANCE: &str = "balance";
pub(super) const PAID: &str = "paid";
pub(super) const PAYMENTS: &str = "payments";
pub(super) const PRICE: &str = "price";
pub(super) const QUANTITY: &str = "quantity";
pub(super) const SOLD: &str = "sold";
pub(super) const TIMES: &str = "times";
pub(super) const REMOTE: &str = "remote";
pub(super) const COUNT: &str = "lines";
pub(super) const CUSTOMER: &str = "customer";

/// What is bought everywhere lies in partitions of its own.
const ITEM_PARTITIONS: u32 = 16;

pub(super) fn item(item: u32) -> Key {
    at(ITEMS, format!("i{:02}", item % ITEM_PARTITIONS), format!("{item:06}"))
}

pub(super) fn of_warehouse(collection: &str, warehouse: u32) -> Key {
    at(collection, partition(warehouse), String::new())
}

pub(super) fn of_district(collection: &str, warehouse: u32, district: u32) -> Key {
    at(collection, partition(warehouse), format!("{district:02}"))
}

pub(super) fn of_customer(collection: &str, (warehouse, district): (u32, u32), it: u32) -> Key {
    at(collection, partition(warehouse), format!("{district:02}/{it:05}"))
}

pub(super) fn stock(warehouse: u32, item: u32) -> Key {
    at(STOCK, partition(warehouse), format!("{item:06}"))
}

/// An order, or what is kept of it elsewhere.
pub(super) fn order(collection: &str, warehouse: u32, district: u32, order: i64) -> Key {
    at(collection, partition(warehouse), format!("{district:02}/{order:010}"))
}

pub(super) fn line(warehouse: u32, district: u32, order: i64, line: usize) -> Key {
    at(LINES, partition(warehouse), format!("{district:02}/{order:010}/{line:02}"))
}

pub(super) fn history(warehouse: u32, nonce: u64) -> Key {
    at(HISTORY, partition(warehouse), format!("{nonce:016x}"))
}

/// All rows of a district in one collection.
pub(super) fn district_range(collection: &str, warehouse: u32, district: u32) -> KeyRange {
    KeyRange {
        collection: collection.to_owned(),
        partition: partition(warehouse),
        from: format!("{district:02}/"),
        // `0` follows `/`.
        to: Some(format!("{district:02}0")),
    }
}

/// Integer fields.
pub(super) fn fields<const N: usize>(values: [(&str, i64); N]) -> Fields {
    let fields = values.map(|(name, value)| (name.to_owned(), Value::One(Scalar::I64(value))));
    Fields::from(fields)
}

fn partition(warehouse: u32) -> String {
    format!("w{warehouse:04}")
}

fn at(collection: &str, partition: String, sort: String) -> Key {
    Key { collection: collection.to_owned(), partition, sort }
}
