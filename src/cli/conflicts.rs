//! `vatic explain`, `vatic conflicts` and `vatic model`: what is foreseen, what was met, what was
//! learnt.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use vatic_client::{
    Cause, Client, ClientError, Conflict, Model, RecordOutlook, SharedModel, SharedModels,
    StrategyOutlook, Strayed,
};
use vatic_core::id::Tid;
use vatic_core::key::Key;

use crate::args::Output;
use crate::exit::Failed;
use crate::output;
use crate::script::Step;
use crate::settings::Settings;
use crate::txn;

const RECORD_COLUMNS: [&str; 7] =
    ["key", "probability", "course", "wait_ms", "typical_ms", "ahead", "reasons"];
const STRATEGY_COLUMNS: [&str; 5] = ["strategy", "probability", "latency_ms", "hurts", "cheapest"];
const CONFLICT_COLUMNS: [&str; 8] = [
    "at_unix_ms",
    "what",
    "key",
    "cause",
    "transaction_id",
    "other_transaction_id",
    "foreseen",
    "lost_ms",
];
const TOP_COLUMNS: [&str; 5] = ["key", "conflicts", "lost_ms", "in_turn", "would_have_helped"];
const EXPLAIN_COLUMNS: [&str; 9] = [
    "at_unix_ms",
    "what",
    "transaction_id",
    "other_transaction_id",
    "key",
    "cause",
    "lost_ms",
    "conflicts_around",
    "would_have_helped",
];
const MODEL_COLUMNS: [&str; 8] =
    ["node", "mode", "version", "labels", "promotions", "switched_off", "shared", "forecasters"];
const SHARED_COLUMNS: [&str; 5] = ["version", "node", "labels", "weights", "pinned"];
const WEIGHT_COLUMNS: [&str; 3] = ["feature", "of", "log_odds"];
/// Conflicts that `top` counts, and those of a record that `explain` looks at.
const TOP_OF: u32 = 1_000;
/// A record is hot where so many others met a conflict there, within this much before or after.
const HOT_OTHERS: usize = 2;
const AROUND_US: u64 = 60_000_000;
/// Before a node whose feed broke is asked again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The script, as of `txn`; `-`: stdin
    #[arg(short, long, required = true)]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConflictsCommand {
    /// The newest first
    Ls {
        /// Most of them
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only of this record, COLLECTION/PARTITION[/SORT]
        #[arg(long)]
        key: Option<Key>,
    },
    /// The records that had most, of the newest 1,000
    Top {
        /// Most records
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// What is most
        #[arg(long, value_enum, default_value_t)]
        by: By,
    },
    /// Print each as it comes, until Ctrl-C
    Watch {
        /// Only of this record, COLLECTION/PARTITION[/SORT]
        #[arg(long)]
        key: Option<Key>,
    },
    /// What a transaction met, who met it, and what would have helped
    Explain {
        /// The transaction's id
        id: Tid,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum By {
    /// How often
    #[default]
    Conflicts,
    /// How much time it cost
    Lost,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// The conflict model of each node
    Ls,
    /// The models that the cluster keeps for all nodes, or what one of them counts
    Show {
        /// Its version [default: all of them, in a line each]
        #[arg(value_name = "VERSION")]
        number: Option<u64>,
    },
    /// Have all nodes use one version
    Pin {
        /// Its version, or `newest`: the newest, where it does better than a node's own
        #[arg(value_name = "VERSION")]
        number: String,
    },
    /// Have all nodes use the version before the one in force
    Rollback,
}

/// What a script would meet. Its reads are no claims: a record counts if it is written or expected.
pub(crate) async fn explain(args: &ExplainArgs, settings: &Settings) -> anyhow::Result<()> {
    let steps = txn::steps(args.file.as_deref().context("clap requires a file")?)?;
    let deltas: Vec<_> = steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Write(delta) => Some(delta),
            Step::Get(_) | Step::Scan(_) => None,
        })
        .collect();
    if deltas.is_empty() {
        return Err(Failed::usage("the script writes and expects nothing".to_owned()).into());
    }
    let foreseen = settings.connect().await?.explain(&deltas).await?;
    let records: Vec<Json> = foreseen.records.iter().map(of_record).collect();
    let strategies: Vec<Json> = foreseen.strategies.iter().map(of_strategy).collect();
    if settings.output != Output::Table {
        let all = json!({
            "probability": share(foreseen.score_ppm), "records": records, "strategies": strategies,
            "rollback": foreseen.rollback.as_ref().map(txn::of_rollback),
        });
        return Ok(output::object(settings.output, &all)?);
    }
    output::line(&output::table(&RECORD_COLUMNS, &records))?;
    output::line(&output::table(&STRATEGY_COLUMNS, &strategies))?;
    if let Some(rollback) = &foreseen.rollback {
        output::line(&format!("now it would be rolled back: {}", rollback.message))?;
    }
    let said = match foreseen.score_ppm {
        Some(ppm) => format!("any conflict without a turn: {:.1} %", f64::from(ppm) / 1e4),
        None => "no model yet: courses follow what was written of late".to_owned(),
    };
    Ok(output::line(&said)?)
}

