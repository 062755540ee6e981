//! What a model says of itself, in the protocol's own words: for counterexamples and the explorer.

use crate::premise::{Noted, Premise};
use serde::Serialize;
use stateright::Model;
use std::hash::Hash;

/// A model whose states and steps can be read.
pub trait Narrated:
    Model<State: Told, Action: Clone + PartialEq> + Send + Sync + Sized + 'static
{
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// The property that must be violated, or all others hold because nothing ever happens.
    fn refuted(&self) -> &'static str;

    /// What its other properties are about.
    fn premises(&self) -> &'static [Premise<Self>];

    /// Which of that has occurred.
    fn noted(&self) -> &Noted;

    /// What a step does, from this state.
    fn say_step(&self, state: &Self::State, step: &Self::Action) -> String;

    /// A state, part by part.
    fn say_state(&self, state: &Self::State) -> Vec<Panel>;
}

/// What the checker asks of states.
pub trait Told: Clone + PartialEq + Hash + Send + Sync + 'static {}

impl<T: Clone + PartialEq + Hash + Send + Sync + 'static> Told for T {}

/// One part of a state: a group, a coordinator, a client, what is on its way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Panel {
    /// Which part.
    pub title: String,
    /// How it is drawn: `group`, `coordinator`, `client`, `wire` or `observer`.
    pub kind: &'static str,
    /// What it holds.
    pub lines: Vec<String>,
}

impl Panel {
    /// A part of a state.
    pub fn new(kind: &'static str, title: impl Into<String>, lines: Vec<String>) -> Panel {
        Panel { title: title.into(), kind, lines }
    }
}
