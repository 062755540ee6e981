//! The model: rings that group 0 sets one after the other, data groups that learn of them late, and
//! transactions that were drafted under any of them.
//!
//! # What is abstracted away, and why that is sound
//!
//! - **Groups** are machines that apply commands atomically, as in the commit protocol's model.
//! - **Who tells a group of a ring** is anybody who ever read it from group 0: each ring that was
//!   ever set may reach any group at any time, repeatedly, in any order. A gateway may draft by any
//!   ring that was ever set.
//! - **Records do not move** when the ring changes: no code does that. So a record can have two
//!   owners while groups differ in their epoch, which is found reachable here, and is why a cluster
//!   does not change its ring while running.

use crate::{
    check::catching,
    commit::{
        client::{group_id, place_of},
        site::Site,
    },
    digest::stream::append,
    memo::Known,
    premise::Noted,
    ring::{property, scenarios::Scenario},
    shared::{Shared, fingerprint},
};
use stateright::{Model, Property};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};
use vatic_core::{
    codec,
    command::{Command, Config, Decision, MetaCommand, Reply, Standing, Vote},
    coordinator::{Answer, Coordinator, Effect, Event},
    delta::Delta,
    draft::Draft,
    hash::Hash,
    id::{GroupId, Timestamp},
    key::Key,
    limits::Limits,
    ring::{Ring, RingSpec},
    rules::Rules,
};

/// A scenario under a set of rules.
#[derive(Debug)]
pub struct Orbit {
    /// The scenario.
    pub scenario: Scenario,
    /// The two records that each transaction extends.
    pub keys: [Key; 2],
    rules: Rules,
    applied: Known<(Shared<Site>, Option<Reply>)>,
    change_noted: AtomicBool,
    pub(crate) noted: Noted,
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// Group 0.
    pub meta: Shared<Site>,
    /// The data groups.
    pub sites: Vec<Shared<Site>>,
    /// The rings that proposers want next, each proposed once and applied at any later time.
    pub proposed: BTreeMap<usize, Shared<RingSpec>>,
    /// Every ring that group 0 ever had, in that order.
    pub rings: Vec<Shared<RingSpec>>,
    /// The highest epoch that each data group ever had.
    pub highest: Vec<u64>,
    /// The transactions.
    pub drives: Vec<Option<Shared<Drive>>>,
    /// Commands on their way to data groups.
    pub requests: Shared<BTreeSet<Request>>,
    /// Whether a group voted Yes on a key that its ring gives to another one.
    pub trespassed: bool,
    /// Whether some group refused a vote because a key is not its own.
    pub refused: bool,
    /// Which groups have installed something in each record, by place and group.
    pub owners: [BTreeSet<usize>; 2],
}

/// A transaction with its driver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Drive {
    /// The coordinator.
    pub coordinator: Coordinator,
    /// The epoch of the ring that it was drafted by.
    pub epoch: u64,
    /// What each participant is asked.
    pub votes: BTreeMap<usize, Shared<Command>>,
    /// What its client was told.
    pub answer: Option<Answer>,
    /// The assertion that failed in the coordinator, if one did.
    pub broken: Option<String>,
}

/// A command on its way to a data group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Request {
    /// Whose it is.
    pub transaction: usize,
    /// The group, by place.
    pub group: usize,
    /// The round of the question; none for a decision.
    pub round: Option<u32>,
    /// The command.
    pub command: Shared<Command>,
}

/// What can happen next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Somebody reads the ring and proposes the next one.
    Propose(usize),
    /// Group 0 applies a proposal.
    SetRing(usize),
    /// A data group is told of a ring.
    Configure {
        /// The group, by place.
        group: usize,
        /// Which of the rings that group 0 has had.
        ring: usize,
    },
    /// A client's transaction is drafted by a ring and handed to a driver.
    Begin {
        /// Which transaction.
        transaction: usize,
        /// Which of the rings that group 0 has had.
        ring: usize,
    },
    /// A data group applies a command; its reply arrives.
    Apply(Request),
    /// A driver stops waiting for votes.
    GiveUp(usize),
    /// A group is opened anew on its state; group 0 where no place is named.
    Crash(Option<usize>),
}

