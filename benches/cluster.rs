//! A cluster of `vatic dev`, and commands that ask it.
//!
//! Why a command and no library: what is measured is the program that users have, with its own
//! settings, and the command that they measure it with.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::time::sleep;
use vatic_tests::node::without_settings;
use vatic_tests::program::plain_program;
use vatic_tests::scrape::Scrape;

use crate::limits::{LOOK_AGAIN_MS, READY_MS};

const NODES: usize = 3;

/// Three nodes in a throwaway directory; dropped, they are gone.
pub(crate) struct Cluster {
    dev: Child,
    endpoints: Vec<String>,
    admins: Vec<String>,
    // Last: the processes go before their files.
    dir: TempDir,
}

/// What all nodes together had used at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    at: Instant,
    cpu_seconds: f64,
    log_bytes: f64,
}

/// What a cluster uses that nobody asks anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Idle {
    /// Of one core, all nodes together.
    pub(crate) cpu_percent: f64,
    /// Written to the logs, all nodes together.
    pub(crate) log_bytes_per_s: f64,
}

impl Cluster {
    /// Starts the nodes and waits until they are ready.
    pub(crate) async fn start(groups: u32, beside: &Path) -> anyhow::Result<Cluster> {
        let dir = tempfile::Builder::new().prefix("vatic-bench-").tempdir_in(beside)?;
        let said = dir.path().join("dev.log");
        let mut command = Command::new(plain_program());
        without_settings(&mut command);
        let dev = command
            .args(["dev", "--verbose", "--nodes", &NODES.to_string()])
            .args(["--groups", &groups.to_string(), "--data-dir"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&said)?)
            .spawn()?;
        let (endpoints, admins) = (Vec::new(), Vec::new());
        let mut cluster = Cluster { dev, endpoints, admins, dir };
        let out = cluster.dev.stdout.take().context("stdout was asked for")?;
        let lines = BufReader::new(out).lines().take(NODES).collect::<Result<Vec<_>, _>>()?;
        cluster.endpoints = lines;
        let end = Instant::now() + Duration::from_millis(READY_MS);
        while cluster.admins.len() < NODES {
            let told = fs::read_to_string(&said)?;
            if cluster.endpoints.len() < NODES || Instant::now() > end {
                bail!("no cluster of {groups} groups came up: {told}");
            }
            cluster.admins = admins_in(&told);
            sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
        }
        Ok(cluster)
    }

    /// Runs `vatic bench run` against it; the JSON object that it ends with.
    pub(crate) async fn bench(&self, arguments: &[String]) -> anyhow::Result<Json> {
        let mut command = tokio::process::Command::new(plain_program());
        without_settings(command.as_std_mut());
        let output = command
            .args(["bench", "run", "--output", "json", "--endpoints", &self.endpoints.join(",")])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().filter(|_| output.status.success());
        let last = last.with_context(|| format!("{arguments:?} ended ({})", output.status))?;
        serde_json::from_str(last).with_context(|| last.to_owned())
    }

    /// What the nodes say that they have used since they were started.
    pub(crate) async fn used(&self) -> anyhow::Result<Used> {
        let mut used = Used { at: Instant::now(), cpu_seconds: 0.0, log_bytes: 0.0 };
        for admin in &self.admins {
            let (status, text) = vatic_tests::http::ask(admin, "/metrics").await?;
            anyhow::ensure!(status == 200, "{admin} answered {status}: {text}");
            let scrape = Scrape::read(&text);
            used.cpu_seconds += scrape.is("process_cpu_seconds_total");
            used.log_bytes += scrape.is("vatic_log_written_bytes_total");
        }
        Ok(used)
    }

    /// The nodes' processes.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let mut found = Vec::new();
        // Each thread has those that it started.
        for thread in fs::read_dir(format!("/proc/{}/task", self.dev.id()))? {
            let children = fs::read_to_string(thread?.path().join("children"))?;
            let children = children.split_whitespace().map(str::parse);
            found.extend(children.collect::<Result<Vec<u32>, _>>()?);
        }
        Ok(found)
    }

    /// Bytes of all files of all nodes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        vatic_tests::disk_use::bytes_below(self.dir.path())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It stops its nodes in order. It may have ended by itself just now.
        let _ = kill_process(Pid::from_child(&self.dev), Signal::TERM);
        let _ = self.dev.wait();
    }
}

impl Used {
    /// What was used each second from then to now.
    pub(crate) fn since(&self, then: &Used) -> Idle {
        let seconds = (self.at - then.at).as_secs_f64();
        let cpu = self.cpu_seconds - then.cpu_seconds;
        let log_bytes_per_s = (self.log_bytes - then.log_bytes) / seconds;
        Idle { cpu_percent: 100.0 * cpu / seconds, log_bytes_per_s }
    }
}

/// Where nodes tell their metrics, as `vatic dev -v` says it.
fn admins_in(told: &str) -> Vec<String> {
    let address = |line: &str| {
        let rest = line.split_once("metrics http://")?.1;
        Some(rest.split_once("/metrics")?.0.to_owned())
    };
    told.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_addresses_are_read_from_what_dev_says() {
        let told = "vatic: node 1: clients 127.0.0.1:1, peers 127.0.0.1:2, \
                    metrics http://127.0.0.1:3/metrics\nvatic: 3 nodes, logs in x";
        assert_eq!(admins_in(told), ["127.0.0.1:3"]);
        assert!(admins_in("vatic: 3 nodes").is_empty());
    }

    #[test]
    fn what_is_used_is_a_rate_over_the_time_between() {
        let then = Used { at: Instant::now(), cpu_seconds: 1.0, log_bytes: 100.0 };
        let at = then.at + Duration::from_secs(2);
        let idle = Used { at, cpu_seconds: 1.5, log_bytes: 300.0 }.since(&then);
        assert_eq!(idle, Idle { cpu_percent: 25.0, log_bytes_per_s: 100.0 });
    }
}
