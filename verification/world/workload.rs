//! What clients set out to do: the mix of operations, drawn step by step.
//!
//! Accounts are touched by transfers alone, so that their sum is known; everything else happens to
//! items, a few hot ones, so that transactions meet; in some seeds to keys of any name as well.

use super::{
    World,
    operation::Task,
    reading::{Look, Multi, Snapshot},
    transaction::Transaction,
};
use crate::{history::Request, sabotage::Sabotage};
use std::collections::BTreeMap;
use vatic_core::{
    codec,
    delta::{Delta, Expect, Op},
    hash::Hasher,
    id::{GroupId, Timestamp},
    key::{Key, KeyRange},
    multiread::Wanted,
    request::RequestId,
    value::{Fields, Scalar},
};

/// Past every drawn limit of transitions, so that limits are met.
const LONG_STEPS_MAX: u64 = 20;

/// A transaction as its client means it, and what its gateway will do wrong.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What the caller wants done once.
    pub(super) request: Option<usize>,
    /// Whether the attempt carries the request's id.
    pub(super) claims: bool,
    /// Whether it goes ahead without asking if the request was done.
    pub(super) blind: bool,
    pub(super) staged: bool,
    pub(super) impatient: bool,
    pub(super) tamper: bool,
    /// The step whose delta the gateway replaces, and by what.
    pub(super) forged: Option<(usize, Vec<u8>)>,
    /// One more delta for a second body under the same id.
    pub(super) twin: Option<Vec<u8>>,
    pub(super) lax: bool,
}

#[derive(Clone)]
pub(super) enum Step {
    Read(Key),
    Scan(KeyRange, usize),
    Write(Vec<u8>),
}

impl World {
    pub(super) fn draw_task(&mut self, client: usize, node: usize) -> Task {
        if client >= self.swarm.clients {
            return self.draw_together();
        }
        if let Some(ticket) = self.draw_ticket(node) {
            return ticket;
        }
        let mix = self.swarm.mix.clone();
        let weights = [
            mix.transfer,
            mix.skew,
            mix.phantom,
            mix.mixed,
            mix.get,
            mix.scan,
            mix.multi,
            mix.snapshot,
        ];
        match self.rng.weighted(&weights) {
            0 => self.transfer(node),
            1 => self.skew(node),
            2 => self.phantom(node),
            3 => self.mixed(node),
            4 => Task::Look(Look::Key(self.any_key())),
            5 => {
                let (range, limit) = self.any_range();
                Task::Look(Look::Range(range, limit))
            }
            6 => {
                let wanted = self.draw_wanted();
                Task::Multi(Box::new(Multi::new(self, wanted)))
            }
            _ => {
                let wanted = self.draw_wanted();
                let now = self.clock(node).0;
                let at = match self.rng.below(4) {
                    0 => now + self.rng.below(3_000),
                    1 => now - self.rng.below(1_000),
                    _ => now.saturating_sub(self.rng.below(40_000)),
                };
                Task::Snapshot(Box::new(Snapshot::new(Timestamp(at), wanted)))
            }
        }
    }

    /// A strict read that could not get through by reading.
    pub(super) fn read_only_transaction(&mut self, wanted: &[Wanted]) -> Task {
        let mut steps = Vec::new();
        for Wanted { keys, ranges } in wanted {
            steps.extend(keys.iter().cloned().map(Step::Read));
            let scan = |(range, limit): &(KeyRange, usize)| Step::Scan(range.clone(), *limit);
            steps.extend(ranges.iter().map(scan));
        }
        Task::Transaction(Box::new(Transaction::new(Plan::of(steps), self.now)))
    }

    fn transfer(&mut self, node: usize) -> Task {
        let from = self.rng.index(self.accounts.len());
        let to = (from + 1 + self.rng.index(self.accounts.len() - 1)) % self.accounts.len();
        let (from, to) = (self.accounts[from].clone(), self.accounts[to].clone());
        let amount = self.rng.between(1, 5) as i64;
        let lost = i64::from(self.sabotaged(Sabotage::LeakyTransfer));
        let mut steps = Vec::new();
        if self.rng.chance(500) {
            steps.extend([Step::Read(from.clone()), Step::Read(to.clone())]);
        }
        if self.rng.chance(100) {
            steps.push(write(&from, Op::Expect(Expect::Present)));
        }
        steps.push(write(&from, Op::Add { field: "balance".into(), by: -amount }));
        steps.push(write(&to, Op::Add { field: "balance".into(), by: amount - lost }));
        let plan = self.misbehave(Plan::of(steps), false);
        self.as_request(plan, node)
    }