fn of_strategy(told: &StrategyOutlook) -> Json {
    json!({
        "strategy": told.strategy.name(),
        "probability": share(told.conflict_ppm),
        "latency_ms": told.latency_us.map(ms),
        "hurts": told.hurts,
        "cheapest": told.cheapest,
    })
}

pub(crate) async fn conflicts(
    command: &ConflictsCommand,
    settings: &Settings,
) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    match command {
        ConflictsCommand::Ls { limit, key } => {
            let found = listed(&client, *limit, key.as_ref(), None).await?;
            let rows: Vec<Json> = found.iter().map(of_conflict).collect();
            Ok(output::list(settings.output, &CONFLICT_COLUMNS, &rows)?)
        }
        ConflictsCommand::Top { limit, by } => {
            let rows = top(&listed(&client, TOP_OF, None, None).await?, *limit as usize, *by);
            Ok(output::list(settings.output, &TOP_COLUMNS, &rows)?)
        }
        ConflictsCommand::Watch { key } => watch(&client, key.as_ref(), settings.output).await,
        ConflictsCommand::Explain { id } => {
            let mut rows = Vec::new();
            for met in listed(&client, 0, None, Some(*id)).await? {
                rows.push(explained(&client, &met).await?);
            }
            Ok(output::list(settings.output, &EXPLAIN_COLUMNS, &rows)?)
        }
    }
}

async fn listed(
    client: &Client,
    limit: u32,
    key: Option<&Key>,
    tid: Option<Tid>,
) -> Result<Vec<Conflict>, ClientError> {
    let found = client.conflicts(limit, key, tid).await?;
    for group in &found.unreachable {
        eprintln!("the leader of group {group} did not answer: its conflicts are missing");
    }
    Ok(found.conflicts)
}

/// Follows for as long as somebody reads; goes on where it was when a node has gone.
async fn watch(client: &Client, key: Option<&Key>, form: Output) -> anyhow::Result<()> {
    let mut resume = Vec::new();
    loop {
        let mut feed = client.watch_conflicts(key, None, &resume).await?;
        loop {
            let met = match feed.next().await {
                Ok(Some(met)) => met,
                Ok(None) => break,
                Err(error) => {
                    eprintln!("vatic: {error}");
                    break;
                }
            };
            output::line(&match form {
                Output::Table => told(&met),
                Output::Json | Output::Ndjson => of_conflict(&met).to_string(),
            })?;
        }
        resume = feed.resume().to_vec();
        tokio::time::sleep(AGAIN).await;
    }
}

