//! Faults by the dozen: nodes killed, stopped in their tracks, asked to leave. One seed decides it.
//!
//! Only what a strike does and to whom is decided by the seed; the processes' own timing is not, so
//! a run repeats in kind, not step by step.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::{Cluster, NODES};
use crate::seeded::Seeded;
use crate::wait::{SOON, until};

/// How long a node is left dead or stopped at most: below and above an election.
const DOWN_MAX_MS: u64 = 3_000;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// SIGKILL, then a start on what is on the disk.
    Kill,
    /// Two nodes at once: no group has a majority meanwhile.
    KillTwo,
    /// All nodes at once.
    KillAll,
    /// SIGSTOP, then SIGCONT: the node comes back with old beliefs.
    Pause,
    /// SIGSTOP, and killed while stopped.
    PauseThenKill,
    /// Asked to stop in order, then started.
    Leave,
}

impl Strike {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Strike::Kill => "kill",
            Strike::KillTwo => "kill_two",
            Strike::KillAll => "kill_all",
            Strike::Pause => "pause",
            Strike::PauseThenKill => "pause_then_kill",
            Strike::Leave => "leave",
        }
    }
}

/// Strikes drawn from a seed.
#[derive(Debug, Clone)]
pub struct Strikes {
    seeded: Seeded,
    /// How often each was carried out.
    pub counts: BTreeMap<Strike, u64>,
    /// Processes killed by SIGKILL.
    pub kills: u64,
}

impl Strikes {
    /// The seed decides what happens to whom.
    pub fn new(seed: u64) -> Strikes {
        Strikes { seeded: Seeded::new(seed), counts: BTreeMap::new(), kills: 0 }
    }

    /// Strikes once and leaves all nodes running; they need not be ready yet.
    pub async fn strike(&mut self, cluster: &Cluster) -> Strike {
        let strike = match self.seeded.below(20) {
            0..=9 => Strike::Kill,
            10..=11 => Strike::KillTwo,
            12 => Strike::KillAll,
            13..=16 => Strike::Pause,
            17..=18 => Strike::PauseThenKill,
            _ => Strike::Leave,
        };
        let first = self.seeded.below(NODES as u64) as usize;
        let nodes: Vec<usize> = (0..NODES).map(|next| (first + next) % NODES).collect();
        let down = Duration::from_millis(self.seeded.below(DOWN_MAX_MS));
        match strike {
            Strike::Kill => self.kill(cluster, &nodes[..1], down).await,
            Strike::KillTwo => self.kill(cluster, &nodes[..2], down).await,
            Strike::KillAll => self.kill(cluster, &nodes, down).await,
            Strike::Pause => {
                cluster.pause(first);
                sleep(down).await;
                cluster.resume(first);
            }
            Strike::PauseThenKill => {
                cluster.pause(first);
                sleep(down).await;
                self.kill(cluster, &nodes[..1], down / 2).await;
            }
            Strike::Leave => {
                cluster.ask_to_stop(first);
                let gone = || async { cluster.stopped(first).then_some(()) };
                until("a node that was asked to stop is gone", SOON, gone).await;
                cluster.restart(first);
            }
        }
        *self.counts.entry(strike).or_default() += 1;
        strike
    }

    async fn kill(&mut self, cluster: &Cluster, nodes: &[usize], down: Duration) {
        for &node in nodes {
            cluster.kill(node);
            self.kills += 1;
        }
        sleep(down).await;
        for &node in nodes {
            cluster.restart(node);
        }
    }
}
