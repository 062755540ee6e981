//! What flags and environment leave open: the TOML file, then the defaults.
//!
//! clap has merged flags with `VATIC_*` already; here comes the rest. The file's table `[client]`
//! is for the commands that ask a cluster; everything else in it is the node's
//! (see [`crate::start`]).

use std::path::Path;

use anyhow::Context;
use vatic_client::{Client, Limits, Options};

use crate::args::{Output, Shared};
use crate::exit::Failed;

const ENDPOINT: &str = "http://127.0.0.1:7400";
const TIMEOUT_MS: u64 = 10_000;

/// The settings of a command that asks a cluster, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) endpoints: Vec<String>,
    pub(crate) output: Output,
    pub(crate) timeout_ms: u64,
}

/// The file's `[client]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    endpoints: Option<Vec<String>>,
    output: Option<Output>,
    timeout_ms: Option<u64>,
}

impl Settings {
    pub(crate) fn of(shared: &Shared) -> anyhow::Result<Settings> {
        let mut file = match &shared.config {
            Some(path) => read(path)?,
            None => toml::Table::new(),
        };
        Settings::merged(shared, file.remove("client"))
    }

    fn merged(shared: &Shared, client: Option<toml::Value>) -> anyhow::Result<Settings> {
        let file: InFile = match client {
            Some(table) => table.try_into().map_err(|error: toml::de::Error| {
                Failed::usage(format!("configuration file, [client]: {}", error.message()))
            })?,
            None => InFile::default(),
        };
        let given = Some(shared.endpoints.clone()).filter(|endpoints| !endpoints.is_empty());
        Ok(Settings {
            endpoints: given.or(file.endpoints).unwrap_or_else(|| vec![ENDPOINT.to_owned()]),
            output: shared.output.or(file.output).unwrap_or_default(),
            timeout_ms: shared.timeout_ms.or(file.timeout_ms).unwrap_or(TIMEOUT_MS),
        })
    }

    /// A client that spends no more than the timeout on any one operation.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let mut limits = Limits::production();
        limits.operation_ms = self.timeout_ms;
        limits.call_ms = limits.call_ms.min(self.timeout_ms);
        limits.stream_ms = self.timeout_ms;
        let options = Options { limits, ..Options::default() };
        Ok(Client::connect(&self.endpoints, options).await?)
    }
}

/// The configuration file as it is.
pub(crate) fn read(path: &Path) -> anyhow::Result<toml::Table> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::usage(format!("{}: {error}", path.display())))?;
    text.parse::<toml::Table>()
        .map_err(|error| Failed::usage(error.to_string()))
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Option<toml::Value> {
        let text = "[client]\nendpoints = ['http://file:1']\noutput = 'json'\ntimeout_ms = 5";
        text.parse::<toml::Table>().unwrap().remove("client")
    }

    #[test]
    fn flag_beats_file_and_file_beats_default() {
        let shared = Shared { output: Some(Output::Ndjson), ..Shared::default() };
        let settings = Settings::merged(&shared, file()).unwrap();
        assert_eq!(settings.output, Output::Ndjson);
        assert_eq!(settings.endpoints, ["http://file:1"]);
        assert_eq!(settings.timeout_ms, 5);
        let settings = Settings::merged(&Shared::default(), None).unwrap();
        assert_eq!(settings.endpoints, [ENDPOINT]);
        assert_eq!((settings.output, settings.timeout_ms), (Output::Table, TIMEOUT_MS));
    }

    #[test]
    fn misspelt_key_in_the_file_is_named() {
        let table = "[client]\nendpoint = 'x'".parse::<toml::Table>().unwrap().remove("client");
        let error = Settings::merged(&Shared::default(), table).unwrap_err();
        assert!(error.to_string().contains("endpoint"), "{error}");
        assert_eq!(crate::exit::Exit::of(&error), crate::exit::Exit::Usage);
    }
}
