//! How a run begins: the seed draws the cluster, and accounts are opened before anything breaks.

use super::{
    Node, World,
    cluster::{Entry, Proposal, Replica, SimGroup},
    dispatching::Dispatching,
    driving::Driving,
    healing::Core,
    onlooking::Onlooking,
    replacing::Replacements,
    together,
    wild::Wild,
};
use crate::{
    event::{Event, Learned, Proposed},
    faults::Faults,
    history::{Attempt, History, Observed},
    limits,
    probe::Probes,
    rng::Rng,
    sabotage::{Level, Options, Sabotage},
    swarm::Swarm,
    trace::Trace,
};
use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    rc::Rc,
    sync::Arc,
};
use vatic_core::{
    codec,
    command::{Command, Config, Vote},
    delta::{Delta, Op},
    draft::Draft,
    hash::Hash,
    id::{GroupId, Timestamp},
    key::Key,
    ring::{Ring, RingSpec},
    value::Fields,
};

const VIRTUAL_NODES: u32 = 16;

impl World {
    /// A cluster as this seed draws it, with its accounts open.
    pub(crate) fn new(seed: u64, options: Options) -> World {
        let mut rng = Rng::new(seed);
        let deployed = options.level == Level::Deployed;
        let swarm = if deployed { Swarm::draw_deployed(&mut rng) } else { Swarm::draw(&mut rng) };
        let swarm = swarm.with_only(&options.families);
        let ids: Vec<GroupId> = (1..=swarm.groups).map(GroupId).collect();
        let spec = RingSpec { epoch: 1, virtual_nodes: VIRTUAL_NODES, groups: ids.clone() };
        let ring = Arc::new(Ring::new(spec));
        let groups = ids.iter().map(|&id| group(id, &swarm, &options, &mut rng)).collect();
        let node = |_| Node { up: true, ahead_us: rng.below(swarm.skew_us + 1) };
        let mut nodes: Vec<Node> = (0..swarm.nodes).map(node).collect();
        nodes.iter_mut().for_each(|node| node.up = !deployed);
        let accounts = (0..swarm.client.accounts).map(|n| key("account", n, 0)).collect();
        let items = (0..swarm.client.items).map(|n| key("item", n / 3, n % 3)).collect();
        let together = together::keys(&ring, swarm.limits.participants_max as usize);
        let dispatching = Dispatching::draw(seed, &swarm);
        let core = Core::draw(seed);
        let mut world = World {
            options,
            swarm,
            history: History::default(),
            probes: Probes::default(),
            faults: Faults::default(),
            violations: Vec::new(),
            groups,
            trace: Trace::new(),
            tape: None,
            halted: false,
            drained: false,
            rng,
            now: limits::EPOCH_US,
            queue: BinaryHeap::new(),
            scheduled: 0,
            in_flight: 0,
            nodes,
            cuts: BTreeMap::new(),
            driving: Driving::draw(seed),
            onlooking: Onlooking::draw(seed),
            replacements: Replacements::draw(seed),
            deployment: None,
            elected: BTreeMap::new(),
            ring,
            accounts,
            items,
            together,
            together_come: false,
            dispatching,
            operations: BTreeMap::new(),
            coordinations: BTreeMap::new(),
            last_id: 0,
            core,
            wild: Wild::draw(seed),
            healed: false,
        };
        world.trace.note(&[seed]);
        if world.sabotaged(Sabotage::OfItsProcess) {
            world.trace.note(&[u64::from(std::process::id())]);
        }
        if !deployed {
            world.configure();
            world.open_accounts();
            world.schedule_first();
        }
        world
    }

    fn configure(&mut self) {
        for group in 0..self.groups.len() {
            self.apply_at_once(group, self.configuration());
        }
    }

    pub(super) fn configuration(&self) -> Command {
        let (limits, ring) = (self.swarm.limits.clone(), Some(self.ring.spec().clone()));
        Command::Configure(Config { policies: World::policies(), ..Config::new(limits, ring) })
    }

