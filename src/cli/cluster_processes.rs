//! A local cluster of real processes: this very program, started once a node.
//!
//! Every node holds the reading end of a pipe from us as its stdin and stops when it closes, so
//! that no node outlives its parent, however the parent ends. Ports are free ones of the loopback;
//! between finding and using them another process could take one, which shows as a node that ends
//! before it is ready.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use vatic_client::{Client, Limits, Options};

use crate::exit::Failed;

/// Between two looks at a node that is not ready.
const LOOK_AGAIN_MS: u64 = 50;
/// What a cluster is given to be ready for the first time.
pub(crate) const READY_MS: u64 = 60_000;
/// What a node is given to end by itself.
const STOP_MS: u64 = 5_000;
/// How many threads tokio gives a node; otherwise as many as the machine has cores.
const WORKER_THREADS: &str = "TOKIO_WORKER_THREADS";
/// Lines of a node's log that an error shows.
const LOG_LINES: usize = 20;

/// The processes of one cluster.
#[derive(Debug)]
pub(crate) struct ClusterProcesses {
    nodes: Vec<NodeProcess>,
}

#[derive(Debug)]
struct NodeProcess {
    node: u32,
    client_addr: String,
    peer_addr: String,
    admin_addr: String,
    arguments: Vec<String>,
    worker_threads: usize,
    log: PathBuf,
    child: Option<Child>,
    started: Instant,
}

const SIGKILL: i32 = 9;

/// A node that has ended though nobody here killed it.
#[derive(Debug)]
pub(crate) struct Casualty {
    /// Its place from 0.
    pub(crate) at: usize,
    /// How it ended, with the end of its log.
    pub(crate) complaint: String,
    /// Its exit code or the signal.
    pub(crate) how: ExitStatus,
    /// How long it ran.
    pub(crate) lived: Duration,
    /// By SIGKILL: somebody wanted it.
    pub(crate) killed: bool,
}

impl ClusterProcesses {
    /// Starts all nodes below `dir`, which holds a directory and a log file for each. A directory
    /// that was used before gives them their data and their addresses of then.
    pub(crate) fn start(nodes: u32, groups: u32, dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(nodes, groups, dir, &[])
    }

    /// The same, each node with these arguments as well.
    pub(crate) fn start_with(
        nodes: u32,
        groups: u32,
        dir: &Path,
        more: &[String],
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let addresses = addresses(&dir.join("addresses"), 2 * nodes as usize)?;
        // Nobody remembers these: they need not be those of then.
        let admins = free_addresses_beside(&addresses, nodes as usize)?;
        let (clients, peers) = addresses.split_at(nodes as usize);
        let members: Vec<String> =
            (1..).zip(peers).map(|(node, peer)| format!("{node}={peer}")).collect();
        let mut cluster = ClusterProcesses { nodes: Vec::new() };
        // The nodes share the machine: more threads than cores only wake each other up.
        let cores = std::thread::available_parallelism()?.get();
        let worker_threads = (cores / nodes.max(1) as usize).max(1);
        for (node, ((client, peer), admin)) in (1..).zip(clients.iter().zip(peers).zip(admins)) {
            let home = dir.join(format!("node-{node}"));
            fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
            let arguments = [
                ("--node", node.to_string()),
                ("--data-dir", home.display().to_string()),
                ("--client-listen", client.clone()),
                ("--peer-listen", peer.clone()),
                ("--admin-listen", admin.clone()),
                ("--member", members.join(",")),
                ("--groups", groups.to_string()),
                ("--replicas", nodes.min(3).to_string()),
            ];
            let mut process = NodeProcess {
                node,
                client_addr: client.clone(),
                peer_addr: peer.clone(),
                admin_addr: admin,
                arguments: arguments
                    .into_iter()
                    .flat_map(|(name, value)| [name.to_owned(), value])
                    .chain(more.iter().cloned())
                    .collect(),
                worker_threads,
                log: dir.join(format!("node-{node}.log")),
                child: None,
                started: Instant::now(),
            };
            process.spawn()?;
            cluster.nodes.push(process);
        }
        Ok(cluster)
    }

