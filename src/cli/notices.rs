//! What is told of a running transaction, printed as it comes.
//!
//! As lines for people, as one object a line for programs; where the result must be one JSON
//! document, they are kept and become part of it.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value as Json, json};
use vatic_client::{
    ClientError, Forecast, Notice, Observer, Resolution, SoFar, Transaction, Unjudged, Verdict,
    Warning,
};

use crate::args::Output;
use crate::output;

/// Prints notices, or keeps them.
pub(crate) struct Teller {
    output: Output,
    kept: Mutex<Vec<Json>>,
}

impl Teller {
    pub(crate) fn new(output: Output) -> Teller {
        Teller { output, kept: Mutex::default() }
    }

    /// Tells what has come by now.
    pub(crate) async fn tell_all(&self, txn: &Transaction) -> Result<(), ClientError> {
        while let Some(notice) = txn.next_notice(Duration::ZERO).await? {
            self.tell(&notice);
        }
        Ok(())
    }

    /// What was kept.
    pub(crate) fn take(&self) -> Vec<Json> {
        std::mem::take(&mut self.kept.lock().expect("no holder panics"))
    }

    fn tell(&self, notice: &Notice) {
        // A reader that has gone is found out by the result.
        let _ = match self.output {
            Output::Table => output::line(&notice.to_string()),
            Output::Ndjson => output::line(&of_notice(notice).to_string()),
            Output::Json => {
                self.kept.lock().expect("no holder panics").push(of_notice(notice));
                Ok(())
            }
        };
    }
}

impl Observer for Teller {
    fn told(&self, notice: &Notice) {
        self.tell(notice);
    }
}

fn of_notice(notice: &Notice) -> Json {
    match notice {
        Notice::Forecast(forecast) => of_forecast(forecast),
        Notice::Warning(warning) => of_warning(warning),
        Notice::Strayed(so_far) => {
            let mut object = of_so_far(so_far);
            object["notice"] = json!("warning");
            object["what"] = json!("strayed");
            object
        }
        Notice::Verdict(verdict) => {
            let mut object = of_verdict(verdict);
            object["notice"] = json!("verdict");
            object
        }
    }
}

fn of_forecast(forecast: &Forecast) -> Json {
    json!({
        "notice": "forecast",
        "transitions": forecast.transitions,
        "expected_transitions": forecast.expected_transitions,
        "expected_participants": forecast.expected_participants,
        "strayed": forecast.strayed,
        "spread": forecast.spread,
        "probability": forecast.conflict_ppm.map(|ppm| f64::from(ppm) / 1e6),
        "exemplars": forecast.exemplars,
        "forecaster": forecast.forecaster,
        "version": forecast.version,
        "so_far": forecast.so_far.as_ref().map(of_so_far),
    })
}

fn of_so_far(so_far: &SoFar) -> Json {
    json!({
        "valid": so_far.valid,
        "from_transitions": so_far.from_transitions,
        "transitions": so_far.transitions,
        "distance": so_far.distance,
        "score": so_far.score,
        "tolerance": so_far.tolerance,
    })
}

fn of_warning(warning: &Warning) -> Json {
    json!({
        "notice": "warning",
        "what": warning.what.name(),
        "key": warning.key.to_string(),
        "read_version": warning.read.0,
        "found_version": warning.found.0,
        "other_transaction_id": warning.other.map(|other| other.to_string()),
    })
}

/// Says how a transaction was judged, where it was, or why it was not, where it was to be.
pub(crate) fn add_verdict(
    result: &mut Json,
    verdict: Option<&Verdict>,
    (unjudged, resolution): (Option<Unjudged>, Option<Resolution>),
) {
    if let Some(verdict) = verdict {
        result["verdict"] = of_verdict(verdict);
    }
    if let Some(Unjudged { missing, waited }) = unjudged {
        let waited_ms = waited.as_millis() as u64;
        result["unjudged"] = json!({ "missing": missing.name(), "waited_ms": waited_ms });
    }
    if let Some(resolution) = resolution {
        result["resolution"] = of_resolution(&resolution);
    }
}

fn of_resolution(resolution: &Resolution) -> Json {
    let us = |latency: Option<Duration>| latency.map(|latency| latency.as_micros() as u64);
    json!({
        "own": resolution.own.name(),
        "chosen": resolution.chosen.name(),
        "why": resolution.why,
        "probability": resolution.conflict_ppm.map(|ppm| f64::from(ppm) / 1e6),
        "latency_us": us(resolution.latency),
        "own_latency_us": us(resolution.own_latency),
        "freed": resolution.freed,
    })
}

pub(crate) fn of_verdict(verdict: &Verdict) -> Json {
    json!({
        "valid": verdict.valid,
        "transitions": verdict.transitions,
        "expected_transitions": verdict.expected_transitions,
        "actual_transitions": verdict.actual_transitions,
        "distance": verdict.distance,
        "score": verdict.score,
        "tolerance": verdict.tolerance,
        "spread": verdict.spread,
        "round_trip_us": verdict.round_trip.as_micros() as u64,
        "mean_round_trip_us": verdict.mean_round_trip.as_micros() as u64,
        "in_flight": verdict.in_flight,
    })
}
