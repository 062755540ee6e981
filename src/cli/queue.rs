//! `vatic enqueue` and `vatic queue`: transactions that nobody waits for.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use vatic_client::{Request, TicketState};
use vatic_core::delta::Delta;

use crate::args::Output;
use crate::exit::{Exit, Failed};
use crate::output;
use crate::script::Step;
use crate::settings::Settings;
use crate::txn;

/// Between two looks at a queue that drains.
const LOOK_AGAIN_MS: u64 = 100;

#[derive(Debug, Args)]
pub(crate) struct EnqueueArgs {
    /// The script, as of `txn` but without reads; `-`: stdin
    #[arg(short, long, required = true)]
    pub(crate) file: Option<PathBuf>,
    /// Of those that wait, the higher goes first
    #[arg(long, default_value_t = 0)]
    pub(crate) priority: u8,
    /// Wait so long for it to happen
    #[arg(long, default_value_t = 0)]
    pub(crate) wait_ms: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// How many wait, by group
    Status,
    /// Stop dispatching; what is under way ends
    Pause,
    /// Go on dispatching
    Resume,
    /// Wait until nothing waits any more
    Drain,
    /// How far a ticket is
    Ticket {
        /// As `enqueue` printed it
        ticket: String,
        /// Wait so long for it to be resolved
        #[arg(long, default_value_t = 0)]
        wait_ms: u32,
    },
    /// Take a ticket back, unless it happened
    Cancel {
        /// As `enqueue` printed it
        ticket: String,
    },
}

pub(crate) async fn enqueue(args: &EnqueueArgs, settings: &Settings) -> anyhow::Result<Exit> {
    let steps = txn::steps(args.file.as_deref().context("clap requires a file")?)?;
    let mut deltas: Vec<Delta> = Vec::new();
    for step in steps {
        match step {
            Step::Write(delta) => deltas.push(delta),
            Step::Get(_) | Step::Scan(_) => {
                let said = "nobody is there to read for: a ticket's script has no `get` and `scan`";
                return Err(Failed::usage(said).into());
            }
        }
    }
    let client = settings.connect().await?;
    let request = Request::mint();
    let ticket = client.enqueue(Some(&request), args.priority, &deltas).await?;
    if args.wait_ms == 0 {
        output::object(settings.output, &json!({"ticket": ticket, "state": "queued"}))?;
        return Ok(Exit::Ok);
    }
    let state = client.ticket(&ticket, args.wait_ms).await?;
    tell(&ticket, &state, settings.output)
}

pub(crate) async fn queue(command: &QueueCommand, settings: &Settings) -> anyhow::Result<Exit> {
    let client = settings.connect().await?;
    match command {
        QueueCommand::Ticket { ticket, wait_ms } => {
            let state = client.ticket(ticket, *wait_ms).await?;
            return tell(ticket, &state, settings.output);
        }
        QueueCommand::Cancel { ticket } => {
            let cancelled = client.cancel(ticket).await?;
            let state = client.ticket(ticket, 0).await?;
            tell(ticket, &state, settings.output)?;
            return Ok(if cancelled { Exit::Ok } else { Exit::Conflict });
        }
        QueueCommand::Pause => client.pause_queue(true).await?,
        QueueCommand::Resume => client.pause_queue(false).await?,
        QueueCommand::Drain => loop {
            let queue = client.queue().await?;
            if queue.groups.iter().all(|(_, queued)| *queued == 0) {
                break;
            }
            if queue.paused {
                return Err(Failed::usage("the queue is paused, and will not drain").into());
            }
            tokio::time::sleep(std::time::Duration::from_millis(LOOK_AGAIN_MS)).await;
        },
        QueueCommand::Status => {}
    }
    let queue = client.queue().await?;
    let groups = queue.groups.iter();
    let groups: Vec<Json> =
        groups.map(|(group, queued)| json!({"group": group, "queued": queued})).collect();
    match settings.output {
        Output::Table => {
            output::list(Output::Table, &["group", "queued"], &groups)?;
            output::line(if queue.paused { "paused" } else { "dispatching" })?;
        }
        form => output::object(form, &json!({"paused": queue.paused, "groups": groups}))?,
    }
    Ok(Exit::Ok)
}

/// Prints how far a ticket is: exit 4 where it cannot happen, 6 where nothing is known of it.
fn tell(ticket: &str, state: &TicketState, form: Output) -> anyhow::Result<Exit> {
    let (mut told, exit) = match state {
        TicketState::Unknown => (json!({"state": "unknown"}), Exit::OutcomeUnknown),
        TicketState::Queued => (json!({"state": "queued"}), Exit::Ok),
        TicketState::Committed { tid, version } => {
            let (tid, version) = (tid.to_string(), version.0);
            (json!({"state": "committed", "transaction_id": tid, "version": version}), Exit::Ok)
        }
        TicketState::RolledBack(message) => {
            (json!({"state": "rolled_back", "message": message}), Exit::Conflict)
        }
        TicketState::Cancelled => (json!({"state": "cancelled"}), Exit::Ok),
    };
    told["ticket"] = json!(ticket);
    output::object(form, &told)?;
    Ok(exit)
}