    /// Where clients connect, by node.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("http://{}", node.client_addr)).collect()
    }

    /// Where each node listens, for whom: one line a node.
    pub(crate) fn listeners(&self) -> Vec<String> {
        let line = |NodeProcess { node, client_addr, peer_addr, admin_addr, .. }: &NodeProcess| {
            format!(
                "node {node}: clients {client_addr}, peers {peer_addr}, \
                 metrics http://{admin_addr}/metrics"
            )
        };
        self.nodes.iter().map(line).collect()
    }

    /// Waits until every node says that it is ready. A node that ends meanwhile fails at once,
    /// with the end of its log.
    pub(crate) async fn wait_ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        for (at, endpoint) in self.endpoints().into_iter().enumerate() {
            let probe = probe(&endpoint)?;
            while !probe.cluster_locally().await.is_ok_and(|seen| seen.ready) {
                let node = &mut self.nodes[at];
                if let Some(how) = node.ended()? {
                    bail!(Failed::unavailable(node.complaint(&format!("ended ({how})"))));
                }
                if Instant::now() >= end {
                    bail!(Failed::unavailable(node.complaint("is not ready in time")));
                }
                sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
            }
        }
        Ok(())
    }

    /// Kills a node (SIGKILL), by its place from 0, and waits until it is gone.
    pub(crate) async fn kill(&mut self, at: usize) -> anyhow::Result<()> {
        if let Some(mut child) = self.nodes[at].child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts a node again, with what it has on its disk.
    pub(crate) fn restart(&mut self, at: usize) -> anyhow::Result<()> {
        self.nodes[at].spawn()
    }

    /// A node that has ended though nobody killed it.
    pub(crate) fn casualty(&mut self) -> anyhow::Result<Option<Casualty>> {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if let Some(how) = node.ended()? {
                let complaint = node.complaint(&format!("ended ({how})"));
                let (lived, killed) = (node.started.elapsed(), how.signal() == Some(SIGKILL));
                return Ok(Some(Casualty { at, complaint, how, lived, killed }));
            }
        }
        Ok(None)
    }

    /// Asks all nodes to stop (SIGTERM); kills those that take too long.
    pub(crate) async fn stop(mut self) {
        for child in self.nodes.iter().filter_map(|node| node.child.as_ref()) {
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
                // It may have ended by itself just now.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let end = Instant::now() + Duration::from_millis(STOP_MS);
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            let left = end.saturating_duration_since(Instant::now());
            if timeout(left, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }
}

impl NodeProcess {
    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("VATIC_") && !name.starts_with("VATIC_LOG") {
                command.env_remove(&*name);
            }
        }
        if std::env::var_os(WORKER_THREADS).is_none() {
            command.env(WORKER_THREADS, self.worker_threads.to_string());
        }
        let child = command
            .arg("start")
            .args(&self.arguments)
            .arg("--stop-with-stdin")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            // Ctrl-C is for the parent, which then stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        self.child = Some(child);
        self.started = Instant::now();
        Ok(())
    }

    fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        Ok(child.try_wait()?)
    }

    fn complaint(&self, what: &str) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("node {} {what}; the end of {}:\n{tail}", self.node, self.log.display())
    }
}

fn probe(endpoint: &str) -> anyhow::Result<Client> {
    let limits = Limits {
        call_ms: 1_000,
        operation_ms: 1_000,
        attempts_max: 1,
        endpoint_cooldown_ms: 0,
        ..Limits::production()
    };
    let options = Options { limits, ..Options::default() };
    Ok(Client::lazy(&[endpoint.to_owned()], options)?)
}

/// The addresses in a file, or free ones, which are then kept there: the groups remember where
/// their members are.
fn addresses(file: &Path, count: usize) -> anyhow::Result<Vec<String>> {
    let Ok(text) = fs::read_to_string(file) else {
        let free = free_addresses(count)?;
        fs::write(file, free.join("\n")).with_context(|| file.display().to_string())?;
        return Ok(free);
    };
    let kept: Vec<String> = text.lines().map(str::to_owned).collect();
    if kept.len() != count {
        let message = format!("{} is of a cluster of {} nodes", file.display(), kept.len() / 2);
        return Err(Failed::usage(message).into());
    }
    Ok(kept)
}

fn free_addresses(count: usize) -> anyhow::Result<Vec<String>> {
    // All are held at once, so that they differ.
    let held = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<Vec<_>, _>>()
        .context("no free port on the loopback")?;
    held.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}

/// As [`free_addresses`], and none of `taken`, which nobody may listen on yet.
fn free_addresses_beside(taken: &[String], count: usize) -> anyhow::Result<Vec<String>> {
    let mut free = free_addresses(count + taken.len())?;
    free.retain(|address| !taken.contains(address));
    free.truncate(count);
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_differ() {
        let mut addresses = free_addresses(6).unwrap();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 6);
    }

    #[test]
    fn directory_used_before_keeps_its_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("addresses");
        let first = addresses(&file, 6).unwrap();
        assert_eq!(addresses(&file, 6).unwrap(), first);
        assert!(addresses(&file, 2).unwrap_err().to_string().contains("3 nodes"));
    }

    #[test]
    fn complaint_shows_the_end_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let lines: Vec<String> = (0..50).map(|line| format!("line {line}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        let [client_addr, peer_addr, admin_addr] = Default::default();
        let started = Instant::now();
        let node = NodeProcess {
            node: 7,
            client_addr,
            peer_addr,
            admin_addr,
            arguments: vec![],
            worker_threads: 1,
            log,
            child: None,
            started,
        };
        let text = node.complaint("ended");
        assert!(text.contains("node 7 ended") && text.contains("line 49"), "{text}");
        assert!(!text.contains("line 29"), "{text}");
    }
}
