//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use vatic_core::key::Key;
use vatic_core::strategy::Strategy;
use vatic_core::value::{Scalar, Value};

use crate::anomalies::AnomaliesCommand;
use crate::bench::{
    BenchAblationArgs, BenchCompareArgs, BenchForesightArgs, BenchOverloadArgs, BenchRunArgs,
    BenchSparedArgs, BenchStreamsArgs, BenchTicketsArgs, Extent, Workload,
};
use crate::conflicts::{ConflictsCommand, ExplainArgs, ModelCommand};
use crate::json;
use crate::policy::{self, PolicyCommand};
use crate::queue::{EnqueueArgs, QueueCommand};
use crate::txn::Asked;

/// A replicated transactional store that proves what it committed.
#[derive(Debug, Parser)]
#[command(
    name = "vatic",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 unavailable, 4 conflict, \
                  5 verification failed, 6 outcome unknown."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) shared: Shared,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Shared {
    /// Endpoints, `http://HOST:PORT`, separated by commas [default: http://127.0.0.1:7400]
    #[arg(long, short, global = true, env = "VATIC_ENDPOINTS", value_delimiter = ',')]
    pub(crate) endpoints: Vec<String>,
    /// How results are printed [default: table]
    #[arg(long, short, global = true, env = "VATIC_OUTPUT", value_enum)]
    pub(crate) output: Option<Output>,
    /// Longest a command may take, in milliseconds [default: 10000]
    #[arg(long, global = true, env = "VATIC_TIMEOUT_MS")]
    pub(crate) timeout_ms: Option<u64>,
    /// How logs are written, on stderr [default: text]
    #[arg(long, global = true, env = "VATIC_LOG_FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,
    /// A TOML file with what flags and environment leave open
    #[arg(long, global = true, env = "VATIC_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start three nodes, load them, kill one, bring it back, and check everything
    Demo(DemoArgs),
    /// Run a local cluster until Ctrl-C; prints its endpoints
    Dev(DevArgs),
    /// Run one node
    Start(StartArgs),
    /// Print one record
    Get(GetArgs),
    /// Replace a record
    Put(FieldsArgs),
    /// Set some fields of a record
    Merge(FieldsArgs),
    /// Add to an integer field
    Add(AddArgs),
    /// Remove a record, or one field of it
    Del(DelArgs),
    /// Print the records of a partition, in order
    Scan(ScanArgs),
    /// Run a script as one transaction, or ask how one ended
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Txn(TxnArgs),
    /// Have a script happen as one transaction, without waiting for it; prints its ticket
    Enqueue(EnqueueArgs),
    /// Look after what was enqueued
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Say what a script would meet if it were run now, without running it
    Explain(ExplainArgs),
    /// Print what conflicts the leaders saw of late
    #[command(subcommand)]
    Conflicts(ConflictsCommand),
    /// Print what the nodes learnt of conflicts
    #[command(subcommand)]
    Model(ModelCommand),
    /// Say what collections ask for
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the public keys of the cluster's nodes, to pin
    Keys,
    /// Verify a receipt, or that all replicas agree
    #[command(subcommand)]
    Verify(VerifyCommand),
    /// Print transactions that did not end as was forecast of them
    #[command(subcommand)]
    Anomalies(AnomaliesCommand),
    /// Print members, groups and leaders
    Status,
    /// Measure a running cluster
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Run a recorded history through the learning parts, and print how well they foresaw it
    Replay(ReplayArgs),
    /// The checks of `demo`, in a process of their own
    #[command(hide = true)]
    DemoCheck(DemoCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long to load the cluster
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub(crate) seconds: u64,
    /// Seed of the workload [default: random, printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Client tasks
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) clients: u32,
    /// Customers; fewer means more conflicts
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(crate) customers: u32,
    /// Data groups
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) groups: u32,
    /// Keep the nodes' directories and logs
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoCheckArgs {
    /// What the load kept: every acknowledged commit
    #[arg(long)]
    pub(crate) evidence: PathBuf,
    /// Customers of the bank
    #[arg(long)]
    pub(crate) customers: u32,
    /// Transactions whose outcome nobody could say
    #[arg(long, default_value_t = 0)]
    pub(crate) unknown: u64,
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Nodes
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(crate) nodes: u32,
    /// Data groups
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) groups: u32,
    /// Say where each node listens for peers and operators, too
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Keep data here [default: a throwaway directory]
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// One node. What no flag sets is read from `--config`, whose keys are the same words.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StartArgs {
    /// The cluster's name: nodes of different clusters refuse each other
    #[arg(long, env = "VATIC_CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// This node's number, from 1, never given to another [default: 1]
    #[arg(long, env = "VATIC_NODE")]
    pub(crate) node: Option<u32>,
    /// Where it keeps its log and state [default: vatic-data]
    #[arg(long, env = "VATIC_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address for clients, `HOST:PORT` [default: 127.0.0.1:7400]
    #[arg(long, env = "VATIC_CLIENT_LISTEN")]
    pub(crate) client_listen: Option<String>,
    /// Address for the other nodes, `HOST:PORT` [default: 127.0.0.1:7500]
    #[arg(long, env = "VATIC_PEER_LISTEN")]
    pub(crate) peer_listen: Option<String>,
    /// Address for `/metrics`, `/healthz` and `/readyz`, `HOST:PORT` [default: none]
    #[arg(long, env = "VATIC_ADMIN_LISTEN")]
    pub(crate) admin_listen: Option<String>,
    /// What clients are told to connect to, `http://HOST:PORT` [default: where it listens]
    #[arg(long, env = "VATIC_CLIENT_ENDPOINT")]
    pub(crate) client_endpoint: Option<String>,
    /// Where to write down all that is applied, for the verifier to play it again [default: none]
    #[arg(long, env = "VATIC_RECORD_EVENTS", value_name = "DIR")]
    pub(crate) record_events: Option<PathBuf>,
    /// Mechanisms of the queue to do without, to measure what they are good for: `threshold`,
    /// `collaborative-filter`, `priority`, `simulate`, `lanes`, `order`, `shadow`
    #[arg(long, env = "VATIC_WITHOUT", value_delimiter = ',', value_name = "MECHANISM")]
    pub(crate) without: Vec<String>,
    /// Every node, this one too, as `NODE=PEER_HOST:PORT`; repeated, or separated by commas
    /// [default: this node alone]
    #[arg(long = "member", env = "VATIC_MEMBERS", value_delimiter = ',', value_parser = member)]
    pub(crate) members: Vec<Member>,
    /// Data groups, the same on all nodes and at every start [default: 4]
    #[arg(long, env = "VATIC_GROUPS")]
    pub(crate) groups: Option<u32>,
    /// Replicas of each group, when the cluster is first started [default: 3]
    #[arg(long, env = "VATIC_REPLICAS")]
    pub(crate) replicas: Option<u32>,
    /// Stop when stdin ends: for a parent that must not leave nodes behind
    #[arg(long, hide = true)]
    pub(crate) stop_with_stdin: bool,
}