impl Model for Orbit {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let first = spec(1, &self.scenario.first);
        let set = Command::Meta(MetaCommand::SetRing(first.clone()));
        let (meta, _) = Site::open(GroupId::META, self.rules).apply(&set, self.rules);
        let open = |place| {
            let site = Site::open(group_id(place), self.rules);
            Shared::new(site.apply(&configure(&first), self.rules).0)
        };
        vec![World {
            meta: Shared::new(meta),
            sites: (0..GROUPS).map(open).collect(),
            proposed: BTreeMap::new(),
            rings: vec![Shared::new(first.clone())],
            highest: vec![1; GROUPS],
            drives: vec![None; self.scenario.transactions],
            requests: Shared::new(BTreeSet::new()),
            trespassed: false,
            refused: false,
            owners: [BTreeSet::new(), BTreeSet::new()],
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.noted.look(property::PREMISES, self, world);
        if property::is_broken(world) {
            return;
        }
        let unproposed = |at: &usize| !world.proposed.contains_key(at);
        steps.extend((0..self.scenario.proposals.len()).filter(unproposed).map(Step::Propose));
        steps.extend(world.proposed.keys().copied().map(Step::SetRing));
        for ring in 0..world.rings.len() {
            steps.extend((0..GROUPS).map(|group| Step::Configure { group, ring }));
            for (transaction, drive) in world.drives.iter().enumerate() {
                steps.extend(drive.is_none().then_some(Step::Begin { transaction, ring }));
            }
        }
        steps.extend(world.requests.iter().cloned().map(Step::Apply));
        let drives = world.drives.iter().enumerate();
        let driven = drives.filter(|(_, drive)| self.scenario.gives_up && drive.is_some());
        steps.extend(driven.map(|(at, _)| Step::GiveUp(at)));
        steps.extend((0..GROUPS).map(|group| Step::Crash(Some(group))));
        steps.push(Step::Crash(None));
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Propose(at) => {
                let epoch = vatic_core::meta::ring(&world.meta.state)?.epoch + 1;
                let next = spec(epoch, &self.scenario.proposals[at]);
                world.proposed.insert(at, Shared::new(next));
            }
            Step::SetRing(at) => self.set_ring(&mut world, at),
            Step::Configure { group, ring } => {
                let command = configure(&world.rings[ring]);
                self.apply(&mut world, group, command);
            }
            Step::Begin { transaction, ring } => self.begin(&mut world, transaction, ring),
            Step::Apply(request) => self.answer(&mut world, &request),
            Step::GiveUp(at) => self.feed(&mut world, at, Event::GiveUp),
            Step::Crash(group) => self.crash(&mut world, group),
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let witnesses = self.scenario.witnesses.iter();
        let sometimes = witnesses.map(|witness| Property::sometimes(witness.name, witness.shows));
        property::always().into_iter().chain(sometimes).collect()
    }
}

/// How many data groups there are.
pub const GROUPS: usize = 2;

impl Orbit {
    /// A scenario under a set of rules. One record belongs to the first group as long as that is in
    /// the ring, the other one to the second.
    pub fn new(scenario: Scenario, rules: Rules) -> Orbit {
        let both = Ring::new(spec(1, &[0, 1]));
        let keys = [0, 1].map(|place| {
            let mut names = (0..).map(|n| format!("p{n}"));
            let owned = |name: &String| both.group_of(name) == Some(group_id(place));
            let partition = names.find(owned).expect("the ring covers both groups");
            Key::new("account", &partition, "").expect("a plain key")
        });
        let (applied, change_noted) = (Known::default(), AtomicBool::new(false));
        Orbit { scenario, keys, rules, applied, change_noted, noted: Noted::default() }
    }

    pub(crate) fn noted_a_change(&self) -> bool {
        self.change_noted.swap(true, Ordering::Relaxed)
    }

    fn set_ring(&self, world: &mut World, at: usize) {
        let wanted = world.proposed[&at].clone();
        let set = Command::Meta(MetaCommand::SetRing(RingSpec::clone(&wanted)));
        let before = vatic_core::meta::ring(&world.meta.state);
        world.meta = self.run(&world.meta, set).0.clone();
        if vatic_core::meta::ring(&world.meta.state) != before {
            world.rings.push(wanted);
        }
    }

    fn begin(&self, world: &mut World, at: usize, ring: usize) {
        let spec = RingSpec::clone(&world.rings[ring]);
        let (epoch, mint) = (spec.epoch, at as u64 + 1);
        let (limits, seed) = (Limits::production(), Hash([mint as u8; 32]));
        let mut draft = Draft::begin(Ring::new(spec), limits, Timestamp(mint), mint, seed);
        for key in &self.keys {
            draft.push(append(key, mint as i64), None, None).expect("a plain delta");
        }
        let (body, parts) = draft.finish().expect("touched");
        let votes = parts.into_iter().map(|part| {
            let place = place_of(part.group);
            let vote = Vote { body: body.clone(), part, hint: Timestamp::ZERO };
            (place, Shared::new(Command::Vote(vote.into())))
        });
        let votes = votes.collect();
        let (tid, digest) = (body.tid, body.digest());
        let coordinator = Coordinator::drive(tid, Some(digest), &body.groups(), self.rules);
        let drive = Drive { coordinator, epoch, votes, answer: None, broken: None };
        world.drives[at] = Some(Shared::new(drive));
        self.feed(world, at, Event::Start);
    }

