//! States and steps in the protocol's own words.

use crate::{
    lane::{
        model::{Client, Entry, Phase, Step, Track, World},
        property::{NOTHING, PREMISES},
    },
    narrate::{Narrated, Panel},
    premise::{Noted, Premise},
};

impl Narrated for Track {
    fn name(&self) -> &'static str {
        self.scenario.name
    }

    fn refuted(&self) -> &'static str {
        NOTHING
    }

    fn premises(&self) -> &'static [Premise<Track>] {
        PREMISES
    }

    fn noted(&self) -> &Noted {
        &self.noted
    }

    fn say_step(&self, world: &World, step: &Step) -> String {
        match *step {
            Step::Claim(at) => {
                format!("T{} claims record {}", at + 1, letter(self.next_of(world, at)))
            }
            Step::Submit(at) => format!("T{} has all its turns and submits", at + 1),
            Step::Decide(at, leg) => {
                let record = letter(self.scenario.plans[at][leg]);
                format!("the decision on T{} comes to record {record}", at + 1)
            }
            Step::Apply(record) => {
                let front = world.records[record].log.front();
                let what = front.map_or_else(String::new, said);
                format!("record {} applies {what}", letter(record))
            }
            Step::Tick => "time passes, and whoever waits looks again".into(),
            Step::Vanish(at) => format!("the client of T{} vanishes", at + 1),
        }
    }

    fn say_state(&self, world: &World) -> Vec<Panel> {
        let mut panels = vec![Panel::new("observer", "clock", vec![format!("{}", world.now_us)])];
        for (at, client) in world.clients.iter().enumerate() {
            let lines = self.client(world, at, client);
            panels.push(Panel::new("client", format!("T{}", at + 1), lines));
        }
        for (at, record) in world.records.iter().enumerate() {
            let mut lines = vec![format!("version {}", record.version)];
            lines.extend(record.lock.map(|by| format!("locked by the vote of T{}", by + 1)));
            lines.extend(record.log.iter().map(|entry| format!("in the log: {}", said(entry))));
            panels.push(Panel::new("group", format!("record {}", letter(at)), lines));
        }
        panels
    }
}

impl Track {
    fn client(&self, world: &World, at: usize, client: &Client) -> Vec<String> {
        let mut lines = vec![match client.phase {
            Phase::Going => "goes on".into(),
            Phase::Waiting { since_us } => {
                format!("waits for record {} since {since_us}", letter(self.next_of(world, at)))
            }
            Phase::Submitted => match client.decision() {
                None => "has submitted".into(),
                Some(true) => "committed".into(),
                Some(false) => "rolled back".into(),
            },
            Phase::Gone => "gone".into(),
        }];
        for (leg, seen) in client.seen.iter().enumerate() {
            let record = letter(self.scenario.plans[at][leg]);
            let ends = client.ends_us[leg];
            lines.push(format!("read version {seen} of record {record}, its turn until {ends}"));
        }
        lines
    }
}

fn said(entry: &Entry) -> String {
    match *entry {
        Entry::Vote(at, seen) => format!("the vote of T{} on version {seen}", at + 1),
        Entry::Decide(at, true) => format!("that T{} commits", at + 1),
        Entry::Decide(at, false) => format!("that T{} rolls back", at + 1),
    }
}

fn letter(record: usize) -> char {
    char::from(b'a' + record as u8)
}
