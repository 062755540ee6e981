//! States and steps in the protocol's own words.
//!
//! `T1` is the transaction of the first plan; groups have the ids that the core gives them.

use crate::{
    commit::{
        client::{Observed, group_id},
        model::{Fate, Spine, Step},
        plan::Item,
        site::{Broken, Site},
        world::{Outcome, ReadEnd, Reader, Request, Slot, World},
    },
    narrate::{Narrated, Panel},
    premise::{Noted, Premise},
};
use vatic_core::{
    command::{Cause, Command, Decision, Reply, Standing},
    id::{GroupId, Tid},
    multiread::ReadEffect,
};

impl Narrated for Spine {
    fn name(&self) -> &'static str {
        self.scenario.name
    }

    fn refuted(&self) -> &'static str {
        super::property::NOTHING
    }

    fn premises(&self) -> &'static [Premise<Spine>] {
        super::premise::PREMISES
    }

    fn noted(&self) -> &Noted {
        &self.noted
    }

    fn say_step(&self, world: &World, step: &Step) -> String {
        match step {
            Step::Client(plan) => self.client_step(world, *plan),
            Step::Abort(plan) => format!("the client of T{} aborts it", plan + 1),
            Step::End(plan) => format!("the gateway of T{} looks at its reads", plan + 1),
            Step::Apply(request, fate) => self.apply_step(world, request, *fate),
            Step::Deliver(delivery) => {
                let to = self.machine(delivery.machine);
                let (group, reply) = (group_id(delivery.group), reply(&delivery.reply));
                format!("{to} hears late from group {group}: {reply}")
            }
            Step::Stop(machine) => format!("{} stops for good", self.machine(*machine)),
            Step::GiveUp(machine) => format!("{} stops waiting for votes", self.machine(*machine)),
            Step::Recover { machine, group, plan } => {
                let (who, group) = (self.machine(*machine), group_id(*group));
                format!("{who} meets T{} in group {group} and takes it up", plan + 1)
            }
            Step::Crash { group } => {
                let group = group_id(*group);
                format!("the leader of group {group} crashes; another one opens the group")
            }
            Step::Read { reader, at } => self.read_step(world, *reader, *at),
            Step::Sweep { group } => format!("group {} sweeps abandoned stages", group_id(*group)),
            Step::Forget { group, plan } => {
                let group = group_id(*group);
                format!("group {group} is told to forget all up to T{}", plan + 1)
            }
            Step::Advance { group, to } => {
                format!("group {} is told to raise its clock to {to}", group_id(*group))
            }
            Step::Collect { group, horizon } => {
                let group = group_id(*group);
                format!("group {group} is told to collect versions up to {horizon}")
            }
        }
    }

    fn say_state(&self, world: &World) -> Vec<Panel> {
        let mut panels = Vec::new();
        for (plan, _) in world.clients.iter().enumerate() {
            panels.push(Panel::new("client", format!("T{}", plan + 1), self.client(world, plan)));
        }
        for (at, slot) in world.machines.iter().enumerate() {
            panels.push(Panel::new("coordinator", self.machine(at), coordinator(slot)));
        }
        for (at, reader) in world.readers.iter().enumerate() {
            panels.push(Panel::new("client", format!("reader {}", at + 1), told(reader)));
        }
        for (at, site) in world.sites.iter().enumerate() {
            let title = format!("group {}", group_id(at));
            panels.push(Panel::new("group", title, self.group(world, at, site)));
        }
        panels.push(Panel::new("wire", "on their way", self.wire(world)));
        panels
    }
}

impl Spine {
    fn machine(&self, at: usize) -> String {
        let plans = self.scenario.plans.len();
        match at.checked_sub(plans) {
            None => format!("driver of T{}", at + 1),
            Some(recoverer) => format!("recoverer {}", recoverer + 1),
        }
    }

    fn item(&self, item: &Item) -> String {
        match item {
            Item::Key(key) => self.atlas.key(*key).sort.clone(),
            Item::Range(keys) => format!("the range of {}", self.atlas.key(keys[0]).sort),
        }
    }

