//! The log of this process, on stderr.
//!
//! Level by `VATIC_LOG`, else `RUST_LOG`, as `level` or `target=level,...`; format by
//! `--log-format`, `VATIC_LOG_FORMAT` or the file's `log_format`. A transaction is a span of the
//! target `vatic::transaction` at level debug, written when it ends, with its times; slow
//! transactions are of the target `vatic::slow`.

use std::io::{IsTerminal, stderr};
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::args::{Cli, Command, LogFormat};
use crate::exit::Failed;
use crate::settings;

/// Where levels are looked for; the first that is set counts.
const LEVELS: [&str; 2] = ["VATIC_LOG", "RUST_LOG"];

/// Starts to log, for the whole process.
pub(crate) fn start(cli: &Cli) {
    let serves = matches!(cli.command, Command::Start(_));
    // Raft's own account of itself is for who looks into Raft.
    let filter = filter(if serves { "info,openraft=error" } else { "warn" });
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(colour);
    match format(cli.shared.log_format, cli.shared.config.as_deref().filter(|_| serves)) {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn filter(default: &str) -> EnvFilter {
    let given = LEVELS.iter().find_map(|name| std::env::var(name).ok());
    let given = given.filter(|given| !given.is_empty());
    match given.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => filter,
        Some(Err(error)) => {
            eprintln!("vatic: the log level is not understood, {default} is taken: {error}");
            EnvFilter::new(default)
        }
        None => EnvFilter::new(default),
    }
}

/// Refuses a file's `log_format` that is none. It has been read by then, when the log started.
pub(crate) fn check(format: Option<toml::Value>) -> Result<(), Failed> {
    let Some(format) = format else { return Ok(()) };
    let known: Result<LogFormat, toml::de::Error> = format.try_into();
    let refused =
        |error: toml::de::Error| Failed::usage(format!("log_format: {}", error.message()));
    known.map(drop).map_err(refused)
}

/// What is wrong with the file is said when the command reads it.
fn format(given: Option<LogFormat>, file: Option<&Path>) -> LogFormat {
    let in_file = || {
        let table = settings::read(file?).ok()?;
        table.get("log_format")?.clone().try_into().ok()
    };
    given.or_else(in_file).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_of_the_flag_beats_the_file_and_the_file_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vatic.toml");
        std::fs::write(&file, "node = 1\nlog_format = 'json'\n").unwrap();
        assert_eq!(format(Some(LogFormat::Text), Some(&file)), LogFormat::Text);
        assert_eq!(format(None, Some(&file)), LogFormat::Json);
        assert_eq!(format(None, None), LogFormat::Text);
        assert!(check(None).is_ok() && check(Some("json".into())).is_ok());
        assert!(check(Some("xml".into())).unwrap_err().to_string().contains("log_format"));
    }
}
