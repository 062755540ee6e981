//! States and steps in the protocol's own words.

use crate::{
    commit::{
        client::group_id,
        site::Site,
        words::{decision, standing},
    },
    digest::stream::numbers,
    narrate::{Narrated, Panel},
    premise::{Noted, Premise},
    ring::{
        model::{Drive, Orbit, Request, Step, World},
        property::{NOTHING, PREMISES},
    },
};
use vatic_core::{command::Command, coordinator::Answer, ring::RingSpec};

impl Narrated for Orbit {
    fn name(&self) -> &'static str {
        self.scenario.name
    }

    fn refuted(&self) -> &'static str {
        NOTHING
    }

    fn premises(&self) -> &'static [Premise<Orbit>] {
        PREMISES
    }

    fn noted(&self) -> &Noted {
        &self.noted
    }

    fn say_step(&self, world: &World, step: &Step) -> String {
        match step {
            Step::Propose(at) => {
                let groups = &self.scenario.proposals[*at];
                let groups: Vec<String> =
                    groups.iter().map(|&at| group_id(at).to_string()).collect();
                let groups = groups.join(" and ");
                format!("proposer {} reads the ring and wants one of groups {groups}", at + 1)
            }
            Step::SetRing(at) => {
                format!("group 0 applies {}", ring(&world.proposed[at]))
            }
            Step::Configure { group, ring: at } => {
                format!("group {} is told of {}", group_id(*group), ring(&world.rings[*at]))
            }
            Step::Begin { transaction, ring: at } => {
                let by = ring(&world.rings[*at]);
                format!("T{} is drafted by {by} and handed to a driver", transaction + 1)
            }
            Step::Apply(request) => {
                format!("group {} applies {}", group_id(request.group), command(request))
            }
            Step::GiveUp(at) => format!("the driver of T{} stops waiting for votes", at + 1),
            Step::Crash(Some(group)) => {
                format!("group {} is opened anew on its state", group_id(*group))
            }
            Step::Crash(None) => "group 0 is opened anew on its state".into(),
        }
    }

    fn say_state(&self, world: &World) -> Vec<Panel> {
        let mut meta = vec![format!("has set {} rings", world.rings.len())];
        meta.extend(world.rings.iter().map(|spec| ring(spec)));
        meta.extend(world.proposed.values().map(|spec| format!("proposed: {}", ring(spec))));
        let mut panels = vec![Panel::new("observer", "group 0", meta)];
        for (at, drive) in world.drives.iter().enumerate() {
            let lines = drive.as_ref().map_or_else(|| vec!["not begun".into()], |d| driven(d));
            panels.push(Panel::new("coordinator", format!("T{}", at + 1), lines));
        }
        for (at, site) in world.sites.iter().enumerate() {
            let title = format!("group {}", group_id(at));
            panels.push(Panel::new("group", title, self.site(world, site)));
        }
        let wire = world
            .requests
            .iter()
            .map(|request| format!("→ group {}: {}", group_id(request.group), command(request)));
        panels.push(Panel::new("wire", "on their way", wire.collect()));
        panels
    }
}

impl Orbit {
    fn site(&self, world: &World, site: &Site) -> Vec<String> {
        let mut lines: Vec<String> =
            site.group.ring().map(|r| ring(r.spec())).into_iter().collect();
        for (at, drive) in world.drives.iter().enumerate() {
            let Some(drive) = drive else { continue };
            let found = standing(&site.standing(drive.coordinator.tid()));
            lines.push(format!("T{}: {found}", at + 1));
        }
        for (at, key) in self.keys.iter().enumerate() {
            let record = site.group.peek(&site.state, key).0;
            let found = numbers(record.fields.as_ref());
            lines.push(format!("record {}: written by {found:?}", ["a", "b"][at]));
        }
        lines.extend(site.fault.as_ref().map(|fault| format!("BROKEN INVARIANT: {fault}")));
        lines.extend(site.broken.as_ref().map(|broken| format!("BROKEN: {broken:?}")));
        lines
    }
}

fn driven(drive: &Drive) -> Vec<String> {
    let mut lines = vec![format!("drafted by ring {}", drive.epoch)];
    lines.push(match &drive.answer {
        None => "nobody was told yet".into(),
        Some(Answer::Decided(found)) => format!("told: it {}", decision(found)),
        Some(Answer::Fault(fault)) => format!("told: {fault}"),
        Some(Answer::Forgotten) => "told: nobody knows".into(),
    });
    lines.extend(drive.broken.as_ref().map(|why| format!("FAILED: {why}")));
    lines
}

fn ring(spec: &RingSpec) -> String {
    let groups: Vec<String> = spec.groups.iter().map(ToString::to_string).collect();
    format!("ring {} of groups {}", spec.epoch, groups.join(" and "))
}

fn command(request: &Request) -> String {
    let of = format!("T{}", request.transaction + 1);
    match &*request.command {
        Command::Vote(_) => format!("the vote on {of}"),
        Command::Force { .. } => format!("a forced No on {of}, unless it has voted"),
        Command::Decide { decision: found, .. } => format!("that {of} {}", decision(found)),
        other => format!("{other:?}"),
    }
}