fn told(met: &Conflict) -> String {
    let (group, tid) = (met.group, met.tid);
    let came = met.rollback.as_ref().map_or("it was committed", |rollback| &rollback.message);
    match &met.strayed {
        None => format!("group {group}: {tid}: {came}"),
        Some(Strayed { score, tolerance, validation, .. }) => format!(
            "group {group}: {tid}: strayed from its forecast, score {score:.2}, tolerance \
             {tolerance:.2}, {}: {came}",
            validation.name()
        ),
    }
}

fn key_of(met: &Conflict) -> Option<&Key> {
    met.rollback.as_ref()?.key.as_ref()
}

/// A conflict with how many others there were on its record around then.
async fn explained(client: &Client, met: &Conflict) -> Result<Json, ClientError> {
    let around = match key_of(met).filter(|_| met.strayed.is_none()) {
        Some(key) => listed(client, TOP_OF, Some(key), None).await?,
        None => Vec::new(),
    };
    let others = around
        .iter()
        .filter(|other| other.at_us.abs_diff(met.at_us) <= AROUND_US && other.tid != met.tid);
    let others = others.count();
    let mut row = of_conflict(met);
    row["conflicts_around"] = json!(others);
    row["would_have_helped"] = json!(would_have_helped(met, others));
    Ok(row)
}

/// What is known to make such a conflict less likely.
fn would_have_helped(met: &Conflict, others: usize) -> &'static str {
    let Some(rollback) = met.rollback.as_ref().filter(|_| met.strayed.is_none()) else {
        return "nobody was in its way by that: `anomalies ls` tells how it strayed";
    };
    match rollback.cause {
        _ if met.in_turn => "nothing that is known: it had its turn",
        Cause::StaleRange => "a smaller range, or expectations of single records",
        _ if others >= HOT_OTHERS => "a turn in the key lane: the record is hot",
        Cause::Locked => "to come later, or a turn in the key lane",
        _ => "less time between its read and its seal, or a turn in the key lane",
    }
}

pub(crate) async fn model(command: &ModelCommand, settings: &Settings) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    match command {
        ModelCommand::Ls => {
            let rows: Vec<Json> = client.models().await?.iter().map(of_model).collect();
            Ok(output::list(settings.output, &MODEL_COLUMNS, &rows)?)
        }
        ModelCommand::Show { number } => {
            let found = client.shared_models().await?;
            show(&found, *number, settings.output)
        }
        ModelCommand::Pin { number } if number == "newest" => Ok(client.pin_model(None).await?),
        ModelCommand::Pin { number } => {
            let bad = |_| Failed::usage(format!("{number:?} is neither a version nor `newest`"));
            Ok(client.pin_model(Some(number.parse().map_err(bad)?)).await?)
        }
        ModelCommand::Rollback => {
            let found = client.shared_models().await?;
            let Some(before) = before(&found) else {
                return Err(Failed::usage("there is no model before it".to_owned()).into());
            };
            client.pin_model(Some(before)).await?;
            Ok(output::object(settings.output, &json!({ "pinned": before }))?)
        }
    }
}

fn show(found: &SharedModels, version: Option<u64>, form: Output) -> anyhow::Result<()> {
    let Some(version) = version else {
        let rows: Vec<Json> = found.models.iter().map(|model| of_shared(model, found)).collect();
        return Ok(output::list(form, &SHARED_COLUMNS, &rows)?);
    };
    let Some(model) = found.models.iter().find(|model| model.version == version) else {
        return Err(Failed::usage(format!("there is no model of version {version}")).into());
    };
    let rows: Vec<Json> = model.weights.iter().map(of_weight).collect();
    Ok(output::list(form, &WEIGHT_COLUMNS, &rows)?)
}

fn of_weight((feature, of, log_odds): &(u32, String, f64)) -> Json {
    json!({ "feature": feature, "of": of, "log_odds": log_odds })
}

/// The version before the one in force, of those that are kept.
fn before(found: &SharedModels) -> Option<u64> {
    let newest = found.models.last()?.version;
    let in_force = found.pinned.unwrap_or(newest);
    found.models.iter().rev().map(|model| model.version).find(|version| *version < in_force)
}