    fn client_step(&self, world: &World, plan: usize) -> String {
        let (wanted, seen) = (&self.scenario.plans[plan], world.clients[plan].seen.len());
        let read = wanted.reads.get(seen).map(|item| format!(" reads {}", self.item(item)));
        let last = seen + 1 >= wanted.reads.len();
        let seals = last.then(|| " seals its transaction and hands it to a driver".to_owned());
        let all: Vec<String> = read.into_iter().chain(seals).collect();
        format!("the client of T{}{}", plan + 1, all.join(" and"))
    }

    fn apply_step(&self, world: &World, request: &Request, fate: Fate) -> String {
        let (group, from) = (group_id(request.group), self.machine(request.machine));
        let what = self.command(world, request);
        let fate = match fate {
            Fate::Arrives => "",
            Fate::Lost => "; its reply is lost",
            Fate::Late => "; its reply is late",
        };
        format!("group {group} applies {what} from the {from}{fate}")
    }

    fn command(&self, world: &World, request: &Request) -> String {
        let of = format!("T{}", request.plan + 1);
        match &*request.command {
            Command::Vote(_) => format!("the vote on {of}"),
            Command::Force { .. } => format!("a forced No on {of}, unless it has voted,"),
            Command::Decide { decision, .. } => format!("that {of} {}", self::decision(decision)),
            Command::Stage { .. } => format!("what {of} stages"),
            other => format!("{other:?} ({} groups)", world.sites.len()),
        }
    }

    fn read_step(&self, world: &World, at: usize, choice: usize) -> String {
        let (reader, who) = (&world.readers[at], format!("reader {}", at + 1));
        match (reader.asked.iter().nth(choice).map(|asked| &**asked), &reader.machine) {
            (Some(ReadEffect::Read { group, attempt, .. }), _) => {
                format!("{who} reads in group {group} (try {attempt})")
            }
            (Some(ReadEffect::Check { group, attempt, .. }), _) => {
                format!("{who} checks in group {group} that what it read stands (try {attempt})")
            }
            (_, Some(_)) => format!("{who} goes on"),
            (_, None) if self.scenario.readers[at].is_snapshot() => {
                format!("{who} reads its snapshot in group {}", group_id(choice))
            }
            (_, None) => format!("{who} asks"),
        }
    }

    fn client(&self, world: &World, plan: usize) -> Vec<String> {
        let (client, wanted) = (&world.clients[plan], &self.scenario.plans[plan]);
        let mut lines: Vec<String> = Vec::new();
        for (item, seen) in wanted.reads.iter().zip(&client.seen) {
            let version = match &**seen {
                Observed::Record(record) => format!("at version {}", record.version),
                Observed::Range(found) => format!("with {} records", found.records.len()),
            };
            lines.push(format!("read {} {version}", self.item(item)));
        }
        let writes = wanted.writes.iter();
        let writes =
            writes.map(|(key, write)| format!("{:?} {}", write, self.atlas.key(*key).sort));
        lines.extend(writes);
        lines.push(match (&client.sealed, world.log.outcomes[plan]) {
            (None, _) => "not sealed yet".into(),
            (Some(sealed), None) => format!("sealed as {:?}; nobody was told yet", sealed.tid()),
            (Some(_), Some(outcome)) => format!("told: {}", self::outcome(outcome)),
        });
        lines
    }

