//! States and steps in the protocol's own words.

use crate::{
    commit::{
        client::group_id,
        words::{decision, standing},
    },
    digest::{
        ledger::Ledger,
        model::{Scroll, Step},
        property::{NOTHING, PREMISES, issued},
        stream::numbers,
        world::{Gateway, Issued, Request, Sender, Slot, World},
    },
    narrate::{Narrated, Panel},
    premise::{Noted, Premise},
};
use vatic_core::command::Command;

impl Narrated for Scroll {
    fn name(&self) -> &'static str {
        self.scenario.name
    }

    fn refuted(&self) -> &'static str {
        NOTHING
    }

    fn premises(&self) -> &'static [Premise<Scroll>] {
        PREMISES
    }

    fn noted(&self) -> &Noted {
        &self.noted
    }

    fn say_step(&self, _: &World, step: &Step) -> String {
        match step {
            Step::Arrive { at, damaged: false } => format!("transition {} arrives", at + 1),
            Step::Arrive { at, damaged: true } => {
                format!("transition {} arrives with a changed byte", at + 1)
            }
            Step::Stage { group } => {
                format!("the gateway stages what it has for group {}", group_id(*group))
            }
            Step::Seal { forgery: None } => "the gateway seals; a driver asks for votes".into(),
            Step::Seal { forgery: Some(forgery) } => {
                format!("the gateway seals and hands over a forgery: {forgery:?}")
            }
            Step::Entry { group, batch, heard } => {
                let commands: Vec<String> = batch.iter().map(command).collect();
                let lost = if *heard { "" } else { "; the replies are lost" };
                let (group, commands) = (group_id(*group), commands.join(", then "));
                format!("group {group} applies an entry: {commands}{lost}")
            }
            Step::GiveUp => "the driver stops waiting for votes".into(),
            Step::Recover { group } => {
                format!("a recoverer meets the transaction in group {}", group_id(*group))
            }
            Step::Crash { group } => {
                format!("group {} is opened anew on its state", group_id(*group))
            }
        }
    }

    fn say_state(&self, world: &World) -> Vec<Panel> {
        let mut panels = vec![Panel::new("client", "the stream", self.stream_lines(world))];
        for (name, slot) in ["driver", "recoverer"].into_iter().zip(&world.machines) {
            panels.push(Panel::new("coordinator", name, machine(slot)));
        }
        for (at, ledger) in world.ledgers.iter().enumerate() {
            let title = format!("group {}", group_id(at));
            panels.push(Panel::new("group", title, self.ledger_lines(at, ledger)));
        }
        let receipts = issued(world).map(receipt).collect();
        panels.push(Panel::new("observer", "receipts given out", receipts));
        let wire = world
            .requests
            .iter()
            .map(|request| format!("→ group {}: {}", group_id(request.group), command(request)));
        panels.push(Panel::new("wire", "may be proposed", wire.collect()));
        panels
    }
}

impl Scroll {
    fn stream_lines(&self, world: &World) -> Vec<String> {
        let sent = self.stream.deltas.len();
        let mut lines = vec![format!("{sent} transitions, head {:?}", self.stream.seal.head)];
        match &world.gateway {
            Gateway::Streaming(draft) => {
                let seal = draft.seal();
                lines.push(format!(
                    "the gateway has {}, its chain is at {:?}",
                    seal.count, seal.head
                ));
            }
            Gateway::Sealed(sealed) => {
                let digest = sealed.body.digest();
                lines.push(format!("sealed as body {digest:?} of {:?}", sealed.body.tid));
                for segment in &sealed.body.segments {
                    let (group, first, last) = (segment.group, segment.first, segment.last);
                    lines.push(format!("segment {first}–{last} in group {group}"));
                }
                lines.extend(sealed.forgery.map(|forgery| format!("FORGED: {forgery:?}")));
            }
        }
        lines
    }

    fn ledger_lines(&self, at: usize, ledger: &Ledger) -> Vec<String> {
        let head = ledger.heads.last().copied().unwrap_or_default();
        let mut lines = vec![format!("{} entries, chain at {head:?}", ledger.entries())];
        lines.push(format!("the transaction: {}", standing(&ledger.standing)));
        let record = ledger.group.peek(&ledger.state, &self.stream.keys[at]).0;
        lines.push(format!("record: transitions {:?}", numbers(record.fields.as_ref())));
        if at + 1 == self.scenario.groups {
            let watched = ledger.group.peek(&ledger.state, &self.stream.watched).0;
            lines.push(format!("watched record: version {}", watched.version));
        }
        let staged = ledger.group.staged(&ledger.state).len();
        lines.extend((staged > 0).then(|| "holds a stage".to_owned()));
        lines.extend(ledger.stale_yes.then(|| "voted Yes on an overwritten read".to_owned()));
        lines.extend(ledger.broken.as_ref().map(|why| format!("BROKEN: {why}")));
        lines
    }
}

fn machine(slot: &Slot) -> Vec<String> {
    match slot {
        Slot::Idle => vec!["not started".into()],
        Slot::Failed(why) => vec![format!("FAILED: {why}")],
        Slot::Working(machine) => {
            let proofs = format!("{} proofs", machine.proofs().len());
            let found = match machine.decision() {
                None => "undecided".into(),
                Some(found) => format!("decided: it {}", decision(found)),
            };
            vec![found, proofs]
        }
    }
}

fn receipt(issued: &Issued) -> String {
    let accepted = if issued.accepted { "verifies" } else { "DOES NOT verify" };
    let proofs = issued.receipt.proofs.iter();
    let places: Vec<String> =
        proofs.map(|proof| format!("entry {} of group {}", proof.index, proof.group)).collect();
    format!("at {}, {}: {accepted} against what was sent", issued.receipt.ts, places.join(", "))
}

fn command(request: &Request) -> String {
    let from = match request.from {
        Sender::Gateway => "the gateway's",
        Sender::Forger => "a damaged",
        Sender::Machine(0) => "the driver's",
        Sender::Machine(_) => "the recoverer's",
        Sender::Rival => "the other transaction's",
    };
    match &*request.command {
        Command::Vote(_) => format!("{from} vote"),
        Command::Force { .. } => format!("{from} forced No"),
        Command::Decide { decision: found, .. } => {
            format!("{from} decision: it {}", decision(found))
        }
        Command::Stage { transitions, .. } => {
            let numbers: Vec<String> = transitions.iter().map(|t| t.seq.to_string()).collect();
            format!("{from} stage of transitions {}", numbers.join(", "))
        }
        other => format!("{other:?}"),
    }
}
