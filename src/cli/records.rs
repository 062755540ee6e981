//! Single records: `get`, `put`, `merge`, `add`, `del`, `scan`.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use vatic_client::{Committed, ScanOptions};
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Timestamp;
use vatic_core::key::{Key, KeyRange};

use crate::args::{AddArgs, DelArgs, FieldsArgs, GetArgs, Output, ScanArgs};
use crate::exit::Failed;
use crate::json;
use crate::notices;
use crate::output;
use crate::settings::Settings;

const COLUMNS: [&str; 3] = ["key", "version", "fields"];

pub(crate) async fn get(args: &GetArgs, settings: &Settings) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    let record = client.get_at(&args.key, args.at.map(Timestamp)).await?;
    match (&record, settings.output) {
        (Some(record), Output::Table) => {
            output::list(Output::Table, &COLUMNS, &[json::of_record(record)])?;
        }
        (Some(record), _) => output::line(&json::of_record(record).to_string())?,
        (None, Output::Json) => output::line("null")?,
        (None, _) => eprintln!("{} is absent", args.key),
    }
    Ok(())
}

pub(crate) async fn put(args: &FieldsArgs, settings: &Settings) -> anyhow::Result<()> {
    each_once(args)?;
    let op = Op::Put(args.fields.iter().cloned().collect());
    submit(with_expectation(&args.key, args.if_version, vec![op]), settings).await
}

/// Refuses a field that is named twice: one of both would be lost.
fn each_once(args: &FieldsArgs) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    match args.fields.iter().find(|(field, _)| !seen.insert(field)) {
        Some((field, _)) => Err(Failed::usage(format!("field {field:?} is named twice")).into()),
        None => Ok(()),
    }
}

pub(crate) async fn merge(args: &FieldsArgs, settings: &Settings) -> anyhow::Result<()> {
    if args.fields.is_empty() {
        return Err(Failed::usage("merge needs FIELD=JSON").into());
    }
    each_once(args)?;
    let op = Op::Merge(args.fields.iter().cloned().collect());
    submit(with_expectation(&args.key, args.if_version, vec![op]), settings).await
}

pub(crate) async fn add(args: &AddArgs, settings: &Settings) -> anyhow::Result<()> {
    let ops = args.additions.iter().map(|(field, by)| Op::Add { field: field.clone(), by: *by });
    submit(with_expectation(&args.key, None, ops.collect()), settings).await
}

pub(crate) async fn del(args: &DelArgs, settings: &Settings) -> anyhow::Result<()> {
    let op = args.field.clone().map_or(Op::Delete, Op::RemoveField);
    submit(with_expectation(&args.key, args.if_version, vec![op]), settings).await
}

pub(crate) async fn scan(args: &ScanArgs, settings: &Settings) -> anyhow::Result<()> {
    if !args.partition.sort.is_empty() {
        let message = format!("{} names a record; scan takes COLLECTION/PARTITION", args.partition);
        return Err(Failed::usage(message).into());
    }
    let range = KeyRange {
        collection: args.partition.collection.clone(),
        partition: args.partition.partition.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
    };
    let options = ScanOptions { limit: args.limit, at: args.at.map(Timestamp) };
    let client = settings.connect().await?;
    if settings.output == Output::Ndjson {
        // A line goes out as soon as its chunk is in: a scan may be longer than memory.
        let mut scan = client.scan(&range, options).await?;
        while let Some(records) = scan.next_chunk().await? {
            let rows: Vec<Json> = records.iter().map(json::of_record).collect();
            output::list(Output::Ndjson, &COLUMNS, &rows)?;
        }
        return Ok(());
    }
    let records = client.scan_all(&range, options).await?;
    let rows: Vec<Json> = records.iter().map(json::of_record).collect();
    Ok(output::list(settings.output, &COLUMNS, &rows)?)
}

/// The operations on one record, guarded by the version that it must have.
fn with_expectation(key: &Key, version: Option<u64>, ops: Vec<Op>) -> Vec<Delta> {
    let expect = version.map(|version| Op::Expect(Expect::Version(Timestamp(version))));
    expect.into_iter().chain(ops).map(|op| Delta { key: key.clone(), op }).collect()
}

async fn submit(deltas: Vec<Delta>, settings: &Settings) -> anyhow::Result<()> {
    let committed = settings.connect().await?.submit(&deltas).await?;
    Ok(output::object(settings.output, &of_commit(&committed))?)
}

/// A commit as it is printed.
pub(crate) fn of_commit(committed: &Committed) -> Json {
    let mut result = json!({
        "transaction_id": committed.tid.to_string(),
        "commit_version": committed.version.0,
        "groups": committed.participants.iter().map(|group| group.0).collect::<Vec<_>>(),
    });
    let beside = (committed.unjudged, committed.resolution);
    notices::add_verdict(&mut result, committed.verdict.as_ref(), beside);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_version_comes_before_the_write() {
        let key: Key = "c/p".parse().unwrap();
        let deltas = with_expectation(&key, Some(0), vec![Op::Delete]);
        assert_eq!(deltas[0].op, Op::Expect(Expect::Version(Timestamp::ZERO)));
        assert_eq!(deltas[1].op, Op::Delete);
        assert_eq!(with_expectation(&key, None, vec![Op::Delete]).len(), 1);
    }
}
