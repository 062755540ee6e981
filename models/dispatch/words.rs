//! States and steps in the protocol's own words.

use crate::{
    dispatch::{
        model::{Desk, Flight, Step, Trial, What, World},
        property::{NOTHING, PREMISES},
    },
    narrate::{Narrated, Panel},
    premise::{Noted, Premise},
};

impl Narrated for Desk {
    fn name(&self) -> &'static str {
        self.scenario.name
    }

    fn refuted(&self) -> &'static str {
        NOTHING
    }

    fn premises(&self) -> &'static [Premise<Desk>] {
        PREMISES
    }

    fn noted(&self) -> &Noted {
        &self.noted
    }

    fn say_step(&self, world: &World, step: &Step) -> String {
        match *step {
            Step::Look(at) => format!("node {} looks, and begins what is due", at + 1),
            Step::CatchUp(at) => format!("node {} sees the queue as it is", at + 1),
            Step::Ask(at) => format!("node {} asks whether the queue is paused", at + 1),
            Step::Promote(at) => {
                format!("the shadow of ticket {} is clean, and sent", world.trials[at].ticket + 1)
            }
            Step::HoldBack(at) => {
                let ticket = world.trials[at].ticket + 1;
                format!("somebody is in the way of the shadow of ticket {ticket}")
            }
            Step::Apply(at) => format!("{} is applied", said(&world.flights[at])),
            Step::ApplyUnheard(at) => {
                format!("{} is applied, and its answer lost", said(&world.flights[at]))
            }
            Step::Lose(at) => format!("{} is lost", said(&world.flights[at])),
            Step::ChangeLeader => format!("node {} leads", 2 - world.leader),
            Step::Notice(at) => format!("node {} learns that it leads no more", at + 1),
            Step::Crash(at) => format!("node {} dies and comes back", at + 1),
            Step::Cancel(at) => format!("a client takes ticket {} back", at + 1),
            Step::TogglePause if world.paused => "the queue goes on".into(),
            Step::TogglePause => "the queue is paused".into(),
            Step::Tick => "time passes".into(),
        }
    }

    fn say_state(&self, world: &World) -> Vec<Panel> {
        let mut lines = vec![format!("clock {}", world.now)];
        lines.extend(world.paused.then(|| "the queue is paused".into()));
        let mut panels = vec![Panel::new("observer", "cluster", lines)];
        let mut lines = Vec::new();
        for (at, ticket) in self.tickets.iter().enumerate() {
            let waits = self.queued(&world.site).iter().any(|(found, ..)| found == ticket);
            let resolved = self.resolved(&world.site, at);
            let happened = self.happened(&world.site, at);
            let place = if waits { "waits".into() } else { format!("{resolved:?}") };
            lines.push(format!("ticket {}: {place}, happened {happened} times", at + 1));
        }
        panels.push(Panel::new("group", "queue", lines));
        for (at, node) in world.nodes.iter().enumerate() {
            let mut lines =
                vec![if node.leads { "believes that it leads" } else { "follows" }.into()];
            lines.extend((at == world.leader).then(|| "leads".into()));
            lines.extend(node.paused.then(|| "knows of the pause".into()));
            panels.push(Panel::new("coordinator", format!("node {}", at + 1), lines));
        }
        let shadow = |trial: &Trial| {
            format!("a shadow of ticket {} by node {}", trial.ticket + 1, trial.of + 1)
        };
        let wire = world.trials.iter().map(shadow).chain(world.flights.iter().map(said)).collect();
        panels.push(Panel::new("wire", "on the way", wire));
        panels
    }
}

fn said(flight: &Flight) -> String {
    let what = match flight.what {
        What::Happen => "an attempt of",
        What::GiveUp => "the rollback for good of",
        What::Cancel => "the taking back of",
    };
    let whose = flight.of.map_or_else(String::new, |node| format!(" by node {}", node + 1));
    format!("{what} ticket {}{whose}", flight.ticket + 1)
}
