//! `vatic policy`: what collections ask for.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use vatic_core::policy::{PolicyChange, Validation};
use vatic_core::strategy::Strategy;

use crate::output;
use crate::settings::Settings;

const COLUMNS: [&str; 3] = ["collection", "validation", "strategy"];

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print the policies that are not the default (validation `resolve`, strategy `optimistic`)
    Ls,
    /// Set a collection's policy, or a part of it
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The collection
    collection: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct ChangeArgs {
    /// What a transaction that strays from its forecast comes to
    #[arg(long, value_parser = validations())]
    validation: Option<Validation>,
    /// What is done about conflicts of transactions that touch a record of it first
    #[arg(long, value_parser = strategies())]
    strategy: Option<Strategy>,
}

pub(crate) async fn policy(command: &PolicyCommand, settings: &Settings) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    match command {
        PolicyCommand::Ls => {
            let set = client.policies().await?;
            let rows = set.into_iter().map(|(collection, policy)| {
                json!({
                    "collection": collection,
                    "validation": policy.validation.name(),
                    "strategy": policy.strategy.name(),
                })
            });
            let rows: Vec<Json> = rows.collect();
            Ok(output::list(settings.output, &COLUMNS, &rows)?)
        }
        PolicyCommand::Set(SetArgs { collection, change }) => {
            let ChangeArgs { validation, strategy } = *change;
            let change = PolicyChange { validation, strategy };
            Ok(client.set_policy(collection, change).await?)
        }
    }
}

/// Reads a strategy by its name.
pub(crate) fn strategies() -> impl TypedValueParser<Value = Strategy> {
    named(Strategy::ALL, |strategy| {
        let (name, help) = (
            strategy.name(),
            match strategy {
                Strategy::Optimistic => "Roll back, and begin anew",
                Strategy::Rebase => "Apply to the newer version what commutes or merges with it",
                Strategy::Snapshot => "Read one moment; the first committer wins on writes",
                Strategy::Lock => "Wait for its turn with each record first",
                Strategy::LastWriterWins => "Write over whatever is there",
                Strategy::Adaptive => "Wait for its turn where that is foreseen to be cheaper",
            },
        );
        PossibleValue::new(name).help(help)
    })
}

fn validations() -> impl TypedValueParser<Value = Validation> {
    named(Validation::ALL, |validation| {
        let (name, help) = (
            validation.name(),
            match validation {
                Validation::Observe => "It is told, and commits like any other",
                Validation::Resolve => "It waits first while somebody decides on what it touches",
                Validation::Enforce => "It is rolled back",
                Validation::Quarantine => {
                    "It is rolled back, and kept aside: anomalies ls --quarantined"
                }
            },
        );
        PossibleValue::new(name).help(help)
    })
}

fn named<T, const N: usize>(
    all: [T; N],
    value: fn(T) -> PossibleValue,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.map(value)).map(move |name| {
        let named = |one: &T| value(*one).get_name() == name;
        all.into_iter().find(named).expect("it is one of these names")
    })
}
