//! `vatic start`: one node.
//!
//! The configuration is one TOML table: the file, overlaid by what flags and `VATIC_*` say, read by
//! the server's own types. So flags and file cannot drift apart, and a misspelt key is refused.

use std::future::Future;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use toml::{Table, Value};
use vatic_server::Config;

use crate::args::{Member, StartArgs};
use crate::exit::Failed;
use crate::{logging, settings};

/// What `--without` takes.
pub(crate) use vatic_server::Mechanism;

const DATA_DIR: &str = "vatic-data";
const CLIENT_LISTEN: &str = "127.0.0.1:7400";
const PEER_LISTEN: &str = "127.0.0.1:7500";

pub(crate) async fn run(args: &StartArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let mut table = file.map(settings::read).transpose()?.unwrap_or_default();
    table.remove("client");
    logging::check(table.remove("log_format"))?;
    let config = config(args, table)?;
    end_at_panic();
    let stop = stop_asked(args.stop_with_stdin)?;
    vatic_server::run(config, stop).await?;
    Ok(())
}

/// Whatever panics ends the node, as a fault of its disk does. What it panicked in may be half
/// done; and a task that died alone would leave a group unswept, or uncompared, and nobody would
/// notice.
fn end_at_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        eprintln!("vatic: this node cannot go on: it panicked");
        std::process::abort();
    }));
}

fn config(args: &StartArgs, mut table: Table) -> Result<Config, Failed> {
    overlay(args, &mut table);
    complete(&mut table);
    checked(table)
}

/// A whole table as a configuration that holds together.
pub(crate) fn checked(table: Table) -> Result<Config, Failed> {
    let config: Config = Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        Failed::usage(format!("configuration: {}", error.message()))
    })?;
    config.check().map_err(|error| Failed::usage(format!("configuration: {error}")))?;
    Ok(config)
}

/// What was said on the command line or in the environment wins.
fn overlay(args: &StartArgs, table: &mut Table) {
    let data_dir = args.data_dir.as_ref().map(|path| path.display().to_string());
    let record_events = args.record_events.as_ref().map(|path| path.display().to_string());
    let texts = [
        ("cluster", &args.cluster),
        ("data_dir", &data_dir),
        ("client_listen", &args.client_listen),
        ("peer_listen", &args.peer_listen),
        ("admin_listen", &args.admin_listen),
        ("client_endpoint", &args.client_endpoint),
        ("record_events", &record_events),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            table.insert(name.to_owned(), Value::String(text.clone()));
        }
    }
    let numbers = [("node", args.node), ("groups", args.groups), ("replicas", args.replicas)];
    for (name, number) in numbers {
        if let Some(number) = number {
            table.insert(name.to_owned(), Value::Integer(number.into()));
        }
    }
    if !args.without.is_empty() {
        let names = args.without.iter().map(|name| Value::String(name.clone()));
        table.insert("without".to_owned(), Value::Array(names.collect()));
    }
    if !args.members.is_empty() {
        table.insert("members".to_owned(), members(&args.members));
    }
}

/// What nobody said.
fn complete(table: &mut Table) {
    table.entry("node").or_insert(Value::Integer(1));
    for (name, text) in
        [("data_dir", DATA_DIR), ("client_listen", CLIENT_LISTEN), ("peer_listen", PEER_LISTEN)]
    {
        table.entry(name).or_insert(Value::String(text.to_owned()));
    }
    if !table.contains_key("members") {
        let alone = Table::from_iter([
            ("node".to_owned(), table["node"].clone()),
            ("peer".to_owned(), table["peer_listen"].clone()),
        ]);
        table.insert("members".to_owned(), Value::Array(vec![Value::Table(alone)]));
    }
}

fn members(members: &[Member]) -> Value {
    let table = |member: &Member| {
        Value::Table(Table::from_iter([
            ("node".to_owned(), Value::Integer(member.node.into())),
            ("peer".to_owned(), Value::String(member.peer.clone())),
        ]))
    };
    Value::Array(members.iter().map(table).collect())
}

/// Ends at SIGINT or SIGTERM; with `stdin`, also when whoever started this node is gone.
fn stop_asked(stdin: bool) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stdin_ended = stdin_ended(stdin);
    Ok(async move {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stdin_ended => {}
        }
    })
}

/// A thread of its own reads: tokio's would keep the runtime from ending while stdin is open.
async fn stdin_ended(watch: bool) {
    let (ended, told) = tokio::sync::oneshot::channel();
    if watch {
        std::thread::spawn(move || {
            // Whatever comes is of no interest; an error is as good as the end.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = ended.send(());
        });
        let _ = told.await;
    } else {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_said_is_a_node_on_its_own() {
        let config = config(&StartArgs::default(), Table::new()).unwrap();
        assert_eq!((config.node, config.members.len()), (1, 1));
        assert_eq!(config.client_listen, CLIENT_LISTEN);
        assert_eq!(config.members[0].peer, PEER_LISTEN);
    }

    #[test]
    fn flag_beats_file() {
        let file = table("node = 2\ngroups = 7\nmembers = [{node = 2, peer = 'h:1'}]");
        let args = StartArgs { groups: Some(3), ..StartArgs::default() };
        let config = config(&args, file).unwrap();
        assert_eq!((config.node, config.groups), (2, 3));
    }

    #[test]
    fn mechanisms_to_do_without_are_known_ones() {
        let without = |name: &str| {
            let args = StartArgs { without: vec![name.to_owned()], ..StartArgs::default() };
            config(&args, Table::new())
        };
        for mechanism in Mechanism::ALL {
            assert_eq!(without(mechanism.name()).unwrap().without, [mechanism]);
        }
        let error = without("lane").unwrap_err().to_string();
        assert!(error.contains("`lane`") && error.contains("`lanes`"), "{error}");
    }

    #[test]
    fn misspelt_key_and_missing_member_are_named() {
        let error = config(&StartArgs::default(), table("grups = 7")).unwrap_err();
        assert!(error.to_string().contains("grups"), "{error}");
        let members = vec![Member { node: 2, peer: "h:1".into() }];
        let args = StartArgs { members, ..StartArgs::default() };
        let error = config(&args, Table::new()).unwrap_err();
        assert!(error.to_string().contains("node 1"), "{error}");
    }
}
