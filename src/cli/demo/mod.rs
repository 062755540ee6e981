//! The demonstration: a bank under load on three real nodes, one of which is killed.
//!
//! `stage` starts the nodes and drives the play; `load` is the clients, with `bank` for what a
//! transaction does and `tally` for what came of it; `evidence_file` keeps each acknowledged
//! commit; `check` judges from a process of its own; `report` prints.

mod bank;
mod check;
mod evidence_file;
mod limits;
mod load;
mod mix;
mod report;
mod stage;
mod tally;
mod verdict;

// The bank is a workload of the benchmark, too.
pub(crate) use bank::{
    BALANCE, CHECKING, Deal, FLOW, LEDGER, SAVINGS, WRITES, integer, key, opening,
};
pub(crate) use check::check;
pub(crate) use limits::PENALTY_CENTS;
pub(crate) use mix::{Hot, Mix};
pub(crate) use stage::run;
