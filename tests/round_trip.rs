//! What a commit takes where nodes are far apart: of one group, of two with one leader, and of two
//! whose leaders are apart.
//!
//! `cargo run --release -p vatic-tests --bin round-trip -- --rtt-ms 10`. All bytes between nodes
//! pass relays that hold them for half of the round trip; clients are beside their gateway. One
//! transaction at a time, the kinds in turns, from a gateway that leads the first group and from
//! one that leads none of both. Medians, from the seal to its outcome.

use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value as Json, json};
use vatic_tests::cluster::{Cluster, GROUPS};
use vatic_tests::values::{int, key, put};
use vatic_tests::wire::{Stream, committed};

/// Before anything counts.
const WARM_UP: usize = 20;

/// Time commits of one and of several groups between nodes that are far apart.
#[derive(Debug, Parser)]
#[command(name = "round-trip")]
struct Arguments {
    /// Between two nodes, there and back
    #[arg(long, default_value_t = 10)]
    rtt_ms: u64,
    /// Between two transactions
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Transactions of each kind from each gateway
    #[arg(long, default_value_t = 200)]
    transactions: usize,
}

/// Which groups a transaction writes to.
#[derive(Debug, Clone)]
struct Kind {
    name: &'static str,
    groups: Vec<u32>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let rtt = Duration::from_millis(arguments.rtt_ms);
    let cluster = Cluster::start_apart(rtt / 2).await;
    let mut leaders = Vec::new();
    for group in 1..=GROUPS {
        leaders.push(cluster.leader_by_rights(group).await);
    }
    let (home, home_leader) = (1, leaders[0]);
    let beside = (2..=GROUPS).find(|group| leaders[*group as usize - 1] == home_leader);
    let apart = (2..=GROUPS).find(|group| leaders[*group as usize - 1] != home_leader);
    let apart = apart.expect("groups go round the nodes");
    let mut kinds = vec![
        Kind { name: "one_group", groups: vec![home] },
        Kind { name: "two_with_leaders_apart", groups: vec![home, apart] },
    ];
    let one_leader = beside.map(|group| vec![home, group]);
    kinds.extend(one_leader.map(|groups| Kind { name: "two_with_one_leader", groups }));
    let third = (0..leaders.len())
        .find(|at| *at != home_leader && *at != leaders[apart as usize - 1])
        .expect("there are three nodes");
    let gateways = [("gateway_leads_home", home_leader), ("gateway_leads_neither", third)];
    let mut told = json!({ "rtt_ms": arguments.rtt_ms, "transactions": arguments.transactions });
    for (name, gateway) in gateways {
        told[name] = measured(&cluster, gateway, &kinds, &arguments).await;
    }
    println!("{told}");
}

async fn measured(
    cluster: &Cluster,
    gateway: usize,
    kinds: &[Kind],
    arguments: &Arguments,
) -> Json {
    let mut took: Vec<Vec<Duration>> = kinds.iter().map(|_| Vec::new()).collect();
    for nth in 0..WARM_UP + arguments.transactions {
        for (kind, took) in kinds.iter().zip(&mut took) {
            tokio::time::sleep(Duration::from_millis(arguments.pause_ms)).await;
            let one = commit(cluster, gateway, &kind.groups, nth).await;
            if nth >= WARM_UP {
                took.push(one);
            }
        }
    }
    let medians: Vec<f64> = took.into_iter().map(median_ms).collect();
    let mut told = json!({});
    for (kind, median) in kinds.iter().zip(&medians) {
        let ratio = (median / medians[0] * 100.0).round() / 100.0;
        told[kind.name] = json!({ "p50_ms": median, "ratio": ratio });
    }
    told
}

/// From the seal of one transaction to its outcome.
async fn commit(cluster: &Cluster, gateway: usize, groups: &[u32], nth: usize) -> Duration {
    let mut stream = Stream::begin(cluster.channel(gateway)).await;
    for group in groups {
        let partition = cluster.partition(*group, 0).await;
        let name = key("far", &partition, &format!("{gateway}-{nth}"));
        stream.write(put(&name, int(1))).await;
    }
    stream.acknowledged().await;
    let sealed = Instant::now();
    committed(&stream.commit().await);
    sealed.elapsed()
}

fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    (took[took.len() / 2].as_secs_f64() * 100_000.0).round() / 100.0
}
