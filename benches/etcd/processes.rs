//! The three nodes, on free ports of the loopback and in a throwaway directory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::load::{self, Figures, Load};
use vatic_tests::cluster::free_addresses;
use vatic_tests::http;
use vatic_tests::wait::{SOON, within};

use crate::cpu::Processes;

const NODES: usize = 3;

/// A cluster of etcd; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Etcd {
    processes: Vec<Child>,
    nodes: Vec<Channel>,
    // Last: the processes go before their files.
    _dir: TempDir,
}

impl Etcd {
    /// Starts `program` three times, waits until each is healthy, and writes every record once.
    pub(crate) async fn start(program: &Path) -> anyhow::Result<Etcd> {
        let dir = tempfile::Builder::new().prefix("vatic-bench-").tempdir()?;
        let addresses = free_addresses(2 * NODES);
        let (clients, peers) = addresses.split_at(NODES);
        let url = |address: &String| format!("http://{address}");
        let members = peers.iter().enumerate().map(|(at, peer)| format!("n{at}={}", url(peer)));
        let members = members.collect::<Vec<_>>().join(",");
        let mut processes = Vec::new();
        for (at, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let started = Command::new(program)
                .args(["--name", &format!("n{at}"), "--logger", "zap", "--log-level", "error"])
                .arg("--data-dir")
                .arg(dir.path().join(format!("n{at}")))
                .args(["--listen-client-urls", &url(client)])
                .args(["--advertise-client-urls", &url(client)])
                .args(["--listen-peer-urls", &url(peer)])
                .args(["--initial-advertise-peer-urls", &url(peer)])
                .args(["--initial-cluster", &members, "--initial-cluster-state", "new"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let name = program.display();
            processes
                .push(started.unwrap_or_else(|error| panic!("{name} does not start: {error}")));
        }
        let mut etcd = Etcd { processes, nodes: Vec::new(), _dir: dir };
        for client in clients {
            etcd.nodes.push(Endpoint::from_shared(url(client))?.connect_lazy());
            let healthy = within(SOON, || async {
                let answer = http::ask(client, "/health").await.ok()?;
                (answer.0 == 200).then_some(())
            });
            healthy.await.with_context(|| format!("etcd is not healthy within {SOON:?}"))?;
        }
        load::fill(&etcd).await?;
        Ok(etcd)
    }

    /// Runs a load for a while.
    pub(crate) async fn measure(
        &self,
        load: Load,
        clients: u32,
        span: Duration,
    ) -> anyhow::Result<Figures> {
        load::measure(self, load, clients, span).await
    }

    /// The node of a client.
    pub(super) fn node(&self, client: u32) -> Channel {
        self.nodes[client as usize % NODES].clone()
    }

    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        let processes: Processes = self.processes.iter().map(Child::id).collect();
        processes.time().context("a node of etcd has ended")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