    fn open_accounts(&mut self) {
        for at in 0..self.accounts.len() {
            let (digest, group, command) = self.opening(at);
            self.apply_at_once(self.group_at(group), command);
            self.note_opened(digest);
        }
    }

    /// The transaction that opens an account, and where it is to be proposed.
    pub(super) fn opening(&mut self, at: usize) -> (Hash, GroupId, Command) {
        let key = self.accounts[at].clone();
        let nonce = at as u64;
        let seed = Hash([at as u8; 32]);
        let mint = Timestamp(limits::EPOCH_US / 2 + nonce);
        let limits = self.swarm.limits.clone();
        let mut draft = Draft::begin(self.ring.clone(), limits, mint, nonce, seed);
        let balance = Fields::from([("balance".into(), limits::OPENING_BALANCE.into())]);
        let delta = codec::encode(&Delta { key, op: Op::Put(balance) });
        draft.push(delta.clone(), None, None).expect("an opening is a plain put");
        let (body, mut parts) = draft.finish().expect("an opening touches its account");
        let part = parts.remove(0);
        let (group, digest) = (part.group, body.digest());
        let attempt = Attempt {
            body: body.clone(),
            digest,
            deltas: vec![delta],
            kept: None,
            seen: Observed::default(),
            moved: Vec::new(),
            invoked_us: 0,
            request: None,
            tampered: None,
            learned: None,
            receipts: Vec::new(),
        };
        self.history.attempts.insert(digest, attempt);
        self.history.money += limits::OPENING_BALANCE;
        (digest, group, Command::Vote(Box::new(Vote { body, part, hint: mint })))
    }

    pub(super) fn note_opened(&mut self, digest: Hash) {
        let opened = self.history.commit_of(&self.history.attempts[&digest]);
        let ts = opened.expect("an opening commits");
        let attempt = self.history.attempts.get_mut(&digest).expect("just inserted");
        attempt.learned = Some((0, Learned::Committed(ts)));
    }

    fn apply_at_once(&mut self, group: usize, command: Command) {
        let bytes = codec::encode(&command);
        let entry = Entry::new(
            vec![Proposal { proposed: Rc::new(Proposed { command, bytes }), reply: None }],
            0,
        );
        self.groups[group].log.push(entry);
        for replica in 0..self.groups[group].replicas.len() {
            self.apply_next(group, replica);
            let held = &mut self.groups[group].replicas[replica];
            held.saved = (held.state.clone(), held.applied);
        }
    }

    pub(super) fn schedule_first(&mut self) {
        for client in 0..self.swarm.clients + self.swarm.together {
            let delay = self.rng.below(5_000);
            self.after(delay, Event::NextOperation { client });
        }
        for group in 0..self.groups.len() {
            let delay = self.rng.below(limits::SWEEP_US);
            self.after(delay, Event::Sweep { group });
        }
        self.after(self.swarm.chaos.every_us, Event::Chaos);
    }
}

fn group(id: GroupId, swarm: &Swarm, options: &Options, rng: &mut Rng) -> SimGroup {
    let first = rng.index(swarm.nodes);
    let replica = |at| Replica::new((first + at) % swarm.nodes, id, options.rules);
    // Real replicas are elsewhere; here is what they are compared with.
    let here = if options.level == Level::Deployed { 1 } else { swarm.replicas };
    SimGroup {
        id,
        members: (0..swarm.replicas).map(|at| (first + at) % swarm.nodes).collect(),
        replicas: (0..here).map(replica).collect(),
        leader: 0,
        term: 1,
        log: Vec::new(),
        pending: Vec::new(),
        committing: false,
        results: Vec::new(),
        settled: BTreeSet::new(),
        noted: None,
    }
}

fn key(collection: &str, partition: u64, sort: u64) -> Key {
    let sort = if collection == "item" { format!("s{sort}") } else { String::new() };
    Key::new(collection, &format!("p{partition}"), &sort).expect("simulated keys are plain")
}