    /// Reads two items and writes one of them: two of these make write skew, if it is possible.
    fn skew(&mut self, node: usize) -> Task {
        let (a, b) = (self.any_item(), self.any_item());
        let op = Op::Add { field: "n".into(), by: 1 };
        let steps = vec![Step::Read(a.clone()), Step::Read(b.clone()), write(&b, op)];
        let plan = self.misbehave(Plan::of(steps), true);
        self.as_request(plan, node)
    }

    /// Scans one partition and inserts into another.
    fn phantom(&mut self, node: usize) -> Task {
        let (range, limit) = self.any_range();
        let target = self.any_item();
        let sort = format!("s{}", self.rng.below(5));
        let target = Key { sort, ..target };
        let op = match self.rng.chance(250) {
            true => Op::Delete,
            false => Op::Put(Fields::from([("n".into(), 1.into())])),
        };
        let plan = Plan::of(vec![Step::Scan(range, limit), write(&target, op)]);
        let plan = self.misbehave(plan, true);
        self.as_request(plan, node)
    }

    fn mixed(&mut self, node: usize) -> Task {
        let longest = match self.rng.below(10) {
            0 => LONG_STEPS_MAX,
            1 | 2 => 9,
            _ => 4,
        };
        let hot = self.any_item();
        let mut steps = Vec::new();
        let long = longest == LONG_STEPS_MAX;
        for _ in 0..self.rng.between(longest / 4, longest) {
            let step = match self.rng.below(10) {
                0..=2 => Step::Read(self.any_key()),
                3 => {
                    let (range, limit) = self.any_range();
                    Step::Scan(range, limit)
                }
                _ => {
                    let key = if long { hot.clone() } else { self.any_item() };
                    let op = self.any_op();
                    write(&key, op)
                }
            };
            steps.push(step);
        }
        let plan = self.misbehave(Plan::of(steps), true);
        // The gateways that know no limits are there for the long ones above all.
        let lax = plan.lax || (long && self.swarm.client.lax > 0);
        let staged = plan.staged || (long && self.swarm.client.staged > 0);
        self.as_request(Plan { lax, staged, ..plan }, node)
    }

    fn any_op(&mut self) -> Op {
        if let Some(op) = self.wild.draw_op() {
            return op;
        }
        let n = self.rng.below(100) as i64;
        let one = |name: &str| Fields::from([(name.into(), n.into())]);
        let values = vec![Scalar::I64(n)];
        match self.rng.below(16) {
            0 | 1 => Op::Put(one("n")),
            2 | 3 => Op::Merge(one("m")),
            4..=6 => Op::Add { field: "n".into(), by: n },
            7 | 8 => Op::Append { field: "log".into(), values },
            9 | 10 => Op::Union { field: "set".into(), values },
            11 => Op::RemoveField("m".into()),
            12 => Op::Delete,
            13 => Op::Expect(Expect::Present),
            14 => Op::Expect(Expect::Field { field: "m".into(), value: None }),
            _ => Op::Add { field: "log".into(), by: n },
        }
    }

    /// What this plan's gateway does beside the plan. Altered amounts are kept off the accounts.
    pub(super) fn misbehave(&mut self, plan: Plan, may_alter: bool) -> Plan {
        let habits = self.swarm.client.clone();
        let rechained = self.sabotaged(Sabotage::RechainedTampering);
        let key = self.any_item();
        let extra = delta(&key, Op::Merge(Fields::from([("twin".into(), 1.into())])));
        let at = plan.steps.iter().position(|step| matches!(step, Step::Write(_)));
        let forges = may_alter && self.rng.chance(habits.forge + 100 * u32::from(rechained));
        let forged = at.filter(|_| forges).map(|at| (at, extra.clone()));
        let alone = forged.is_some();
        let twin = (may_alter && !alone && self.rng.chance(habits.twin)).then_some(extra);
        Plan {
            staged: self.rng.chance(habits.staged),
            impatient: self.rng.chance(habits.impatient),
            tamper: !alone && twin.is_none() && self.rng.chance(habits.tamper),
            forged,
            twin,
            lax: self.rng.chance(habits.lax),
            blind: self.rng.chance(habits.blind),
            ..plan
        }
    }

