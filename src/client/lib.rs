//! Client of a vatic cluster.
//!
//! What it adds to the wire: it finds the leader and fails over, puts a deadline on every call,
//! retries conflicts with jittered pauses, turns a lost answer into a question (never into a second
//! effect), and recomputes each receipt from what it sent before it believes it.
//!
//! Start at [`Client`]; [`Client::run`] is what most programs need.

mod anomalies;
mod attempt;
mod backoff;
mod call;
mod chains;
mod client;
mod cluster;
mod conflicts;
mod convert;
mod error;
mod evidence;
mod foresight;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod lane;
mod leaders;
mod limits;
mod outcome;
mod overlay;
mod pipeline;
mod policies;
mod pool;
mod queue;
mod reads;
mod request;
mod routes;
mod run;
mod settle;
mod stream;
mod submit;
mod transaction;

pub use anomalies::{Anomaly, AnomalyFeed};
pub use chains::{Chains, Head, ReplicaChain};
pub use client::{Client, Options, Routing};
pub use cluster::{Cluster, Divergence, Group, Member, Replica, Role};
pub use conflicts::{
    Conflict, ConflictFeed, Conflicts, Model, Outlook, RecordOutlook, SharedModel, SharedModels,
    StrategyOutlook, Strayed,
};
pub use error::{Class, ClientError, Refusal};
pub use evidence::{Evidence, EvidenceFault};
pub use foresight::{
    Disturbance, Forecast, Foresight, Missing, Notice, Resolution, SoFar, Unjudged, Verdict,
    Warning,
};
pub use limits::Limits;
pub use outcome::{Cause, Committed, Outcome, Rollback};
pub use pipeline::{Advice, Claim, Intent, Peeked, Pipeline, PipelineOptions};
pub use queue::{Queue, TicketState};
pub use reads::{Record, Scan, ScanOptions};
pub use request::{OutcomeOf, Request, RequestError};
pub use run::{Done, Observer, Runner};
pub use transaction::Transaction;

#[cfg(test)]
mod fake_test;
#[cfg(test)]
mod run_test;
