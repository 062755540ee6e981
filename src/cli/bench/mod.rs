//! `vatic bench run`: how fast a running cluster is, and what it costs. `vatic bench compare`: the
//! same under several policies, in turns. `vatic bench overload`: what it does when it is asked for
//! more than it can. `vatic bench streams`: what foreseeing is worth to streams that take time.
//! `vatic bench tickets`: what work that can wait does to work that cannot.
//!
//! A closed loop: so many clients, each with one operation at a time, over few pipelined
//! connections. Read in this order: what is done (`workload`, `zipf`), to which records (`data`),
//! how one operation runs (`play`, `policy`, `guarded`), what is counted (`tally`, `cpu`), what is
//! printed (`report`).
//! `tpcc` has records and transactions of its own.

mod compare;
mod cpu;
mod data;
mod guarded;
mod limits;
mod overload;
mod play;
mod policy;
mod report;
mod run;
mod streams;
mod tally;
mod tickets;
mod tpcc;
mod workload;
mod zipf;

pub(crate) use compare::compare;
pub(crate) use overload::{BenchOverloadArgs, overload};
pub(crate) use policy::Policy;
pub(crate) use run::run;
pub(crate) use streams::{BenchStreamsArgs, streams};
pub(crate) use tickets::{BenchTicketsArgs, tickets};
pub(crate) use workload::{Extent, Workload};