/// One node of a cluster, as flags name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node: u32,
    pub(crate) peer: String,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// COLLECTION/PARTITION[/SORT]
    pub(crate) key: Key,
    /// As of this version, instead of now
    #[arg(long)]
    pub(crate) at: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct FieldsArgs {
    /// COLLECTION/PARTITION[/SORT]
    pub(crate) key: Key,
    /// FIELD=JSON, such as `balance=100` or `name="alice"`; none: a record without fields
    #[arg(value_parser = json::assignment)]
    pub(crate) fields: Vec<(String, Value)>,
    /// Only if the record has this version; 0: only if it is absent
    #[arg(long)]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// COLLECTION/PARTITION[/SORT]
    pub(crate) key: Key,
    /// FIELD=AMOUNT, such as `balance=-5`
    #[arg(required = true, value_parser = addition)]
    pub(crate) additions: Vec<(String, i64)>,
}

#[derive(Debug, Args)]
pub(crate) struct DelArgs {
    /// COLLECTION/PARTITION[/SORT]
    pub(crate) key: Key,
    /// Remove this field only
    #[arg(long)]
    pub(crate) field: Option<String>,
    /// Only if the record has this version
    #[arg(long)]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// COLLECTION/PARTITION
    pub(crate) partition: Key,
    /// First sort value
    #[arg(long, default_value = "")]
    pub(crate) from: String,
    /// First sort value beyond
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Most records; 0: all
    #[arg(long, default_value_t = 0)]
    pub(crate) limit: u32,
    /// As of this version, instead of now
    #[arg(long)]
    pub(crate) at: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct TxnArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TxnCommand>,
    /// The script; `-`: stdin
    ///
    /// One step a line: `get KEY`, `scan COLLECTION/PARTITION`, `put|merge KEY FIELD=JSON...`,
    /// `add KEY FIELD=AMOUNT...`, `append|union KEY FIELD=[...]`, `remove KEY FIELD...`, `del KEY`,
    /// `expect KEY absent|present|version N|FIELD=JSON...|FIELD=absent`; `#` begins a comment.
    #[arg(short, long, required = true)]
    pub(crate) file: Option<PathBuf>,
    /// Keep the receipt, with what was sent, here
    #[arg(long)]
    pub(crate) receipt_out: Option<PathBuf>,
    /// Print forecasts and warnings as they come, and at the end the verdict
    #[arg(long)]
    pub(crate) forecast: bool,
    /// Begin anew as soon as a version that was read is overwritten
    #[arg(long)]
    pub(crate) abort_early: bool,
    /// Give up as soon as it strays from its forecast, where its collections mind that
    #[arg(long)]
    pub(crate) abort_strayed: bool,
    /// What to do about conflicts [default: what the collection of the first record says]
    #[arg(long, value_parser = policy::strategies())]
    pub(crate) strategy: Option<Strategy>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TxnCommand {
    /// Ask how a transaction ended
    Outcome {
        /// The transaction's id, or the request's as an unknown outcome names it
        id: Asked,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VerifyCommand {
    /// Verify a receipt offline, against what was sent
    Receipt {
        /// What `txn --receipt-out` wrote
        file: PathBuf,
        /// Pinned public keys, as `vatic keys` printed them: then the signatures of a majority of
        /// each participant's replicas must hold too
        #[arg(long)]
        keys: Option<PathBuf>,
    },
    /// Check that all replicas of all groups agree: by their chains, while they work
    Cluster {
        /// Demand that their states are equal as well, for which each group must come to rest
        #[arg(long)]
        states: bool,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("history").required(true)))]
pub(crate) struct ReplayArgs {
    /// Concurrent transactions, one JSON object a line, gzip where it ends in .gz: `begin`,
    /// `write`, `commit` (seconds), `user`, `writes` (keys), `conflict`
    #[arg(long, value_name = "FILE", group = "history")]
    pub(crate) trace: Option<PathBuf>,
    /// Streams of steps, one JSON object a line, gzip where it ends in .gz: `case`, `events` (each
    /// `at`, `step`, `user`)
    #[arg(long, value_name = "FILE", group = "history")]
    pub(crate) events: Option<PathBuf>,
    /// When transactions of a trace are scored
    #[arg(long, value_enum, default_value_t = ScoreAt::Begin, conflicts_with = "events")]
    pub(crate) score_at: ScoreAt,
}

/// When a transaction of a trace is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScoreAt {
    /// As its snapshot is taken.
    Begin,
    /// As its last write is made.
    Write,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Load a cluster with clients, one operation at a time each, and print what it did and cost
    Run(BenchRunArgs),
    /// Ask a cluster for half of what it can do, for all and for twice that, and print what it did
    Overload(BenchOverloadArgs),
    /// Load a cluster in turns, each turn under another policy, and print how they compare
    Compare(BenchCompareArgs),
    /// Run contended streams in turns, foreseen and not, and print what that is worth
    Streams(BenchStreamsArgs),
    /// Load a cluster in turns, with tickets beside that are urgent or not, and print how they
    /// compare with none
    Tickets(BenchTicketsArgs),
    /// Start local clusters that do without one mechanism of the queue each, and print how they
    /// compare with one that has all
    Ablation(BenchAblationArgs),
    /// Start local clusters that foresee streams or not, in turns, and print what that costs
    Foresight(BenchForesightArgs),
    /// Start local clusters that spare streams turns with what they will not write or do not, in
    /// turns, and print what that is worth
    Spared(BenchSparedArgs),
}

/// What load there is.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// What the clients do
    #[arg(long, value_enum)]
    pub(crate) workload: Workload,
    /// Clients
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// Connections to each node, which the clients share
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,
    /// Records; of `tpcc` the items, at least 100; the standard has 100000
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) keys: u32,
    /// Warehouses of `tpcc`
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) warehouses: u32,
    /// Skew of the YCSB workloads: 0 is uniform, below 1
    #[arg(long, default_value_t = 0.99, value_parser = theta)]
    pub(crate) theta: f64,
    /// Pause of each client after each operation
    #[arg(long, default_value_t = 0)]
    pub(crate) think_ms: u64,
    /// Seed of the workload [default: random, printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Do not verify receipts as they come
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// The records are there already, from an earlier run
    #[arg(long)]
    pub(crate) loaded: bool,
}

