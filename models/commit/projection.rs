//! What a single transaction may go through, as the models have it.
//!
//! All steps of a few scenarios are followed, and of each is kept only how it moves one
//! transaction: where that stands in its home group and in the others, before and after, and which
//! command did it. These are the edges of an automaton. Whoever has the commands of a real run, in
//! order, takes those that are about one transaction and looks whether each of its moves is an
//! edge. All that must hold of a commit model is checked of each state on the way, or what a broken
//! core does would be an edge as well.
//!
//! What a group has staged is followed for each group alone: it waits for nobody.

use crate::commit::{
    model::{Spine, Step},
    plan::{Item, Plan, Scenario},
    property::{NOTHING, always},
    scenarios::{at, transfer},
    serial::Write,
    world::World,
};
use stateright::{Model, Property};
use std::collections::{BTreeSet, HashSet, VecDeque};
use vatic_core::{
    command::{Command, Decision, Standing},
    rules::Rules,
};

/// The most participants of a transaction that the models have.
pub const PARTICIPANTS_MAX: usize = crate::commit::plan::GROUPS_MAX;

/// Where a transaction stands in one group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Place {
    Unknown,
    Staged,
    Yes,
    No,
    Committed,
    RolledBack,
    Forgotten,
}

/// What moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Word {
    Stage,
    Vote,
    /// A vote that comes to a No, or a forced one.
    Refuse,
    Decide,
    Forget,
    /// What no command should do.
    Other,
}

/// Where it stands everywhere: at home first, then in the others, in no order of theirs.
pub type Places = Vec<Place>;

/// The automaton.
#[derive(Clone, Debug, Default)]
pub struct Projection {
    edges: BTreeSet<(Places, Word, Places)>,
    /// Of one group alone, staging included.
    alone: BTreeSet<(Place, Word, Place)>,
}

impl Place {
    /// Of a group that says this, and has staged something or not.
    pub fn of(standing: &Standing, staged: bool) -> Place {
        match standing {
            Standing::None if staged => Place::Staged,
            Standing::None => Place::Unknown,
            Standing::Yes { .. } => Place::Yes,
            Standing::No(_) => Place::No,
            Standing::Decided(Decision::Committed { .. }) => Place::Committed,
            Standing::Decided(Decision::RolledBack(_)) => Place::RolledBack,
            Standing::Stale(_) => Place::Forgotten,
        }
    }

    fn unstaged(self) -> Place {
        if self == Place::Staged { Place::Unknown } else { self }
    }
}

impl Word {
    /// Of a command that moved a transaction to this place in its group.
    pub fn of(command: &Command, to: Place) -> Word {
        let agrees = matches!(to, Place::Yes | Place::Committed);
        match command {
            Command::Stage { .. } => Word::Stage,
            Command::Vote(_) if agrees => Word::Vote,
            Command::Force { .. } if agrees => Word::Other,
            Command::Vote(_) | Command::Force { .. } => Word::Refuse,
            Command::Decide { .. } => Word::Decide,
            Command::Forget { .. } => Word::Forget,
            _ => Word::Other,
        }
    }
}

impl Projection {
    /// Of all that the scenarios of this module may do.
    pub fn of_models() -> Projection {
        let mut projection = Projection::default();
        scenarios().into_iter().for_each(|scenario| projection.explore(scenario));
        projection
    }

    /// How many different moves there are.
    pub fn edges(&self) -> usize {
        self.edges.len() + self.alone.len()
    }

    /// Whether some model moves a transaction so: in the group at `at`, home being the first.
    ///
    /// One of more groups than the models have is looked at as many at a time, with home and the
    /// group at `at` among them, and each choice of the others must move as some model does. Where
    /// a group has refused it or forgotten it, that may be the reason for what happens: then each
    /// choice that has such a group must do so, and the others may lack the reason.
    pub fn allows(&self, before: &[Place], word: Word, after: &[Place], at: usize) -> bool {
        if before.len() <= PARTICIPANTS_MAX {
            return self.has(before, word, after, at);
        }
        let ended = [Place::No, Place::RolledBack, Place::Forgotten];
        let is_reason = |seat: &usize| ended.contains(&before[*seat]);
        let moves = |seats: &Vec<usize>| {
            let some = |all: &[Place]| seats.iter().map(|&seat| all[seat]).collect::<Places>();
            let here = seats.iter().position(|&seat| seat == at).expect("it is among them");
            self.has(&some(before), word, &some(after), here)
        };
        let has_reason = (0..before.len()).any(|seat| is_reason(&seat));
        let counts = |seats: &Vec<usize>| !has_reason || seats.iter().any(is_reason);
        choices(before.len(), at).iter().filter(|seats| counts(seats)).all(moves)
    }

