//! `vatic policy`: what collections ask for.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use vatic_core::policy::Validation;

use crate::output;
use crate::settings::Settings;

const COLUMNS: [&str; 2] = ["collection", "validation"];

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print the policies that are not the default (validation `resolve`)
    Ls,
    /// Set a collection's policy
    Set {
        /// The collection
        collection: String,
        /// What a transaction that strays from its forecast comes to
        #[arg(long, value_enum)]
        validation: Asked,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Asked {
    /// It is told, and commits like any other
    Observe,
    /// It is tried out first, and waits while somebody decides on what it touches
    Resolve,
    /// It is rolled back
    Enforce,
}

pub(crate) async fn policy(command: &PolicyCommand, settings: &Settings) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    match command {
        PolicyCommand::Ls => {
            let set = client.validations().await?;
            let row = |(collection, validation): (&String, &Validation)| {
                let validation = name(*validation);
                json!({ "collection": collection, "validation": validation })
            };
            let rows: Vec<Json> = set.iter().map(row).collect();
            Ok(output::list(settings.output, &COLUMNS, &rows)?)
        }
        PolicyCommand::Set { collection, validation } => {
            let validation = match validation {
                Asked::Observe => Validation::Observe,
                Asked::Resolve => Validation::Resolve,
                Asked::Enforce => Validation::Enforce,
            };
            Ok(client.set_validation(collection, validation).await?)
        }
    }
}

fn name(validation: Validation) -> &'static str {
    match validation {
        Validation::Observe => "observe",
        Validation::Resolve => "resolve",
        Validation::Enforce => "enforce",
    }
}
