//! Each transaction's own part of a run, held against the models.
//!
//! All entries are applied once more, command by command, in the order in which groups applied them
//! first. Of each transaction is noted where it stands in each of its groups before and after each
//! command that moves it, and every such move must be one that a model makes too
//! ([`vatic_models::commit::projection`]). It is held against moves, not paths: what is
//! taken goes over edges that the models have, whose states they have checked.
//!
//! A gateway may have sent two bodies under one id. Each is followed by itself, and what a group
//! said to the other one is a refusal of this one.

use crate::{sim_state::SimState, world::World};
use std::{collections::BTreeMap, sync::OnceLock};
use vatic_core::{
    command::{Command, Standing},
    group::Group,
    hash::Hash,
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
    /// Of these, those of more groups than the models have, which are looked at some at a time.
    pub wide: u64,
    /// Of these, those that share their id with another body.
    pub twins: u64,
    /// Moves that no model makes.
    pub strange: Vec<String>,
}

impl Projections {
    pub(super) fn add(&mut self, other: Projections) {
        self.checked += other.checked;
        self.moves += other.moves;
        self.wide += other.wide;
        self.twins += other.twins;
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
    body: Hash,
    groups: Vec<GroupId>,
    places: Vec<Place>,
    /// The body that each group said Yes to, or was told a decision of before any vote.
    voted: Vec<Option<Hash>>,
    moved: bool,
}

impl Track {
    /// Where this body comes to stand in the group at a seat that has just applied a command, after
    /// which it says this of the id; each place with the command that it is taken for.
    fn moves(
        &mut self,
        seat: usize,
        command: &Command,
        says: &Standing,
        staged: bool,
    ) -> Vec<(Word, Place)> {
        let voted = &mut self.voted[seat];
        match (says, command) {
            (Standing::Yes { body, .. }, _) => *voted = Some(*body),
            (Standing::Decided(_), Command::Vote(vote)) if voted.is_none() => {
                *voted = Some(vote.body.digest());
            }
            // Nobody voted here: whoever decided it meant its own body.
            (Standing::Decided(_), Command::Decide { body: Some(body), .. }) if voted.is_none() => {
                *voted = Some(*body);
            }
            _ => {}
        }
        let of_another = voted.is_some_and(|voted| voted != self.body);
        let place = match says {
            Standing::Yes { .. } if of_another => Place::No,
            Standing::Decided(_) if of_another => Place::RolledBack,
            _ => Place::of(says, staged),
        };
        let new = matches!(self.places[seat], Place::Unknown | Place::Staged);
        match (of_another && new, place) {
            // The other one was decided at once: to this one that is both.
            (true, Place::RolledBack) => {
                vec![(Word::Refuse, Place::No), (Word::Decide, Place::RolledBack)]
            }
            _ => vec![(Word::of(command, place), place)],
        }
    }
}

struct Onlooker<'w> {
    world: &'w World,
    models: &'w Projection,
    groups: Vec<(Group, SimState, u64)>,
    tracks: BTreeMap<Tid, Vec<Track>>,
    found: Projections,
}

impl Onlooker<'_> {
    fn new<'w>(world: &'w World, models: &'w Projection) -> Onlooker<'w> {
        let open = |id| {
            let state = SimState::default();
            (Group::open(id, &state, world.options.rules), state, 0)
        };
        let groups = world.groups.iter().map(|group| open(group.id)).collect();
        let mut tracks: BTreeMap<Tid, Vec<Track>> = BTreeMap::new();
        for (&body, attempt) in &world.history.attempts {
            let tid = attempt.body.tid;
            let others = attempt.body.groups().into_iter().filter(|&group| group != tid.home);
            let groups: Vec<GroupId> = std::iter::once(tid.home).chain(others).collect();
            let places = vec![Place::Unknown; groups.len()];
            let voted = vec![None; groups.len()];
            let track = Track { body, groups, places, voted, moved: false };
            tracks.entry(tid).or_default().push(track);
        }
        let found = Projections::default();
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
                let watermark = machine.watermark();
                let old = self.tracks.iter().filter(|(tid, _)| Some(tid.mint) <= watermark);
                let here = |tracks: &[Track]| tracks.iter().any(|it| it.groups.contains(&id));
                let here = old.filter(|(_, tracks)| here(tracks));
                let tids: Vec<Tid> = here.map(|(tid, _)| *tid).collect();
                tids.into_iter().for_each(|tid| self.look(at, tid, command));
            }
            _ => command.tid().into_iter().for_each(|tid| self.look(at, tid, command)),
        }
    }

    /// Sees where an id's transactions stand now in the group that has just applied a command.
    fn look(&mut self, at: usize, tid: Tid, command: &Command) {
        let Some(tracks) = self.tracks.get_mut(&tid) else { return };
        let (machine, state, _) = &self.groups[at];
        let (id, standing) = (machine.id(), machine.standing(state, tid));
        let staged = standing == Standing::None && machine.staged(state).contains(&tid);
        for track in tracks {
            let Some(seat) = track.groups.iter().position(|&group| group == id) else { continue };
            for (word, place) in track.moves(seat, command, &standing, staged) {
                let mut after = track.places.clone();
                after[seat] = place;
                if after == track.places {
                    continue;
                }
                if !self.models.allows(&track.places, word, &after, seat) {
                    let before = &track.places;
                    let strange = format!("{tid} in group {id}: {before:?}, {word:?}, {after:?}");
                    self.found.strange.push(strange);
                }
                self.found.moves += 1;
                (track.places, track.moved) = (after, true);
            }
        }
    }

    fn conclude(mut self) -> Projections {
        for tracks in self.tracks.values() {
            let moved = tracks.iter().filter(|track| track.moved);
            let wide = moved.clone().filter(|track| track.groups.len() > PARTICIPANTS_MAX);
            self.found.wide += wide.count() as u64;
            let moved = moved.count() as u64;
            self.found.twins += if tracks.len() > 1 { moved } else { 0 };
            self.found.checked += moved;
        }
        self.found
    }
}
