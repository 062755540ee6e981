//! `vatic bench run`: how fast a running cluster is, and what it costs. `vatic bench compare`: the
//! same under several policies, in turns. `vatic bench overload`: what it does when it is asked for
//! more than it can. `vatic bench streams`: what foreseeing is worth to streams that take time.
//! `vatic bench tickets`: what work that can wait does to work that cannot. `vatic bench ablation`:
//! what each mechanism of the queue is good for. `vatic bench foresight`: what foreseeing costs.
//! `vatic bench spared`: what it is worth to take no turns with what will not be written.
//!
//! A closed loop: so many clients, each with one operation at a time, over few pipelined
//! connections. Read in this order: what is done (`workload`, `zipf`), to which records (`data`),
//! how one operation runs (`play`, `policy`, `guarded`), what is counted (`tally`, `cpu`), what is
//! printed (`report`), how what is compared takes turns (`turns`), with its own clusters (`fresh`).
//! `tpcc` has records and transactions of its own.

mod ablation;
mod compare;
mod cpu;
mod data;
mod foresight;
mod fresh;
mod guarded;
mod limits;
mod overload;
mod play;
mod policy;
mod report;
mod run;
mod spared;
mod streams;
mod tally;
mod tickets;
mod tpcc;
mod turns;
mod workload;
mod zipf;

pub(crate) use ablation::{BenchAblationArgs, ablation};
pub(crate) use compare::{BenchCompareArgs, compare};
pub(crate) use foresight::{BenchForesightArgs, foresight};
pub(crate) use overload::{BenchOverloadArgs, overload};

pub(crate) use run::{BenchRunArgs, run};
pub(crate) use spared::{BenchSparedArgs, spared};
pub(crate) use streams::{BenchStreamsArgs, streams};
pub(crate) use tickets::{BenchTicketsArgs, tickets};
pub(crate) use workload::{Extent, Workload};
