//! What a commit takes where nodes are far apart: of one group, of two with one leader, and of two
//! whose leaders are apart.
//!
//! `cargo run --release -p vatic-tests --bin round-trip -- --rtt-ms 10`. All bytes between nodes
//! pass relays that hold them for half of the round trip; clients are beside their gateway. One
//! transaction at a time, the kinds in turns, from a gateway that leads the first group and from
//! one that leads none of both. Medians, from the seal to its outcome.
//!
//! Then over all gateways alike, as clients meet them that do not choose theirs: each node is the
//! gateway equally often, transactions of one group are of each group equally often, those of two
//! of each pair, and either of both is home equally often.

use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value as Json, json};
use vatic_tests::cluster::{Cluster, GROUPS, NODES};
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
    /// Transactions of each kind from each gateway; and of one and of two groups over all gateways
    /// (or so many more that each has as many)
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
    told["all_gateways"] = over_all(&cluster, &arguments).await;
    print_table(&told);
    println!("{told}");
}

/// A gateway and the groups of a transaction that comes through it, the home group first.
type Way = (usize, Vec<u32>);

/// One group beside two, over all gateways and groups.
async fn over_all(cluster: &Cluster, arguments: &Arguments) -> Json {
    let gateways = || 0..NODES;
    let one = |gateway| (1..=GROUPS).map(move |group| (gateway, vec![group]));
    let single: Vec<Way> = gateways().flat_map(one).collect();
    let others = |home| (1..=GROUPS).filter(move |other| *other != home);
    let pairs = || (1..=GROUPS).flat_map(|home| others(home).map(move |other| vec![home, other]));
    let two = |gateway| pairs().map(move |groups| (gateway, groups));
    let multi: Vec<Way> = gateways().flat_map(two).collect();
    // Each way of one group as often as any other, and each of two: whole rounds of these.
    assert!(multi.len().is_multiple_of(single.len()), "rounds of both end together");
    let counted = arguments.transactions.next_multiple_of(multi.len());
    let mut took = [Vec::new(), Vec::new()];
    for nth in 0..multi.len() + counted {
        for ((name, ways), took) in [("one", &single), ("two", &multi)].iter().zip(&mut took) {
            tokio::time::sleep(Duration::from_millis(arguments.pause_ms)).await;
            let (gateway, groups) = &ways[nth % ways.len()];
            let one = commit(cluster, *gateway, groups, &format!("{name}-{nth}")).await;
            if nth >= multi.len() {
                took.push(one);
            }
        }
    }
    let [single, multi] = took.map(median_ms);
    json!({
        "transactions": counted,
        "single_p50": single,
        "multi_p50": multi,
        "ratio": hundredths(multi / single),
    })
}

/// For people, above the line for programs.
fn print_table(told: &Json) {
    println!("{:<20} {:<24} {:>8} {:>6}", "gateway", "kind", "p50 ms", "ratio");
    let row = |gateway: &str, kind: &str, p50_ms: &Json, ratio: &Json| {
        println!("{gateway:<20} {kind:<24} {p50_ms:>8} {ratio:>6}");
    };
    let fixed = told.as_object().into_iter().flatten();
    for (gateway, kinds) in fixed.filter(|(name, _)| name.starts_with("gateway_")) {
        for (kind, found) in kinds.as_object().into_iter().flatten() {
            row(gateway, kind, &found["p50_ms"], &found["ratio"]);
        }
    }
    let all = &told["all_gateways"];
    row("all alike", "one group", &all["single_p50"], &json!(1.0));
    row("all alike", "two groups", &all["multi_p50"], &all["ratio"]);
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
            let one = commit(cluster, gateway, &kind.groups, &nth.to_string()).await;
            if nth >= WARM_UP {
                took.push(one);
            }
        }
    }
    let medians: Vec<f64> = took.into_iter().map(median_ms).collect();
    let mut told = json!({});
    for (kind, median) in kinds.iter().zip(&medians) {
        let ratio = hundredths(median / medians[0]);
        told[kind.name] = json!({ "p50_ms": median, "ratio": ratio });
    }
    told
}

/// From the seal of one transaction to its outcome.
async fn commit(cluster: &Cluster, gateway: usize, groups: &[u32], name: &str) -> Duration {
    let mut stream = Stream::begin(cluster.channel(gateway)).await;
    for group in groups {
        let partition = cluster.partition(*group, 0).await;
        let name = key("far", &partition, &format!("{gateway}-{name}"));
        stream.write(put(&name, int(1))).await;
    }
    stream.acknowledged().await;
    let sealed = Instant::now();
    committed(&stream.commit().await);
    sealed.elapsed()
}

fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    hundredths(took[took.len() / 2].as_secs_f64() * 1_000.0)
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
