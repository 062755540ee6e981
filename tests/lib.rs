//! vatic-tests: looks at vatic from outside, at its sources and at its processes.
//!
//! This library is what the process tests share: a cluster of real `vatic start` processes on the
//! loopback, raw gRPC to talk to it where the client crate is too well-behaved, and a runner that
//! gives all tests of one binary one cluster.
//!
//! Invariants: no test waits for a state by sleeping, all poll with a deadline; no process and no
//! directory outlives the tests, whichever way they end.

pub mod alarms;
pub mod cluster;
pub mod command;
pub mod disk_use;
pub mod distance;
pub mod endurance;
pub mod foreseen;
pub mod http;
pub mod load;
pub mod meddle;
pub mod node;
pub mod overwrites;
pub mod program;
pub mod scrape;
pub mod seeded;
pub mod stalled;
pub mod strikes;
pub mod suite;
pub mod tamper;
pub mod values;
pub mod wait;
pub mod wire;
