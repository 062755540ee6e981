//! What the explorer shows: a state by the steps that lead to it, and ways to a property's example.
//!
//! A path is the places of its steps among those that a state offers, so that a link to a state
//! stays good for as long as the model does. States are computed anew from the start each time: a
//! path has a few dozen steps.

use crate::{
    catalogue::{Entry, Visit},
    check::{Effort, Steps, path_to},
    narrate::{Narrated, Panel},
};
use serde::Serialize;
use stateright::Expectation;
use vatic_core::rules::Rules;

/// A state with the way to it and the ways on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct View {
    /// The steps that led here, in words.
    pub trail: Vec<String>,
    /// The state, part by part.
    pub parts: Vec<Part>,
    /// What can happen next.
    pub steps: Vec<Next>,
    /// The model's properties and how they are in this state.
    pub properties: Vec<Here>,
}

/// One part of a state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Part {
    /// Which part.
    pub title: String,
    /// How it is drawn.
    pub kind: &'static str,
    /// What it holds.
    pub lines: Vec<Line>,
}

/// One line of a part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// Whether it was not so before the last step.
    pub fresh: bool,
}

/// A step that can be taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Next {
    /// Its place, to extend the path by.
    pub at: usize,
    /// The step, in words.
    pub text: String,
}

/// A property in one state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Here {
    /// The property.
    pub name: &'static str,
    /// `always`, `sometimes` or `refuted`.
    pub kind: &'static str,
    /// Whether its condition holds in this state.
    pub holds: bool,
}

impl Entry {
    /// The state at the end of a path; none where there is no such path.
    pub fn view(&self, rules: Rules, path: &[usize]) -> Option<View> {
        self.build(rules, Look { path })
    }

    /// The shortest path found to where an `always` is violated or another property's example is.
    pub fn path_to(&self, rules: Rules, property: &str, effort: Effort) -> Option<Vec<usize>> {
        self.build(rules, Find { property, effort })
    }
}

struct Look<'a> {
    path: &'a [usize],
}

impl Visit for Look<'_> {
    type Out = Option<View>;

    fn visit<M: Narrated>(self, model: M) -> Option<View> {
        let mut state = model.init_states().into_iter().next()?;
        let mut trail = Vec::new();
        let mut before = Vec::new();
        for &at in self.path {
            let step = steps(&model, &state).into_iter().nth(at)?;
            trail.push(model.say_step(&state, &step));
            before = model.say_state(&state);
            state = model.next_state(&state, step)?;
        }
        let parts = model.say_state(&state).into_iter().map(|panel| part(panel, &before));
        let parts = parts.collect();
        let possible = steps(&model, &state).into_iter().enumerate();
        let possible =
            possible.filter(|(_, step)| model.next_state(&state, step.clone()).is_some());
        let next = possible.map(|(at, step)| Next { at, text: model.say_step(&state, &step) });
        let next = next.collect();
        Some(View { trail, parts, steps: next, properties: properties(&model, &state) })
    }
}

struct Find<'a> {
    property: &'a str,
    effort: Effort,
}

impl Visit for Find<'_> {
    type Out = Option<Vec<usize>>;

    fn visit<M: Narrated>(self, model: M) -> Option<Vec<usize>> {
        let named = model.properties().into_iter().find(|known| known.name == self.property)?;
        path_to(model, named.name, self.effort, |model, found| {
            let mut state = model.init_states().into_iter().next()?;
            let mut path = Vec::new();
            for step in found {
                path.push(steps(model, &state).iter().position(|known| *known == step)?);
                state = model.next_state(&state, step)?;
            }
            Some(path)
        })
    }
}

fn steps<M: Narrated>(model: &M, state: &M::State) -> Steps<M> {
    let mut steps = Vec::new();
    model.actions(state, &mut steps);
    steps
}

fn part(Panel { title, kind, lines }: Panel, before: &[Panel]) -> Part {
    let was = before.iter().find(|panel| panel.title == title);
    let fresh = |line: &String| was.is_some_and(|was| !was.lines.contains(line));
    let lines = lines.into_iter().map(|text| Line { fresh: fresh(&text), text }).collect();
    Part { title, kind, lines }
}

fn properties<M: Narrated>(model: &M, state: &M::State) -> Vec<Here> {
    let properties = model.properties().into_iter();
    let here = properties.map(|property| Here {
        name: property.name,
        kind: match property.expectation {
            Expectation::Always if property.name == model.refuted() => "refuted",
            Expectation::Always => "always",
            _ => "sometimes",
        },
        holds: (property.condition)(model, state),
    });
    here.collect()
}
