//! A load whose every effect can be accounted for afterwards.
//!
//! Each transaction raises two counters, one by reading it and one by a delta that commutes, and
//! enters its own name into the ledgers of both partitions, once for each. So the counters of a
//! partition must equal the entries of its ledger, an acknowledged name must have its entries and
//! not one more, and no other name may be in any ledger unless its outcome was never learnt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use vatic_client::{Client, ClientError, ScanOptions};
use vatic_core::id::Timestamp;
use vatic_core::key::{Key, KeyRange};

use crate::cluster::{Cluster, GROUPS};
use crate::values::{fields, number};
use crate::wait::until;

/// How long a load may need for the commits that a test waits for, elections included.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// By partition: how often each name was entered.
type Ledgers = BTreeMap<String, BTreeMap<String, i64>>;

/// A running load.
#[derive(Debug)]
pub struct Load {
    counters: &'static str,
    ledger: &'static str,
    partitions: Vec<String>,
    acknowledged: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    tasks: JoinSet<Account>,
}

/// A load that has ended.
#[derive(Debug)]
pub struct Stopped {
    counters: &'static str,
    ledger: &'static str,
    partitions: Vec<String>,
    account: Account,
}

/// How many transactions ended how; the books agree with it.
#[derive(Debug, Clone, Copy)]
pub struct Balance {
    /// Committed, and known to be.
    pub acknowledged: usize,
    /// Committed or not.
    pub unknown: usize,
    /// Not committed.
    pub failed: usize,
}

/// What the clients know of their transactions: name, and the partitions of its two counters.
#[derive(Debug, Default)]
pub struct Account {
    acknowledged: BTreeMap<String, [String; 2]>,
    unknown: BTreeMap<String, [String; 2]>,
    failed: Vec<String>,
}

impl Load {
    /// Starts clients that go on until they are stopped. Loads of other names do not meet.
    pub async fn start(
        cluster: &Cluster,
        counters: &'static str,
        ledger: &'static str,
        clients: usize,
    ) -> Load {
        let mut partitions = Vec::new();
        for group in 1..=GROUPS {
            partitions.push(cluster.partition(group, 0).await);
        }
        let mut load = Load {
            counters,
            ledger,
            partitions,
            acknowledged: Arc::default(),
            stopping: Arc::default(),
            tasks: JoinSet::new(),
        };
        for task in 0..clients {
            let client = cluster.client();
            let (acknowledged, stopping) = (load.acknowledged.clone(), load.stopping.clone());
            let partitions = load.partitions.clone();
            load.tasks.spawn(async move {
                let mut account = Account::default();
                let mut turn = task;
                while !stopping.load(Ordering::Acquire) {
                    turn += 1;
                    let pair = pair(&partitions, task, turn);
                    let name = format!("{task}-{turn:06}");
                    let ended = raise(&client, counters, ledger, &name, &pair).await;
                    if account.enter(name, pair, ended) {
                        acknowledged.fetch_add(1, Ordering::AcqRel);
                    }
                }
                account
            });
        }
        load
    }

    /// How many were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Waits until so many more were acknowledged.
    pub async fn progress(&self, cluster: &Cluster, more: u64) {
        let wanted = self.acknowledged() + more;
        until("the load commits", PROGRESS_MAX, || async {
            cluster.assert_alive();
            (self.acknowledged() >= wanted).then_some(())
        })
        .await;
    }

    /// Ends the load and holds what the clients know against what the cluster has.
    pub async fn check(self, cluster: &Cluster) -> Balance {
        self.stop().await.check(cluster).await
    }

    /// Ends the load; what the clients know is checked later.
    pub async fn stop(self) -> Stopped {
        self.stopping.store(true, Ordering::Release);
        let Load { counters, ledger, partitions, tasks, .. } = self;
        let account = tasks.join_all().await.into_iter().fold(Account::default(), Account::plus);
        Stopped { counters, ledger, partitions, account }
    }
}

impl Stopped {
    /// Holds what the clients know against what the cluster has.
    pub async fn check(self, cluster: &Cluster) -> Balance {
        let Stopped { counters, ledger, partitions, account } = self;
        let client = cluster.client();
        let at = barrier(&client, &partitions).await;
        let mut ledgers = Ledgers::new();
        for partition in &partitions {
            let entries = entries(&client, ledger, partition, at).await;
            let counter = counter(&client, counters, partition).await;
            assert_eq!(counter, entries.values().sum::<i64>(), "counter and ledger of {partition}");
            ledgers.insert(partition.clone(), entries);
        }
        account.check(&ledgers)
    }
}

impl Account {
    /// Whether it was acknowledged.
    fn enter(&mut self, name: String, pair: [String; 2], ended: Result<(), ClientError>) -> bool {
        match ended {
            Ok(()) => {
                self.acknowledged.insert(name, pair);
                return true;
            }
            Err(ClientError::OutcomeUnknown { .. }) => {
                self.unknown.insert(name, pair);
            }
            Err(error) => self.failed.push(format!("{name}: {error}")),
        }
        false
    }

    fn plus(mut self, other: Account) -> Account {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
        self.failed.extend(other.failed);
        self
    }