    fn has(&self, before: &[Place], word: Word, after: &[Place], at: usize) -> bool {
        let (from, to) = (places(before), places(after));
        self.alone.contains(&(before[at], word, after[at]))
            && (from == to || self.edges.contains(&(from, word, to)))
    }

    fn explore(&mut self, scenario: Scenario) {
        let spine = Spine::new(scenario, Rules::default());
        let begun = spine.init_states().into_iter().map(|world| with_others_done(&spine, world));
        let mut met: VecDeque<World> = begun.collect();
        let mut known: HashSet<u64> = met.iter().map(crate::shared::fingerprint).collect();
        let mut steps = Vec::new();
        let properties = always();
        while let Some(world) = met.pop_front() {
            spine.actions(&world, &mut steps);
            for step in steps.drain(..) {
                let Some(next) = spine.next_state(&world, step.clone()) else { continue };
                self.note(&spine, &world, &step, &next);
                if known.insert(crate::shared::fingerprint(&next)) {
                    for Property { name, condition, .. } in &properties {
                        let holds = *name == NOTHING || condition(&spine, &next);
                        assert!(holds, "{}: {name} does not hold", spine.scenario.name);
                    }
                    met.push_back(next);
                }
            }
        }
    }

    fn note(&mut self, spine: &Spine, world: &World, step: &Step, next: &World) {
        let own;
        let (command, group) = match step {
            Step::Apply(request, _) => (&*request.command, request.group),
            Step::Forget { group, plan } => {
                let watermark = spine.scenario.plans[*plan].identity;
                let watermark = vatic_core::id::Timestamp(watermark);
                own = Command::Forget { watermark, settled: Vec::new() };
                (&own, *group)
            }
            Step::Sweep { group } => {
                let tid = world.sites[*group].group.staged(&world.sites[*group].state);
                let Some(&tid) = tid.first() else { return };
                own = Command::Force { tid, body: None, participants: Vec::new() };
                (&own, *group)
            }
            _ => return,
        };
        for plan in 0..spine.scenario.plans.len() {
            let Some((before, after, at)) = moved(world, next, plan, group) else { continue };
            let word = Word::of(command, after[at]);
            self.alone.insert((before[at], word, after[at]));
            self.edges.insert((places(&before), word, places(&after)));
        }
    }
}

/// All choices of as many of so many groups as the models have, with home and one more among them.
fn choices(groups: usize, at: usize) -> Vec<Vec<usize>> {
    let own = BTreeSet::from([0, at]);
    let mut chosen = BTreeSet::from([own]);
    while chosen.first().is_some_and(|seats| seats.len() < PARTICIPANTS_MAX) {
        let wider = |seats: &BTreeSet<usize>| {
            let seats = seats.clone();
            let others = (0..groups).filter(|seat| !seats.contains(seat)).collect::<Vec<_>>();
            others.into_iter().map(move |other| &seats | &BTreeSet::from([other]))
        };
        let narrow = std::mem::take(&mut chosen);
        chosen = narrow.iter().flat_map(wider).collect();
    }
    chosen.into_iter().map(|seats| seats.into_iter().collect()).collect()
}

/// After the transactions of one group each that the plans name beside the first: their votes
/// commit them. They are there to be forgotten, and the first one with them where it never was.
fn with_others_done(spine: &Spine, mut world: World) -> World {
    let mut steps = Vec::new();
    for plan in 1..spine.scenario.plans.len() {
        if spine.scenario.plans[plan].identity < OTHERS {
            continue;
        }
        world = spine.next_state(&world, Step::Client(plan)).expect("nobody has begun");
        spine.actions(&world, &mut steps);
        let vote =
            steps.drain(..).find(|step| matches!(step, Step::Apply(it, _) if it.plan == plan));
        world = spine.next_state(&world, vote.expect("it was sent")).expect("it commits");
    }
    world
}

/// How a step in a group moved the transaction of a plan, if it did, and which place that is.
fn moved(
    world: &World,
    next: &World,
    plan: usize,
    group: usize,
) -> Option<(Places, Places, usize)> {
    let sealed = next.clients[plan].sealed.as_ref()?;
    let home = sealed.tid().home.0 as usize - 1;
    let others = sealed.places().filter(|&place| place != home);
    let all: Vec<usize> = std::iter::once(home).chain(others).collect();
    let at = all.iter().position(|&place| place == group)?;
    let stand = |world: &World| -> Places {
        let places = all.iter().map(|&place| {
            let site = &world.sites[place];
            let staged = site.group.staged(&site.state).contains(&sealed.tid());
            Place::of(&site.standing(sealed.tid()), staged)
        });
        places.collect()
    };
    let (before, after) = (stand(world), stand(next));
    (before != after).then_some((before, after, at))
}

