//! `vatic-bench profile`: where the CPU of an operation goes, by part of the node.
//!
//! Stacks of all nodes are sampled by `perf`, unwound by DWARF; shares of the samples times the CPU
//! of an operation in the same run are microseconds. Shares move with the load and the machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value as Json, json};
use tokio::process::Command;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::limits::{PARANOID_MAX, SAMPLES_PER_S, SEED, STACK_BYTES, WARM_MS};
use crate::stage::Samples;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// WORKLOAD:CLIENTS, as `vatic bench run` takes them; each has a cluster of its own
    #[arg(long, value_delimiter = ',', default_value = "put:256,get:256,uniform:64,hotspot:64")]
    loads: Vec<String>,
    /// Data groups
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    groups: u32,
    /// How long stacks are sampled, each time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// One load's samples, and what an operation cost meanwhile.
struct Profile {
    load: String,
    cpu_us: f64,
    samples: Samples,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    may_sample()?;
    let mut profiles = Vec::new();
    for load in &args.loads {
        eprintln!("vatic-bench: {load}");
        profiles.push(profile(args, load).await.with_context(|| load.clone())?);
    }
    print_table(&profiles);
    let rows: Vec<Json> = profiles.iter().map(Profile::json).collect();
    let Args { groups, seconds, .. } = args;
    println!("{}", json!({ "groups": groups, "seconds": seconds, "loads": rows }));
    Ok(())
}

async fn profile(args: &Args, load: &str) -> anyhow::Result<Profile> {
    let (workload, clients) = load.split_once(':').context("say WORKLOAD:CLIENTS")?;
    let cluster = Cluster::start(args.groups, &std::env::temp_dir()).await?;
    let run = |seconds: u64, loaded: bool| {
        let seed = SEED.to_string();
        let seconds = seconds.to_string();
        let said = ["--workload", workload, "--clients", clients, "--seed", &seed];
        let mut said: Vec<String> = said.map(str::to_owned).to_vec();
        said.extend(["--seconds".to_owned(), seconds]);
        said.extend(loaded.then(|| "--loaded".to_owned()));
        said
    };
    cluster.bench(&run(1, false)).await?;
    let dir = tempfile::tempdir()?;
    let warm = Duration::from_millis(WARM_MS);
    let load_seconds = args.seconds + 2 * warm.as_secs();
    let arguments = run(load_seconds, true);
    let sampled = async {
        sleep(warm).await;
        sample(&cluster.processes()?, args.seconds, dir.path()).await
    };
    let (measured, samples) = tokio::join!(cluster.bench(&arguments), sampled);
    let (measured, samples) = (measured?, samples?);
    let cpu_us = measured["server_cpu_us_per_op"].as_f64();
    let cpu_us = cpu_us.with_context(|| format!("no CPU of the servers: {measured}"))?;
    Ok(Profile { load: load.to_owned(), cpu_us, samples })
}

/// What the nodes do in the kernel is sampled too, which not everybody may do.
fn may_sample() -> anyhow::Result<()> {
    const SETTING: &str = "/proc/sys/kernel/perf_event_paranoid";
    let paranoid = std::fs::read_to_string(SETTING).context("this kernel has no perf events")?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    match paranoid.trim().parse::<i32>() {
        Ok(level) if level > PARANOID_MAX && !is_privileged(&status) => bail!(
            "kernel.perf_event_paranoid is {level}, and perf may not sample what the nodes do in \
             the kernel: set it to {PARANOID_MAX} (`sysctl kernel.perf_event_paranoid=\
             {PARANOID_MAX}`), or be root"
        ),
        _ => Ok(()),
    }
}

/// Whether a process has the capability to sample anything, or to do anything.
fn is_privileged(status: &str) -> bool {
    const PERFMON: u64 = 1 << 38;
    const SYS_ADMIN: u64 = 1 << 21;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = line.and_then(|held| u64::from_str_radix(held.trim(), 16).ok());
    held.is_some_and(|held| held & (PERFMON | SYS_ADMIN) != 0)
}

/// Samples the stacks of these processes.
async fn sample(processes: &[u32], seconds: u64, dir: &Path) -> anyhow::Result<Samples> {
    let data = dir.join("perf.data");
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    let record = perf(&["record", "-q", "-F", &SAMPLES_PER_S.to_string()])
        .args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "-p", &processes.join(",")])
        .arg("-o")
        .arg(&data)
        .args(["sleep", &seconds.to_string()])
        .output();
    let record = record.await.context("perf is not installed")?;
    let said = String::from_utf8_lossy(&record.stderr);
    ensure!(record.status.success(), "perf record ended ({}): {said}", record.status);
    let script = perf(&["script", "--no-inline", "-F", "comm,ip,sym", "-i"]).arg(&data).output();
    let script = script.await?;
    let said = String::from_utf8_lossy(&script.stderr);
    ensure!(script.status.success(), "perf script ended ({}): {said}", script.status);
    let samples = Samples::read(&String::from_utf8_lossy(&script.stdout));
    ensure!(samples.count > 0, "perf took no samples: {said}");
    if let Some(lost) = said.lines().find(|line| line.contains(" lost ")) {
        eprintln!("vatic-bench: what is sampled is not all, and may lean to one side: {lost}");
    }
    Ok(samples)
}

fn perf(arguments: &[&str]) -> Command {
    let mut command = Command::new("perf");
    command.args(arguments).kill_on_drop(true);
    command
}

impl Profile {
    fn json(&self) -> Json {
        let micros = |(name, share): (&str, f64)| (name.to_owned(), json!(share * self.cpu_us));
        let stages: serde_json::Map<_, _> = self.samples.shares().into_iter().map(micros).collect();
        let Profile { load, cpu_us, samples } = self;
        json!({ "load": load, "server_cpu_us_per_op": cpu_us, "samples": samples.count,
            "stages_us": stages })
    }
}

/// A column for each load: microseconds, and the share.
fn print_table(profiles: &[Profile]) {
    let cells = |cells: Vec<String>| cells.iter().map(|it| format!(" | {it}")).collect::<String>();
    println!("µs an operation{}", cells(profiles.iter().map(|it| it.load.clone()).collect()));
    let shares: Vec<_> = profiles.iter().map(|it| it.samples.shares()).collect();
    for (at, (stage, _)) in shares.first().into_iter().flatten().enumerate() {
        let cell = |(profile, shares): (&Profile, &Vec<(&str, f64)>)| {
            let share = shares[at].1;
            format!("{:.1} ({:.0} %)", share * profile.cpu_us, 100.0 * share)
        };
        println!("{stage}{}", cells(profiles.iter().zip(&shares).map(cell).collect()));
    }
    let all = profiles.iter().map(|it| format!("{:.1}", it.cpu_us)).collect();
    println!("all{}", cells(all));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_proc_and_nonsense_is_none() {
        assert!(is_privileged("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(is_privileged("CapEff:\t0000004000000000\n"), "perfmon alone");
        assert!(is_privileged("CapEff:\t0000000000200000\n"), "admin alone");
        for none in ["CapEff:\t0000000000000000\n", "CapPrm:\t000001ffffffffff\n", "CapEff: all\n"]
        {
            assert!(!is_privileged(none), "{none:?}");
        }
    }
}