impl LoadArgs {
    /// What is measured where nothing else is asked for.
    pub(crate) fn of(workload: Workload) -> LoadArgs {
        LoadArgs {
            workload,
            clients: 64,
            connections: 1,
            keys: 10_000,
            warehouses: 1,
            theta: 0.99,
            think_ms: 0,
            seed: None,
            no_verify: false,
            loaded: false,
        }
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent { records: self.keys, theta: self.theta, warehouses: self.warehouses }
    }
}

fn theta(text: &str) -> Result<f64, String> {
    let theta: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..1.0).contains(&theta) { Ok(theta) } else { Err("it must be in [0, 1)".to_owned()) }
}

fn addition(text: &str) -> Result<(String, i64), String> {
    let (field, value) = json::assignment(text)?;
    match value {
        Value::One(Scalar::I64(amount)) => Ok((field, amount)),
        _ => Err(format!("field {field:?}: the amount must be a whole number")),
    }
}

fn member(text: &str) -> Result<Member, String> {
    let parse = || {
        let (node, peer) = text.split_once('=')?;
        let node = node.trim().parse().ok().filter(|node| *node > 0)?;
        let peer = peer.trim();
        (!peer.is_empty()).then(|| Member { node, peer: peer.to_owned() })
    };
    parse().ok_or_else(|| format!("{text:?} is not NODE=PEER_HOST:PORT"))
}

#[cfg(test)]
#[path = "args_test.rs"]
mod args_test;
