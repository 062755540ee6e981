//! `vatic-bench yardstick`: vatic beside etcd.
//!
//! What counts is the CPU of all servers for an operation, and its ratio: throughput on a machine
//! that servers and clients share tells little.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Value as Json, json};

use crate::cluster::Cluster;
use crate::etcd::{Etcd, Figures, Load};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program of etcd's server
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// Data groups of vatic; etcd has one of its kind
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    groups: u32,
    /// How often each load is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// How long, each time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// LOAD:CLIENTS
    #[arg(long, value_delimiter = ',', value_parser = course,
        default_value = "put:64,put:256,get:256,uniform:64,hotspot:64")]
    loads: Vec<Course>,
}

/// One load by so many clients.
#[derive(Debug, Clone, Copy)]
struct Course {
    load: Load,
    clients: u32,
}

/// What a course has shown, by round.
#[derive(Debug, Default)]
struct Shown {
    etcd: Vec<Figures>,
    vatic: Vec<Figures>,
}

fn course(words: &str) -> Result<Course, String> {
    let (load, clients) = words.split_once(':').ok_or("say LOAD:CLIENTS, as in put:256")?;
    let load = Load::from_str(load, false)?;
    match clients.parse() {
        Ok(clients) if clients > 0 => Ok(Course { load, clients }),
        _ => Err(format!("{clients:?} is no number of clients")),
    }
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let etcd = Etcd::start(&args.etcd).await?;
    let vatic = Cluster::start(args.groups, &std::env::temp_dir()).await?;
    let span = Duration::from_secs(args.seconds);
    let mut shown: Vec<Shown> = args.loads.iter().map(|_| Shown::default()).collect();
    for round in 1..=args.rounds {
        for (course, shown) in args.loads.iter().zip(&mut shown) {
            let (name, clients) = (course.name(), course.clients);
            eprintln!("vatic-bench: round {round}, {name} of {clients} clients");
            // Whoever is second finds the machine warm: by turns.
            if round % 2 == 1 {
                shown.etcd.push(etcd.measure(course.load, clients, span).await?);
            }
            shown.vatic.push(course.on_vatic(&vatic, args.seconds, round).await?);
            if round % 2 == 0 {
                shown.etcd.push(etcd.measure(course.load, clients, span).await?);
            }
        }
    }
    println!(
        "load     clients  etcd µs/op  vatic µs/op   ratio  etcd op/s  vatic op/s  p99 ms of both"
    );
    let rows = args.loads.iter().zip(&shown).map(|(course, shown)| shown.told(*course));
    let rows: Vec<Json> = rows.collect();
    let Args { groups, rounds, seconds, .. } = args;
    let told = json!({ "groups": groups, "rounds": rounds, "seconds": seconds, "loads": rows });
    println!("{told}");
    Ok(())
}

impl Course {
    /// As `vatic bench run` calls it.
    fn name(self) -> String {
        let value = self.load.to_possible_value().expect("no load is hidden");
        value.get_name().to_owned()
    }

    async fn on_vatic(self, vatic: &Cluster, seconds: u64, seed: u64) -> anyhow::Result<Figures> {
        let arguments = [
            ("--workload", self.name()),
            ("--clients", self.clients.to_string()),
            ("--seconds", seconds.to_string()),
            ("--seed", seed.to_string()),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        let told = vatic.bench(&arguments.collect::<Vec<_>>()).await?;
        let figure = |name: &str| told[name].as_f64().with_context(|| format!("no {name}: {told}"));
        Ok(Figures {
            throughput: figure("throughput_tps")?,
            cpu_us: figure("server_cpu_us_per_op")?,
            p99_ms: figure("e2e_p99_ms")?,
        })
    }
}

impl Shown {
    /// A row for people; the same as JSON.
    fn told(&self, course: Course) -> Json {
        let (name, clients) = (course.name(), course.clients);
        let (etcd, vatic) = (medians(&self.etcd), medians(&self.vatic));
        let ratio = vatic.cpu_us / etcd.cpu_us;
        println!(
            "{name:<8} {clients:>7} {:>11.0} {:>12.0} {ratio:>7.2} {:>10.0} {:>11.0} {:>7.1} {:.1}",
            etcd.cpu_us, vatic.cpu_us, etcd.throughput, vatic.throughput, etcd.p99_ms, vatic.p99_ms
        );
        json!({ "load": name, "clients": clients, "cpu_ratio": ratio,
            "etcd": etcd.json(), "vatic": vatic.json() })
    }
}

impl Figures {
    fn json(&self) -> Json {
        let Figures { throughput, cpu_us, p99_ms } = self;
        json!({ "throughput_tps": throughput, "server_cpu_us_per_op": cpu_us, "p99_ms": p99_ms })
    }
}

fn medians(of: &[Figures]) -> Figures {
    let median = |figure: fn(&Figures) -> f64| {
        let mut all: Vec<f64> = of.iter().map(figure).collect();
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Figures {
        throughput: median(|figures| figures.throughput),
        cpu_us: median(|figures| figures.cpu_us),
        p99_ms: median(|figures| figures.p99_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_are_read_as_they_are_written() {
        let read = course("put:256").unwrap();
        assert_eq!((read.name().as_str(), read.clients), ("put", 256));
        for wrong in ["put", "put:0", "put:x", "post:1"] {
            assert!(course(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn medians_are_taken_figure_by_figure() {
        let figures = |throughput, cpu_us, p99_ms| Figures { throughput, cpu_us, p99_ms };
        let of = [figures(1.0, 9.0, 5.0), figures(2.0, 7.0, 4.0), figures(3.0, 8.0, 6.0)];
        let Figures { throughput, cpu_us, p99_ms } = medians(&of);
        assert_eq!((throughput, cpu_us, p99_ms), (2.0, 8.0, 5.0));
    }
}
