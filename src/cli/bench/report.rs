//! What is printed: a table for people, and one JSON object on the last line.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value as Json, json};

use super::policy::Policy;
use super::tally::Tally;
use crate::args::{LoadArgs, Output};
use crate::output;

/// A finished measurement.
pub(crate) struct Measured {
    pub(crate) seed: u64,
    pub(crate) tally: Tally,
    pub(crate) span: Duration,
    /// Of all servers; `None` where they are not on this machine.
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) client_cpu: Option<Duration>,
}

impl Measured {
    pub(crate) fn print(
        &self,
        args: &LoadArgs,
        policy: Policy,
        form: Output,
    ) -> std::io::Result<()> {
        let fields = self.fields(args, policy);
        if form == Output::Table {
            output::object(form, &fields)?;
        }
        output::line(&fields.to_string())
    }

    /// Operations that ended, a second.
    pub(crate) fn throughput_tps(&self) -> f64 {
        self.tally.done as f64 / self.span.as_secs_f64()
    }

    /// Attempts that came to nothing, of all.
    pub(crate) fn abort_rate(&self) -> f64 {
        let aborted = self.tally.aborted();
        aborted as f64 / (self.tally.done + aborted).max(1) as f64
    }

    pub(crate) fn us_per_op(&self, cpu: Option<Duration>) -> Option<f64> {
        let us = cpu.filter(|_| self.tally.done > 0)?.as_micros() as f64;
        Some(us / self.tally.done as f64)
    }

    fn fields(&self, args: &LoadArgs, policy: Policy) -> Json {
        let Measured { tally, span, .. } = self;
        let per_op = |cpu| self.us_per_op(cpu).map(|us| round(us, 1));
        let aborts: Map<String, Json> =
            tally.aborts.iter().map(|(cause, count)| (cause.to_string(), json!(count))).collect();
        json!({
            "workload": args.workload.name(),
            "policy": policy.name(),
            "clients": args.clients,
            "connections": args.connections,
            "keys": args.keys,
            "seed": self.seed,
            "seconds": round(span.as_secs_f64(), 3),
            "ops": tally.done,
            "throughput_tps": round(self.throughput_tps(), 1),
            "abort_rate": round(self.abort_rate(), 4),
            "aborts": aborts,
            "given_up": tally.given_up,
            "p50_ms": quantile_ms(&tally.commit_us, 0.5),
            "p99_ms": quantile_ms(&tally.commit_us, 0.99),
            "p999_ms": quantile_ms(&tally.commit_us, 0.999),
            "e2e_p50_ms": quantile_ms(&tally.whole_us, 0.5),
            "e2e_p99_ms": quantile_ms(&tally.whole_us, 0.99),
            "e2e_p999_ms": quantile_ms(&tally.whole_us, 0.999),
            "server_cpu_us_per_op": per_op(self.server_cpu),
            "client_cpu_us_per_op": per_op(self.client_cpu),
            "declined": tally.declined,
            "errors": tally.errors,
        })
    }
}

pub(crate) fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    round(histogram.value_at_quantile(quantile) as f64 / 1_000.0, 3)
}

pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