    /// Gives some transactions a request id; a few get one that means something else.
    pub(super) fn as_request(&mut self, plan: Plan, node: usize) -> Task {
        let habits = self.swarm.client.clone();
        let plain = plan.forged.is_none() && plan.twin.is_none() && !plan.tamper;
        if !plain || !self.rng.chance(habits.claims) {
            return Task::Transaction(Box::new(Transaction::new(plan, self.now)));
        }
        let (mint, number) = (self.clock(node), self.history.requests.len() as u64);
        let deltas = plan.steps.iter().filter_map(Step::delta);
        let content = deltas.fold(Hasher::new("request"), |hasher, bytes| hasher.bytes(bytes));
        let misused = !self.history.requests.is_empty() && self.rng.chance(habits.misuse);
        let id = if misused {
            let at = self.rng.index(self.history.requests.len());
            self.history.requests[at].id.clone()
        } else {
            let route = self.any_key().partition;
            let (principal, id) = ("caller".into(), number.to_be_bytes().to_vec());
            RequestId { principal, id, route, mint }
        };
        let content = content.finish();
        self.history.requests.push(Request { id, content, attempts: 0, answered_by: None });
        let request = Some(number as usize);
        let plan = Plan { request, claims: true, ..plan };
        Task::Transaction(Box::new(Transaction::new(plan, self.now)))
    }

    fn draw_wanted(&mut self) -> BTreeMap<GroupId, Wanted> {
        let mut wanted: BTreeMap<GroupId, Wanted> = BTreeMap::new();
        let keys: Vec<Key> = match self.rng.chance(400) {
            true => self.accounts.clone(),
            false => (0..self.rng.between(2, 4)).map(|_| self.any_key()).collect(),
        };
        for key in keys {
            let group = wanted.entry(self.owner(&key)).or_default();
            if !group.keys.contains(&key) {
                group.keys.push(key);
            }
        }
        if self.rng.chance(300) {
            let (range, limit) = self.any_range();
            let group = self.ring.group_of(&range.partition).expect("the ring has groups");
            wanted.entry(group).or_default().ranges.push((range, limit));
        }
        wanted
    }

    fn any_item(&mut self) -> Key {
        if let Some(key) = self.wild.draw_key() {
            return key;
        }
        self.rng.pick(&self.items).clone()
    }

    fn any_key(&mut self) -> Key {
        if self.rng.chance(300) { self.rng.pick(&self.accounts).clone() } else { self.any_item() }
    }

    fn any_range(&mut self) -> (KeyRange, usize) {
        let partition = self.any_item().partition;
        let mut range = KeyRange::partition("item", &partition);
        if self.rng.chance(300) {
            range.from = format!("s{}", self.rng.below(3));
            range.to = Some(format!("s{}", self.rng.between(1, 5)));
        }
        (range, self.rng.between(1, 6) as usize)
    }
}

impl Plan {
    pub(super) fn of(steps: Vec<Step>) -> Plan {
        Plan {
            steps,
            request: None,
            claims: false,
            blind: false,
            staged: false,
            impatient: false,
            tamper: false,
            forged: None,
            twin: None,
            lax: false,
        }
    }
}

impl Step {
    pub(super) fn delta(&self) -> Option<&[u8]> {
        match self {
            Step::Write(delta) => Some(delta),
            _ => None,
        }
    }
}

pub(super) fn write(key: &Key, op: Op) -> Step {
    Step::Write(delta(key, op))
}

fn delta(key: &Key, op: Op) -> Vec<u8> {
    codec::encode(&Delta { key: key.clone(), op })
}
