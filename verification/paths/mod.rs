//! Paths of the models, walked by the real state machine over the real store.
//!
//! A model keeps its groups' states in a map. Here the same commands go to the core's group over
//! the store that the server uses, once with LMDB below it and once with what stands in for LMDB,
//! along paths that together take every step of a part of the model's state graph. Replies must be
//! the same at every step, and states byte by byte at the end of each path. On the way state is
//! flushed and groups are opened anew, and now and then the store is closed and opened again: what
//! a model takes for one map is overlay, disk, or both.

mod shelf;

pub use shelf::{InLmdb, InMemory, Shelf};

use crate::{parallel, rng::Rng};
use stateright::Model;
use std::panic::{AssertUnwindSafe, catch_unwind};
use vatic_core::{command::Command, group::Group, id::GroupId, rules::Rules};
use vatic_models::{
    commit::{
        memo::{Deed, Heard},
        model::{Spine, Step},
        scenarios,
        world::World,
    },
    paths::Graph,
};

/// A path goes on for so many steps with what no other path took.
const STEPS_MAX: usize = 40;

/// One path of so many has its store closed and opened again.
const RESTART_EVERY: u64 = 50;

/// What was walked, and where it came to something else.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// Paths.
    pub paths: u64,
    /// Commands that groups applied on them.
    pub commands: u64,
    /// Steps of the graphs that the paths were to take.
    pub graph_steps: u64,
    /// Whether all of those were taken.
    pub covered: bool,
    /// What differed.
    pub differences: Vec<String>,
}

/// The models whose paths can be walked.
pub fn walkable() -> Vec<&'static str> {
    scenarios::all().into_iter().map(|scenario| scenario.name).collect()
}

/// Walks paths of a model over a store, until all steps of its first `states_max` states were taken
/// or `paths_max` were walked. `rules` are those of the machine that walks.
pub fn walk<S: Shelf>(model: &str, states_max: usize, paths_max: u64, rules: Rules) -> Walked {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == model);
    let scenario = scenario.unwrap_or_else(|| panic!("no model of commits is named {model}"));
    let groups = scenario.groups();
    let spine = Spine::heard(scenario);
    let graph = Graph::of(&spine, states_max);
    let mut walked = Walked { graph_steps: graph.steps() as u64, ..Walked::default() };
    let mut walker = Walker { spine: &spine, rules, shelf: S::open(groups), rng: Rng::new(1) };
    let mut enough = false;
    graph.cover(STEPS_MAX, |path| {
        walked.paths += 1;
        walker.shelf.clear();
        let restarts = walked.paths.is_multiple_of(RESTART_EVERY);
        let walk = catch_unwind(AssertUnwindSafe(|| walker.walk(path, restarts)));
        match walk.unwrap_or_else(|_| Err(format!("an assertion of the core fails on {path:?}"))) {
            Ok(commands) => walked.commands += commands,
            Err(difference) => walked.differences.push(format!("{model}: {difference}")),
        }
        enough = walked.paths >= paths_max || !walked.differences.is_empty();
        !enough
    });
    walked.covered = !enough;
    walked
}

/// As [`walk`], of several models on so many threads.
pub fn walk_all<S: Shelf>(
    models: &[&'static str],
    states_max: usize,
    paths_max: u64,
    rules: Rules,
    threads: usize,
) -> Vec<(&'static str, Walked)> {
    parallel::map(models, threads, |&model| (model, walk::<S>(model, states_max, paths_max, rules)))
}

struct Walker<'m, S> {
    spine: &'m Spine,
    rules: Rules,
    shelf: S,
    rng: Rng,
}

impl<S: Shelf> Walker<'_, S> {
    /// Walks one path; gives the number of commands.
    fn walk(&mut self, path: &[Step], restarts: bool) -> Result<u64, String> {
        let mut world = self.spine.init_states().remove(0);
        self.spine.take_heard();
        let mut groups: Vec<Group> = (0..world.sites.len()).map(|at| self.open(at)).collect();
        for (at, group) in groups.iter_mut().enumerate() {
            if let Some(command) = self.spine.founding(at) {
                group.apply(self.shelf.state(at), &command).map_err(|halt| halt.to_string())?;
            }
            group.save(self.shelf.state(at));
            self.shelf.publish(at);
        }
        let (mut commands, break_at) = (0, self.rng.index(path.len()));
        for (at, step) in path.iter().enumerate() {
            if at == break_at {
                self.interrupt(&mut groups, restarts);
            }
            world = self.spine.next_state(&world, step.clone()).expect("a step of the model's");
            for heard in self.spine.take_heard() {
                commands += 1;
                self.do_as(&mut groups, &heard).map_err(|how| self.tell(path, at, &how))?;
            }
        }
        let same = self.compare(&groups, &world);
        same.map_err(|how| self.tell(path, path.len() - 1, &how))?;
        Ok(commands)
    }

    fn open(&mut self, at: usize) -> Group {
        Group::open(GroupId(at as u32 + 1), self.shelf.state(at), self.rules)
    }

    /// State goes to disk, and what is in memory alone is lost: of the groups, perhaps of the
    /// store.
    fn interrupt(&mut self, groups: &mut [Group], restarts: bool) {
        self.shelf.flush();
        if restarts {
            self.shelf.restart();
        }
        for (at, group) in groups.iter_mut().enumerate() {
            *group = self.open(at);
        }
    }

    fn do_as(&mut self, groups: &mut [Group], heard: &Heard) -> Result<(), String> {
        let at = heard.group.0 as usize - 1;
        match &heard.deed {
            Deed::Reopened => groups[at] = self.open(at),
            Deed::Applied(command, reply) => {
                let (group, state) = (&mut groups[at], self.shelf.state(at));
                let again = group.apply(state, command).map_err(|halt| halt.to_string())?;
                group.save(state);
                self.shelf.publish(at);
                if Some(&again) != reply.as_deref() {
                    let what = describe(command);
                    return Err(format!("{what} in {}: {again:?}, not {reply:?}", heard.group));
                }
            }
        }
        Ok(())
    }

    fn compare(&self, groups: &[Group], world: &World) -> Result<(), String> {
        for (at, (group, site)) in groups.iter().zip(&world.sites).enumerate() {
            if self.shelf.rows(at) != site.state.0 {
                return Err(format!("group {} holds other rows", group.id()));
            }
            if self.rules == self.spine.rules && *group != site.group {
                return Err(format!("group {} keeps something else in memory", group.id()));
            }
        }
        Ok(())
    }

    fn tell(&self, path: &[Step], at: usize, how: &str) -> String {
        format!("{how}, after {:?}", &path[..=at])
    }
}

fn describe(command: &Command) -> String {
    let text = format!("{command:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}
