//! Each transaction's own part of a run, held against the models.
//!
//! All entries are applied once more, command by command, in the order in which groups applied them
//! first. Of each transaction is noted where it stands in each of its groups before and after each
//! command that moves it, and every such move must be one that a model makes too
//! ([`vatic_models::commit::projection`]). So what the models have shown of all their paths is
//! shown of paths that are taken.
//!
//! Left out, and counted: ids under which a gateway sent two bodies, whose participants may differ,
//! and transactions of more groups than the models have.

use crate::{sim_state::SimState, world::World};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};
use vatic_core::{
    command::Command,
    group::Group,
    id::{GroupId, Tid},
};
use vatic_models::commit::projection::{PARTICIPANTS_MAX, Place, Projection, Word};

/// How the transactions of a run were found to go.
#[derive(Clone, Debug, Default)]
pub struct Projections {
    /// Transactions that were followed, of those that moved at all.
    pub checked: u64,
    /// Their moves.
    pub moves: u64,
    /// Transactions that cannot be followed.
    pub left_out: u64,
    /// Moves that no model makes.
    pub strange: Vec<String>,
}

impl Projections {
    pub(super) fn add(&mut self, other: Projections) {
        self.checked += other.checked;
        self.moves += other.moves;
        self.left_out += other.left_out;
        self.strange.extend(other.strange);
    }
}

/// Follows all transactions of a run, under the rules that it was made under.
pub(super) fn follow(world: &World) -> Projections {
    static MODELS: OnceLock<Projection> = OnceLock::new();
    let models = MODELS.get_or_init(Projection::of_models);
    let mut onlooker = Onlooker::new(world, models);
    let order = world.tape.iter().flat_map(|tape| &tape.order);
    for &(group, index) in order {
        onlooker.apply_up_to(group, index);
    }
    onlooker.conclude()
}

/// One transaction: where it stands in its groups, home first.
struct Track {
    groups: Vec<GroupId>,
    places: Vec<Place>,
    moved: bool,
}

struct Onlooker<'w> {
    world: &'w World,
    models: &'w Projection,
    groups: Vec<(Group, SimState, u64)>,
    tracks: BTreeMap<Tid, Track>,
    found: Projections,
}

impl Onlooker<'_> {
    fn new<'w>(world: &'w World, models: &'w Projection) -> Onlooker<'w> {
        let open = |id| {
            let state = SimState::default();
            (Group::open(id, &state, world.options.rules), state, 0)
        };
        let groups = world.groups.iter().map(|group| open(group.id)).collect();
        let mut bodies: BTreeMap<Tid, BTreeSet<Vec<GroupId>>> = BTreeMap::new();
        let mut twins = BTreeSet::new();
        for attempt in world.history.attempts.values() {
            let known = bodies.entry(attempt.body.tid).or_default();
            if !known.is_empty() {
                twins.insert(attempt.body.tid);
            }
            known.insert(attempt.body.groups());
        }
        let mut found = Projections::default();
        let mut tracks = BTreeMap::new();
        for (tid, mut participants) in bodies {
            let participants = participants.pop_first().expect("one at least");
            if twins.contains(&tid) || participants.len() > PARTICIPANTS_MAX {
                found.left_out += 1;
                continue;
            }
            let others = participants.into_iter().filter(|&group| group != tid.home);
            let groups: Vec<GroupId> = std::iter::once(tid.home).chain(others).collect();
            let places = vec![Place::Unknown; groups.len()];
            tracks.insert(tid, Track { groups, places, moved: false });
        }
        Onlooker { world, models, groups, tracks, found }
    }

    /// Applies a group's entries up to this one.
    fn apply_up_to(&mut self, at: usize, index: u64) {
        let world = self.world;
        while self.groups[at].2 < index {
            let entry = &world.groups[at].log[self.groups[at].2 as usize];
            self.groups[at].2 += 1;
            for proposed in entry.commands() {
                self.apply(at, &proposed.command);
            }
        }
    }

    fn apply(&mut self, at: usize, command: &Command) {
        let (machine, state, _) = &mut self.groups[at];
        if machine.apply(state, command).is_err() {
            let strange = format!("group {} halts at {command:?}", machine.id());
            return self.found.strange.push(strange);
        }
        match command {
            Command::Forget { .. } => {
                let id = machine.id();
                let here =
                    |(tid, track): (&Tid, &Track)| track.groups.contains(&id).then_some(*tid);
                let watermark = machine.watermark();
                let old = |tid: &Tid| Some(tid.mint) <= watermark;
                let tids: Vec<Tid> = self.tracks.iter().filter_map(here).filter(old).collect();
                tids.into_iter().for_each(|tid| self.look(at, tid, command));
            }
            _ => command.tid().into_iter().for_each(|tid| self.look(at, tid, command)),
        }
    }

    /// Sees where a transaction stands now in the group that has just applied a command.
    fn look(&mut self, at: usize, tid: Tid, command: &Command) {
        let Some(track) = self.tracks.get_mut(&tid) else { return };
        let (machine, state, _) = &self.groups[at];
        let Some(seat) = track.groups.iter().position(|&group| group == machine.id()) else {
            return;
        };
        let standing = machine.standing(state, tid);
        let unknown = standing == vatic_core::command::Standing::None;
        let staged = unknown && machine.staged(state).contains(&tid);
        let mut after = track.places.clone();
        after[seat] = Place::of(&standing, staged);
        if after == track.places {
            return;
        }
        let word = Word::of(command, after[seat]);
        if !self.models.allows(&track.places, word, &after, seat) {
            let (before, id) = (&track.places, machine.id());
            let strange = format!("{tid} in group {id}: {before:?}, {word:?}, {after:?}");
            self.found.strange.push(strange);
        }
        self.found.moves += 1;
        (track.places, track.moved) = (after, true);
    }

    fn conclude(mut self) -> Projections {
        self.found.checked = self.tracks.values().filter(|track| track.moved).count() as u64;
        self.found
    }
}
