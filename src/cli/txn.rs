//! `vatic txn`: a script as one streamed transaction, and how a transaction ended.

use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context;
use serde_json::{Value as Json, json};
use vatic_client::{
    ClientError, Committed, Foresight, Outcome, OutcomeOf, Request, RequestError, Rollback,
    Transaction,
};
use vatic_core::id::{Tid, TidError};

use crate::args::{Output, TxnArgs};
use crate::exit::{Exit, Failed};
use crate::json;
use crate::notices::{self, Teller};
use crate::output;
use crate::receipt_file;
use crate::records::of_commit;
use crate::script::{self, Step};
use crate::settings::Settings;

/// Whose outcome is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// One attempt's.
    Transaction(Tid),
    /// Of whichever attempt committed.
    Request(Request),
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A transaction's id has no dots.
        match text.contains('.') {
            true => {
                text.parse().map(Asked::Request).map_err(|error: RequestError| error.to_string())
            }
            false => {
                text.parse().map(Asked::Transaction).map_err(|error: TidError| error.to_string())
            }
        }
    }
}

pub(crate) async fn run(args: &TxnArgs, settings: &Settings) -> anyhow::Result<()> {
    let path = args.file.as_deref().context("clap requires a file")?;
    let steps = steps(path)?;
    // Before anything commits: a commit must not end as a failure to write a file.
    if let Some(path) = &args.receipt_out {
        receipt_file::touch(path)?;
    }
    let client = settings.connect().await?;
    let (forecasts, abort_early) = (args.forecast, args.abort_early);
    let abort_strayed = args.abort_strayed;
    let foresight = Foresight { forecasts, warnings: forecasts, abort_early, abort_strayed };
    let teller = Teller::new(settings.output);
    let runner = client.transaction().foresee(foresight).observe(&teller);
    let runner = match args.strategy {
        Some(strategy) => runner.strategy(strategy),
        None => runner,
    };
    let mut done = runner.run(|txn| play(txn, &steps, &teller)).await?;
    if let Some(path) = &args.receipt_out {
        // The first answer has the leaders' signatures; a majority's come within about a second.
        // What was sent stays as it is: only this process knows it.
        let later = client.outcome(OutcomeOf::Transaction(done.committed.tid)).await;
        if let Ok(Outcome::Committed(complete)) = later {
            done.committed.evidence.receipt = complete.evidence.receipt;
        }
        receipt_file::write(path, &done.committed)?;
    }
    let mut result = of_receipt(&done.committed)?;
    result["attempts"] = json!(done.attempts);
    if settings.output == Output::Table {
        if !done.value.is_empty() {
            output::list(Output::Table, &["key", "version", "fields"], &done.value)?;
        }
    } else {
        result["reads"] = json!(done.value);
    }
    if args.forecast && settings.output == Output::Json {
        result["notices"] = json!(teller.take());
    }
    Ok(output::object(settings.output, &result)?)
}

/// Prints how a transaction ended. Exits 6 where nothing is known of it.
pub(crate) async fn outcome(asked: &Asked, settings: &Settings) -> anyhow::Result<Exit> {
    let client = settings.connect().await?;
    let (of, nothing) = match asked {
        Asked::Transaction(tid) => {
            (OutcomeOf::Transaction(*tid), json!({"transaction_id": tid.to_string()}))
        }
        Asked::Request(request) => {
            (OutcomeOf::Request(request), json!({"request_id": request.to_string()}))
        }
    };
    let (result, exit) = match client.outcome(of).await? {
        Outcome::Committed(committed) => {
            let mut result = of_receipt(&committed)?;
            result["state"] = json!("committed");
            (result, Exit::Ok)
        }
        Outcome::RolledBack(rollback) => (of_rollback(&rollback), Exit::Ok),
        Outcome::Unknown => {
            let mut result = nothing;
            result["state"] = json!("unknown");
            (result, Exit::OutcomeUnknown)
        }
    };
    output::object(settings.output, &result)?;
    Ok(exit)
}

/// Runs the steps in order; answers what was read.
async fn play(txn: Transaction, steps: &[Step], teller: &Teller) -> Result<Vec<Json>, ClientError> {
    let mut reads = Vec::new();
    for step in steps {
        match step {
            Step::Write(delta) => txn.apply(delta).await?,
            Step::Get(key) => match txn.read(key).await? {
                Some(record) => reads.push(json::of_record(&record)),
                None => reads.push(json!({"key": key.to_string(), "version": 0, "fields": null})),
            },
            Step::Scan(range) => {
                reads.extend(txn.scan(range, 0).await?.iter().map(json::of_record));
            }
        }
        teller.tell_all(&txn).await?;
    }
    Ok(reads)
}

fn of_receipt(committed: &Committed) -> anyhow::Result<Json> {
    let receipt = committed.evidence.read().map_err(ClientError::Evidence)?;
    let mut result = of_commit(committed);
    result["transitions"] = json!(receipt.body.seal.count);
    result["seed"] = json!(receipt.body.seal.seed.to_hex());
    result["head"] = json!(receipt.body.seal.head.to_hex());
    result["basis"] = json!(receipt.body.basis.name());
    Ok(result)
}

pub(crate) fn of_rollback(rollback: &Rollback) -> Json {
    let mut result = json!({
        "transaction_id": rollback.tid.map(|tid| tid.to_string()),
        "state": "rolled_back",
        "cause": rollback.cause.name(),
        "key": rollback.key.as_ref().map(ToString::to_string),
        "expected_version": rollback.expected.0,
        "actual_version": rollback.actual.0,
        "other_transaction_id": rollback.other.map(|tid| tid.to_string()),
        "retryable": rollback.retryable,
        "message": rollback.message,
    });
    let beside = (rollback.unjudged, rollback.resolution);
    notices::add_verdict(&mut result, rollback.verdict.as_ref(), beside);
    result
}

/// The steps of a script.
pub(crate) fn steps(path: &Path) -> anyhow::Result<Vec<Step>> {
    let parsed = script::parse(&read(path)?);
    Ok(parsed.map_err(|fault| Failed::usage(format!("{}: {fault}", path.display())))?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let result = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    Ok(result.map_err(|error| Failed::usage(format!("{}: {error}", path.display())))?)
}
