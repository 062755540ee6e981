//! What was measured, as tables for people and as JSON.

use serde_json::{Value as Json, json};

use crate::cluster::Idle;

/// One workload on one cluster.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) groups: u32,
    pub(crate) records: u32,
    pub(crate) workload: &'static str,
    /// What `vatic bench run` ended with.
    pub(crate) measured: Json,
}

#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) cells: Vec<Cell>,
    /// By number of groups.
    pub(crate) idle: Vec<(u32, Idle)>,
    /// By groups and records: all files of all nodes at the end.
    pub(crate) disk_bytes: Vec<(u32, u32, u64)>,
}

impl Cell {
    fn number(&self, name: &str) -> f64 {
        self.measured[name].as_f64().unwrap_or(f64::NAN)
    }
}

impl Results {
    pub(crate) fn print_tables(&self) {
        println!(
            "{:>7} {:>9} {:<8} {:>13} {:>10} {:>8} {:>8} {:>7}",
            "groups", "records", "workload", "server µs/op", "op/s", "p50 ms", "p99 ms", "aborts"
        );
        for cell in &self.cells {
            println!(
                "{:>7} {:>9} {:<8} {:>13.1} {:>10.0} {:>8.2} {:>8.2} {:>7.4}",
                cell.groups,
                cell.records,
                cell.workload,
                cell.number("server_cpu_us_per_op"),
                cell.number("throughput_tps"),
                cell.number("p50_ms"),
                cell.number("p99_ms"),
                cell.number("abort_rate"),
            );
        }
        if !self.idle.is_empty() {
            println!("\n{:>7} {:>16} {:>16}", "groups", "idle CPU %", "idle log B/s");
        }
        for (groups, idle) in &self.idle {
            println!("{groups:>7} {:>16.2} {:>16.0}", idle.cpu_percent, idle.log_bytes_per_s);
        }
        if let Some(each) = self.idle_group() {
            println!("{:>7} {:>16.3} {:>16.1}", "each", each.cpu_percent, each.log_bytes_per_s);
        }
    }

    pub(crate) fn json(&self) -> Json {
        let cells = self.cells.iter().map(|cell| {
            let kept = ["server_cpu_us_per_op", "client_cpu_us_per_op", "throughput_tps", "ops"];
            let also = ["p50_ms", "p99_ms", "abort_rate", "errors"];
            let mut one = json!({
                "groups": cell.groups, "records": cell.records, "workload": cell.workload,
            });
            for name in kept.iter().chain(&also) {
                one[*name] = cell.measured[*name].clone();
            }
            one
        });
        let of_idle = |idle: &Idle| {
            json!({
                "cpu_percent": round(idle.cpu_percent),
                "log_bytes_per_s": round(idle.log_bytes_per_s),
            })
        };
        let idle = self.idle.iter().map(|(groups, idle)| {
            let mut one = of_idle(idle);
            one["groups"] = json!(groups);
            one
        });
        let disk = self.disk_bytes.iter().map(|(groups, records, bytes)| {
            json!({"groups": groups, "records": records, "bytes": bytes})
        });
        json!({
            "cells": cells.collect::<Vec<_>>(),
            "idle": idle.collect::<Vec<_>>(),
            "idle_group": self.idle_group().as_ref().map(of_idle),
            "disk": disk.collect::<Vec<_>>(),
        })
    }

    /// What one group more costs an idle cluster.
    fn idle_group(&self) -> Option<Idle> {
        let over = |of: fn(&Idle) -> f64| {
            slope(self.idle.iter().map(|(groups, idle)| (f64::from(*groups), of(idle))))
        };
        let cpu_percent = over(|idle| idle.cpu_percent)?;
        let log_bytes_per_s = over(|idle| idle.log_bytes_per_s)?;
        Some(Idle { cpu_percent, log_bytes_per_s })
    }
}

/// Of the least squares' line; `None` where there is but one x.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<f64> {
    let count = points.clone().count() as f64;
    let (x, y) = points.clone().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (x / count, y / count);
    let spread: f64 = points.clone().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let shared: f64 = points.map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (spread > 0.0).then(|| shared / spread)
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_is_what_one_more_costs() {
        let line = [(1.0, 5.0), (4.0, 11.0), (16.0, 35.0)];
        assert!((slope(line.into_iter()).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(slope([(1.0, 5.0), (1.0, 6.0)].into_iter()), None);
        assert_eq!(slope([].into_iter()), None);
    }

    #[test]
    fn json_holds_every_cell_and_the_cost_of_a_group() {
        let idle = |cpu_percent| Idle { cpu_percent, log_bytes_per_s: 10.0 };
        let measured = json!({"server_cpu_us_per_op": 80.5, "ops": 7});
        let cell = Cell { groups: 4, records: 1_000, workload: "put", measured };
        let results = Results {
            cells: vec![cell],
            idle: vec![(1, idle(1.0)), (5, idle(3.0))],
            disk_bytes: vec![(4, 1_000, 9)],
        };
        let json = results.json();
        assert_eq!(json["cells"][0]["server_cpu_us_per_op"], 80.5);
        assert_eq!(json["idle_group"]["cpu_percent"], 0.5);
        assert_eq!(json["idle_group"]["log_bytes_per_s"], 0.0);
        assert_eq!(json["disk"][0]["bytes"], 9);
    }
}