    fn answer(&self, world: &mut World, request: &Request) {
        let Request { transaction, group, round, command } = request.clone();
        let tid = command.tid().expect("drivers' commands are about a transaction");
        let before = world.sites[group].standing(tid).into_owned();
        let reply = self.apply(world, group, Command::clone(&command));
        self.observe(world, group, &command, before == Standing::None);
        let Some(reply) = reply else { return };
        if matches!(&reply, Reply::Fault(vatic_core::body::Fault::WrongGroup { .. })) {
            world.refused = true;
        }
        let group = group_id(group);
        let event = match round {
            Some(round) => Event::Reply { group, round, reply, proof: None },
            None => Event::Acked { group },
        };
        self.feed(world, transaction, event);
    }

    /// Notes Yes votes on what is not the group's own, and who has installed what.
    fn observe(&self, world: &mut World, group: usize, command: &Command, first: bool) {
        let site = world.sites[group].clone();
        if let (Command::Vote(vote), true, Some(ring)) = (command, first, site.group.ring()) {
            let foreign = |key: &Key| ring.group_of(&key.partition) != Some(group_id(group));
            let yes = says_yes(&site.standing(vote.body.tid));
            world.trespassed |= yes && keys_of(vote).iter().any(foreign);
        }
        for (at, key) in self.keys.iter().enumerate() {
            if site.group.peek(&site.state, key).0.fields.is_some() {
                world.owners[at].insert(group);
            }
        }
    }

    fn feed(&self, world: &mut World, at: usize, event: Event) {
        let Some(drive) = &world.drives[at] else { return };
        let mut next = Drive::clone(drive);
        let handled = catching(|| {
            next.coordinator.handle(event);
            std::iter::from_fn(|| next.coordinator.poll()).collect::<Vec<_>>()
        });
        let effects = match handled {
            Ok(effects) => effects,
            Err(panic) => {
                world.drives[at] = Some(Shared::new(Drive { broken: Some(panic), ..next }));
                return;
            }
        };
        let (tid, body) = (next.coordinator.tid(), next.coordinator.body());
        for effect in effects {
            let (group, round, command) = match effect {
                Effect::Vote { group, round } => {
                    (group, Some(round), next.votes[&place_of(group)].clone())
                }
                Effect::Force { group, round } => {
                    let participants = next.coordinator.participants();
                    (group, Some(round), Shared::new(Command::Force { tid, body, participants }))
                }
                Effect::Decide { group, decision } => {
                    let proofs = Vec::new();
                    (group, None, Shared::new(Command::Decide { tid, body, decision, proofs }))
                }
                Effect::Answer(answer) => {
                    next.answer = Some(answer);
                    continue;
                }
                Effect::Settled => continue,
            };
            let (transaction, group) = (at, place_of(group));
            world.requests.insert(Request { transaction, group, round, command });
        }
        world.drives[at] = Some(Shared::new(next));
    }

    fn crash(&self, world: &mut World, group: Option<usize>) {
        let site = group.map_or(&mut world.meta, |group| &mut world.sites[group]);
        let reopened = site.reopen(self.rules);
        if reopened != **site {
            *site = Shared::new(reopened);
        }
    }

    fn apply(&self, world: &mut World, group: usize, command: Command) -> Option<Reply> {
        let applied = self.run(&world.sites[group], command);
        let (site, reply) = &*applied;
        world.sites[group] = site.clone();
        let epoch = site.group.ring().map_or(0, |ring| ring.spec().epoch);
        world.highest[group] = world.highest[group].max(epoch);
        reply.clone()
    }

    fn run(
        &self,
        site: &Shared<Site>,
        command: Command,
    ) -> std::sync::Arc<(Shared<Site>, Option<Reply>)> {
        let place = (site.fingerprint(), fingerprint(&command));
        self.applied.recall(place, || {
            let (next, reply) = site.apply(&command, self.rules);
            (Shared::new(next), reply)
        })
    }
}

fn says_yes(standing: &Standing) -> bool {
    let commits = matches!(standing, Standing::Decided(Decision::Committed { .. }));
    commits || matches!(standing, Standing::Yes { .. })
}

fn keys_of(vote: &Vote) -> Vec<Key> {
    let deltas = vote.part.transitions.iter();
    let deltas = deltas.map(|transition| codec::decode::<Delta>(&transition.delta));
    deltas.filter_map(|delta| delta.ok().map(|delta| delta.key)).collect()
}

/// The ring of these groups.
pub fn spec(epoch: u64, places: &[usize]) -> RingSpec {
    let groups = places.iter().copied().map(group_id).collect();
    RingSpec { epoch, virtual_nodes: 16, groups }
}

fn configure(spec: &RingSpec) -> Command {
    Command::Configure(Config::new(Limits::production(), Some(spec.clone())))
}