    fn check(&self, ledgers: &Ledgers) -> Balance {
        for (name, pair) in &self.acknowledged {
            assert_eq!(missing(ledgers, name, pair), 0, "{name} was acknowledged");
        }
        for (name, pair) in &self.unknown {
            let missing = missing(ledgers, name, pair);
            assert!([0, 2].contains(&missing), "{name} is there by half");
        }
        for name in ledgers.values().flat_map(BTreeMap::keys) {
            let known = self.acknowledged.contains_key(name) || self.unknown.contains_key(name);
            assert!(known, "{name} was said not to have committed");
        }
        let Account { acknowledged, unknown, failed } = self;
        let [acknowledged, unknown] = [acknowledged.len(), unknown.len()];
        eprintln!("  {acknowledged} acknowledged, {unknown} unknown, {} failed", failed.len());
        for failure in failed.iter().take(5) {
            eprintln!("  failed {failure}");
        }
        Balance { acknowledged, unknown, failed: failed.len() }
    }
}

/// Neighbours one time, the same group twice another.
fn pair(partitions: &[String], task: usize, turn: usize) -> [String; 2] {
    let first = (task + turn) % partitions.len();
    let second = (first + turn % 3) % partitions.len();
    [partitions[first].clone(), partitions[second].clone()]
}

async fn raise(
    client: &Client,
    counters: &str,
    ledger: &str,
    name: &str,
    pair: &[String; 2],
) -> Result<(), ClientError> {
    let [first, second] = pair;
    let read = Key::new(counters, first, "read")?;
    let added = Key::new(counters, second, "added")?;
    let names = [Key::new(ledger, first, name)?, Key::new(ledger, second, name)?];
    let done = client.run(|txn| {
        let (read, added, names) = (read.clone(), added.clone(), names.clone());
        async move {
            let found = txn.read(&read).await?;
            txn.put(&read, fields(number(found.as_ref()) + 1)).await?;
            txn.add(&added, "value", 1).await?;
            for name in &names {
                txn.add(name, "value", 1).await?;
            }
            Ok(())
        }
    });
    done.await.map(drop)
}

/// A commit in all partitions: its version is above all that committed before.
async fn barrier(client: &Client, partitions: &[String]) -> Timestamp {
    let done = client.run(|txn| async move {
        for partition in partitions {
            txn.add(&Key::new("barrier", partition, "")?, "value", 1).await?;
        }
        Ok(())
    });
    done.await.expect("a commit in all groups").committed.version
}

/// How many of the two entries of a name are missing; below 0: there are too many.
fn missing(ledgers: &Ledgers, name: &str, pair: &[String; 2]) -> i64 {
    let [first, second] = pair;
    let entries = |at: &String| ledgers[at].get(name).copied().unwrap_or_default();
    let found = if first == second { entries(first) } else { entries(first) + entries(second) };
    2 - found
}

/// A ledger as of a snapshot.
async fn entries(
    client: &Client,
    ledger: &str,
    partition: &str,
    at: Timestamp,
) -> BTreeMap<String, i64> {
    let range = KeyRange::partition(ledger, partition);
    let options = ScanOptions { at: Some(at), ..ScanOptions::default() };
    let records = client.scan_all(&range, options).await.expect("a ledger can be read");
    records.iter().map(|record| (record.key.sort.clone(), number(Some(record)))).collect()
}

/// Both counters of a partition together.
async fn counter(client: &Client, counters: &str, partition: &str) -> i64 {
    let mut sum = 0;
    for sort in ["read", "added"] {
        let key = Key::new(counters, partition, sort).expect("a sound key");
        sum += number(client.get(&key).await.expect("a counter can be read").as_ref());
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(first: &str, second: &str) -> [String; 2] {
        [first.to_owned(), second.to_owned()]
    }

    fn account() -> Account {
        let acknowledged = [("a", pair("p", "q")), ("b", pair("p", "p"))];
        let unknown = [("u", pair("p", "q"))];
        let named = |(name, pair): (&str, _)| (name.to_owned(), pair);
        Account {
            acknowledged: acknowledged.map(named).into(),
            unknown: unknown.map(named).into(),
            failed: Vec::new(),
        }
    }

    fn ledgers(p: &[(&str, i64)], q: &[(&str, i64)]) -> Ledgers {
        let ledger = |entries: &[(&str, i64)]| {
            entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        Ledgers::from([("p".to_owned(), ledger(p)), ("q".to_owned(), ledger(q))])
    }

    #[test]
    fn account_that_matches_its_ledgers_holds_whether_the_unknown_is_there_or_not() {
        let balance = account().check(&ledgers(&[("a", 1), ("b", 2)], &[("a", 1)]));
        assert_eq!((balance.acknowledged, balance.unknown, balance.failed), (2, 1, 0));
        account().check(&ledgers(&[("a", 1), ("b", 2), ("u", 1)], &[("a", 1), ("u", 1)]));
    }

    #[test]
    #[should_panic(expected = "a was acknowledged")]
    fn acknowledged_commit_that_is_lost_in_one_group_is_caught() {
        account().check(&ledgers(&[("a", 1), ("b", 2)], &[]));
    }

    #[test]
    #[should_panic(expected = "b was acknowledged")]
    fn acknowledged_commit_that_is_there_twice_is_caught() {
        account().check(&ledgers(&[("a", 1), ("b", 4)], &[("a", 1)]));
    }

    #[test]
    #[should_panic(expected = "u is there by half")]
    fn unknown_commit_that_is_there_by_half_is_caught() {
        account().check(&ledgers(&[("a", 1), ("b", 2), ("u", 1)], &[("a", 1)]));
    }

    #[test]
    #[should_panic(expected = "x was said not to have committed")]
    fn commit_of_a_transaction_that_failed_is_caught() {
        account().check(&ledgers(&[("a", 1), ("b", 2), ("x", 1)], &[("a", 1), ("x", 1)]));
    }
}