    fn group(&self, world: &World, at: usize, site: &Site) -> Vec<String> {
        let mut lines = vec![format!("clock {}", site.group.clock())];
        lines.extend(site.group.watermark().map(|mark| format!("forgotten up to {mark}")));
        let horizon = site.group.horizon().0;
        lines.extend((horizon > 0).then(|| format!("snapshots from {horizon} on")));
        for (plan, client) in world.clients.iter().enumerate() {
            let Some(sealed) = &client.sealed else { continue };
            if sealed.votes.contains_key(&at) {
                let standing = standing(&site.standing(sealed.tid()));
                lines.push(format!("T{}: {standing}", plan + 1));
            }
        }
        let staged = site.group.staged(&site.state);
        lines.extend(staged.iter().map(|tid: &Tid| format!("staged for {tid:?}")));
        for key in (0..self.scenario.keys.len()).filter(|&key| self.atlas.place(key) == at) {
            let name = &self.atlas.key(key).sort;
            let value = self.atlas.value(&world.sites, key);
            lines.push(format!("{name} = {}", value.map_or("absent".into(), |v| v.to_string())));
        }
        lines.extend(site.broken.as_ref().map(|broken| match broken {
            Broken::Halt(why) => format!("HALTED: {why}"),
            Broken::Panic(why) => format!("FAILED: {why}"),
        }));
        lines.extend(site.fault.as_ref().map(|fault| format!("BROKEN INVARIANT: {fault}")));
        lines
    }

    fn wire(&self, world: &World) -> Vec<String> {
        let requests = world.requests.iter().map(|request| {
            let (from, to) = (self.machine(request.machine), group_id(request.group));
            format!("{from} → group {to}: {}", self.command(world, request))
        });
        let replies = world.replies.iter().map(|delivery| {
            let (from, to) = (group_id(delivery.group), self.machine(delivery.machine));
            format!("group {from} → {to}: {}", reply(&delivery.reply))
        });
        requests.chain(replies).collect()
    }
}

fn coordinator(slot: &Slot) -> Vec<String> {
    let machine = match slot {
        Slot::Idle => return vec!["not started".into()],
        Slot::Stopped => return vec!["stopped".into()],
        Slot::Working(machine) => machine,
    };
    let coordinator = &machine.coordinator;
    let groups = groups(&coordinator.participants());
    let mut lines = vec![format!("about T{}, participants {groups}", machine.plan + 1)];
    lines.push(match coordinator.decision() {
        None => "undecided".into(),
        Some(found) => format!("decided: it {}", decision(found)),
    });
    lines.extend(coordinator.is_settled().then(|| "settled".into()));
    lines.extend(machine.broken.as_ref().map(|why| format!("FAILED: {why}")));
    lines
}

fn told(reader: &Reader) -> Vec<String> {
    vec![match &reader.end {
        Some(ReadEnd::Answered(seen)) => {
            let seen = seen.iter().map(|(key, value)| match value {
                Some(value) => format!("record {key} = {value}"),
                None => format!("record {key} absent"),
            });
            format!("saw {}", seen.collect::<Vec<_>>().join(", "))
        }
        Some(ReadEnd::GaveUp) => "gave up".into(),
        None if reader.machine.is_some() || !reader.found.is_empty() => "reading".into(),
        None => "not started".into(),
    }]
}

fn groups(groups: &[GroupId]) -> String {
    let names: Vec<String> = groups.iter().map(GroupId::to_string).collect();
    names.join(" and ")
}

pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Standing(found) => standing(found),
        Reply::Fault(fault) => format!("refused: {fault}"),
        Reply::Done => "done".into(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn standing(standing: &Standing) -> String {
    match standing {
        Standing::None => "no vote".into(),
        Standing::Yes { ts, .. } => format!("Yes at {ts}, undecided"),
        Standing::No(cause) => format!("No ({})", why(cause)),
        Standing::Decided(found) => decision(found),
        Standing::Stale(None) => "forgotten".into(),
        Standing::Stale(Some(found)) => {
            format!("forgotten; the record says it {}", decision(found))
        }
    }
}

pub(crate) fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Committed { ts } => format!("committed at {ts}"),
        Decision::RolledBack(cause) => format!("rolled back ({})", why(cause)),
    }
}

fn why(cause: &Cause) -> String {
    let text = format!("{:?}", cause.why);
    let name = text.split([' ', '{', '(']).next().unwrap_or_default();
    format!("{name} in group {}", cause.group)
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Committed(ts) => format!("committed at {ts}"),
        Outcome::RolledBack(reason) => format!("rolled back ({reason:?})"),
        Outcome::Refused => "its body was refused".into(),
        Outcome::Forgotten => "nobody knows any more".into(),
    }
}