fn of_shared(model: &SharedModel, found: &SharedModels) -> Json {
    json!({
        "version": model.version,
        "node": model.node_id,
        "labels": model.labels,
        "weights": model.weights.len(),
        "pinned": found.pinned == Some(model.version),
    })
}

/// Records by what conflicts on them cost.
fn top(conflicts: &[Conflict], limit: usize, by: By) -> Vec<Json> {
    let mut by_key: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for met in conflicts.iter().filter(|met| met.strayed.is_none()) {
        let key = key_of(met).map_or("(a range)".to_owned(), ToString::to_string);
        let (count, lost_us, in_turn) = by_key.entry(key).or_default();
        *count += 1;
        *lost_us += met.lost_us;
        *in_turn += u64::from(met.in_turn);
    }
    let mut rows: Vec<_> = by_key.into_iter().collect();
    rows.sort_by_key(|(_, (count, lost_us, _))| match by {
        By::Conflicts => Reverse((*count, *lost_us)),
        By::Lost => Reverse((*lost_us, *count)),
    });
    rows.truncate(limit);
    let row = |(key, (count, lost_us, in_turn)): (String, (u64, u64, u64))| {
        // Who took no turn could have; of who did, nobody knows.
        let helps = (in_turn < count).then_some("a turn in the key lane");
        json!({
            "key": key,
            "conflicts": count,
            "lost_ms": ms(lost_us),
            "in_turn": in_turn,
            "would_have_helped": helps,
        })
    };
    rows.into_iter().map(row).collect()
}

fn of_record(record: &RecordOutlook) -> Json {
    let reasons = record.reasons.iter().map(|(of, share)| format!("{of} {share:+.2}"));
    json!({
        "key": record.key.to_string(),
        "group": record.group,
        "probability": share(record.score_ppm),
        "course": if record.in_turn { "in_turn" } else { "at_once" },
        "wait_ms": ms(record.wait_us),
        "typical_ms": record.typical_us.map(ms),
        "ahead": record.ahead,
        "undecided_transaction_id": record.undecided.map(|tid| tid.to_string()),
        "reasons": reasons.collect::<Vec<_>>().join(", "),
        "model_version": record.model_version,
    })
}

fn of_conflict(met: &Conflict) -> Json {
    let mut row = match &met.rollback {
        Some(rollback) => txn::of_rollback(rollback),
        None => json!({ "transaction_id": met.tid.to_string(), "state": "committed" }),
    };
    row["what"] = json!(if met.strayed.is_some() { "strayed" } else { "conflict" });
    if let Some(Strayed { class, score, tolerance, validation }) = met.strayed {
        row["class"] = json!(format!("{class:08x}"));
        row["score"] = json!(score);
        row["tolerance"] = json!(tolerance);
        row["validation"] = json!(validation.name());
    }
    row["at_unix_ms"] = json!(met.at_us / 1_000);
    row["node"] = json!(met.node_id);
    row["group"] = json!(met.group);
    row["place"] = json!(met.place);
    row["claimed"] = json!(met.claimed);
    row["in_turn"] = json!(met.in_turn);
    row["foreseen"] = json!(share(met.score_ppm));
    row["model_version"] = json!(met.model_version);
    row["lost_ms"] = json!(ms(met.lost_us));
    row
}

fn of_model(model: &Model) -> Json {
    json!({
        "node": model.node_id,
        "mode": model.mode,
        "version": model.version,
        "labels": model.labels,
        "passed_over": model.passed_over,
        "promotions": model.promotions,
        "reverts": model.reverts,
        "switched_off": model.switched_off.join(" "),
        "factors_active": model.factors_active,
        "shared": model.shared,
        "forecasters": model.forecasters_version,
    })
}

/// Parts per million as a share of one.
fn share(ppm: Option<u32>) -> Option<f64> {
    ppm.map(|ppm| f64::from(ppm) / 1e6)
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}
