//! Steps in the protocol's own words, for counterexamples.

use crate::commit::model::{Fate, Step};
use std::fmt;
use vatic_core::command::Command;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Client(plan) => write!(f, "client {plan} goes on"),
            Step::Apply(request, fate) => {
                let (group, machine) = (request.group, request.machine);
                write!(f, "group {group} applies, for coordinator {machine}, ")?;
                command(f, &request.command)?;
                match fate {
                    Fate::Arrives => Ok(()),
                    Fate::Lost => write!(f, " (the reply is lost)"),
                    Fate::Late => write!(f, " (the reply is late)"),
                }
            }
            Step::Deliver(delivery) => {
                let (group, machine) = (delivery.group, delivery.machine);
                write!(f, "coordinator {machine} hears from group {group}: {:?}", *delivery.reply)
            }
            Step::Stop(machine) => write!(f, "coordinator {machine} stops"),
            Step::GiveUp(machine) => write!(f, "coordinator {machine} gives up waiting"),
            Step::Recover { machine, group } => {
                write!(f, "coordinator {machine} starts to recover what it met in group {group}")
            }
            Step::Read { reader, at } => write!(f, "reader {reader} goes on ({at})"),
            Step::Sweep { group } => write!(f, "group {group} sweeps abandoned stages"),
            Step::Forget { group, plan } => {
                write!(f, "group {group} is told to forget up to transaction {plan}")
            }
            Step::Advance { group, to } => write!(f, "group {group} is told to advance to {to}"),
            Step::Collect { group, horizon } => {
                write!(f, "group {group} is told to collect up to {horizon}")
            }
        }
    }
}

fn command(f: &mut fmt::Formatter<'_>, command: &Command) -> fmt::Result {
    match command {
        Command::Vote(vote) => write!(f, "vote on {:?}", vote.body.tid),
        Command::Force { tid, .. } => write!(f, "force a vote on {tid:?}"),
        Command::Decide { tid, decision, .. } => write!(f, "decide {tid:?}: {decision:?}"),
        Command::Stage { tid, .. } => write!(f, "stage for {tid:?}"),
        other => write!(f, "{other:?}"),
    }
}
