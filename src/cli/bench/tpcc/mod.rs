//! `tpcc`: NewOrder and Payment of TPC-C (revision 5.11), and its consistency conditions 1 to 4.
//!
//! What differs from the standard: these two transactions alone, about half and half as their
//! shares of the mix are; no think time unless asked for; customers are found by number, never by
//! name; no orders to begin with; fewer items and customers, in proportion, unless asked for
//! (`--keys 100000` gives the standard's). What several columns of a row are to the standard are
//! several records here where some never change (clause 1.4.5 allows it): who reads a tax rate does
//! not conflict with who books a payment.
//!
//! All of a warehouse lies in one partition, so that a transaction of one warehouse is of one
//! group. `draw`: who does what; `rows`: where it lies; `play`: what is read and written; `load`,
//! `check`.

mod check;
mod draw;
mod load;
mod play;
mod rows;

pub(crate) use check::check;
pub(crate) use draw::{Draw, Order, Payment};
pub(crate) use load::{batches, loading};
pub(crate) use play::{order_reads, order_writes, payment_reads, payment_writes};

/// Districts of a warehouse.
pub(crate) const DISTRICTS: u32 = 10;
/// Customers of a district: 3,000 where there are 100,000 items.
pub(crate) fn customers(items: u32) -> u32 {
    (items / 100 * 3).max(30)
}
/// Lines of an order.
pub(crate) const LINES: std::ops::RangeInclusive<usize> = 5..=15;
/// Most of them.
pub(crate) const LINES_MAX: usize = 15;