fn places(all: &[Place]) -> Places {
    let mut places: Places = all.iter().map(|place| place.unstaged()).collect();
    places[1..].sort_unstable();
    places
}

fn scenarios() -> Vec<Scenario> {
    vec![alone(), recovered(), together(2), together(3), staged(), staged_alone()]
}

/// One group, and whoever is in each other's way there.
fn alone() -> Scenario {
    let plan = |identity| Plan {
        identity,
        reads: vec![Item::Key(0)],
        writes: vec![(0, Write::Add(1))],
        ..Plan::default()
    };
    Scenario {
        name: "one transaction of one group",
        keys: vec![at(0, "a")],
        plans: vec![plan(1), plan(2)],
        gives_up: true,
        forgets: vec![(0, 0), (0, 1)],
        reduced: true,
        ..Scenario::default()
    }
}

/// One transaction over so many groups, each of which has another one of its own, which is minted
/// later: so it may be forgotten where it never was.
fn together(groups: usize) -> Scenario {
    let writes = |keys: std::ops::Range<usize>| keys.map(|key| (key, Write::Add(1))).collect();
    let own = |group| Plan {
        identity: OTHERS + group as u64,
        writes: writes(groups + group..groups + group + 1),
        ..Plan::default()
    };
    let first = Plan { identity: 1, writes: writes(0..groups), ..Plan::default() };
    Scenario {
        name: "one transaction of several groups",
        keys: (0..2 * groups).map(|key| at(key % groups, SORTS[key])).collect(),
        plans: std::iter::once(first).chain((0..groups).map(own)).collect(),
        gives_up: true,
        forgets: (0..groups).flat_map(|group| [(group, 0), (group, 1 + group)]).collect(),
        reduced: true,
        ..Scenario::default()
    }
}

/// In two groups, with somebody who recovers it: in three, that is more than a test has time for,
/// and what a recoverer sends is what a driver that gives up sends.
fn recovered() -> Scenario {
    Scenario {
        name: "one transaction of two groups that is recovered",
        recoverers: vec![0],
        stops: vec![0],
        ..together(2)
    }
}

/// From here on identities are those of transactions that are over before anything begins.
const OTHERS: u64 = 10;

const SORTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Transitions that are staged before the vote, or swept, or come with a vote that overtakes them.
fn staged() -> Scenario {
    Scenario {
        name: "one transaction that is staged",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![Plan { staged: true, hasty: true, ..transfer(1) }],
        recoverers: vec![0],
        gives_up: true,
        forgets: vec![(0, 0), (1, 0)],
        reduced: true,
        ..Scenario::default()
    }
}

/// The same in one group, where the vote decides, and in the way of another one.
fn staged_alone() -> Scenario {
    let plans = alone().plans.into_iter();
    Scenario {
        name: "one transaction of one group that is staged",
        plans: plans.map(|plan| Plan { staged: true, hasty: true, ..plan }).collect(),
        ..alone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Place::*, Projection, Word};

    #[test]
    fn transaction_of_more_groups_moves_as_some_of_its_groups_do_in_a_model() {
        let models = Projection::of_models();
        let allows = |before: &[_], word, after: &[_], at| models.allows(before, word, after, at);
        // One that never heard of it has forgotten past it, and the others give it up.
        let (before, after) = ([Yes, Yes, Yes, Forgotten], [Yes, RolledBack, Yes, Forgotten]);
        assert!(allows(&before, Word::Decide, &after, 1));
        // The reason is elsewhere.
        let (before, after) = ([Yes, Yes, Yes, No], [RolledBack, Yes, Yes, No]);
        assert!(allows(&before, Word::Decide, &after, 0));
        assert!(!allows(&[Yes; 4], Word::Decide, &[RolledBack, Yes, Yes, Yes], 0));
        // Somebody has not voted.
        let (before, after) = ([Yes, Yes, Yes, Unknown], [Committed, Yes, Yes, Unknown]);
        assert!(!allows(&before, Word::Decide, &after, 0));
        assert!(allows(&[Yes; 4], Word::Decide, &[Committed, Yes, Yes, Yes], 0));
    }
}
