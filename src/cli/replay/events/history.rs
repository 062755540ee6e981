//! A history of cases, turned into streams.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use vatic_core::footprint::{Footprint, Token};
use vatic_core::hash::{Hash, Hasher};
use vatic_learn::forecast::{Prefix, Step, Symbol};

use crate::exit::Failed;
use crate::replay::read;

/// A case that is shorter says nothing of forecasts.
const STEPS_MIN: usize = 3;

/// One line.
#[derive(Deserialize)]
struct Line {
    case: Json,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    at: f64,
    step: String,
    #[serde(default)]
    user: Json,
}

/// All cases by their start, with names numbered as they come.
pub(crate) struct History {
    pub(crate) cases: Vec<Case>,
    /// By symbol.
    pub(crate) names: Vec<String>,
    marks: Vec<Arc<Footprint>>,
    /// How many cases train.
    pub(crate) train: usize,
}

/// One stream.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

impl History {
    pub(crate) fn read(file: &Path) -> anyhow::Result<History> {
        let mut lines: Vec<Line> = read::lines(file)?;
        lines.retain(|line| line.events.len() >= STEPS_MIN);
        lines.sort_by(|one, other| one.events[0].at.total_cmp(&other.events[0].at));
        let train = lines.len() * 7 / 10;
        if train == 0 {
            let few = format!("{}: fewer than two cases of {STEPS_MIN} steps", file.display());
            return Err(Failed::usage(few).into());
        }
        let (mut names, mut marks) = (Vec::new(), Vec::new());
        let (mut symbols, mut users) = (BTreeMap::new(), BTreeMap::new());
        let mut cases = Vec::new();
        for line in lines {
            let step = |event: Event| {
                let symbol = *symbols.entry(event.step.clone()).or_insert_with(|| {
                    let mut mark = Footprint::default();
                    mark.add_token(Token::step(&event.step));
                    marks.push(Arc::new(mark));
                    names.push(event.step);
                    Symbol(names.len() as u32 - 1)
                });
                let next = users.len() as u32;
                let user = *users.entry(event.user.to_string()).or_insert(next);
                let footprint = marks[symbol.0 as usize].clone();
                Step { symbol, user, at_us: (event.at * 1e6) as i64, footprint }
            };
            let steps = line.events.into_iter().map(step).collect();
            cases.push(Case { name: line.case.to_string(), steps });
        }
        Ok(History { cases, names, marks, train })
    }

    /// The cases that test, with their places.
    pub(crate) fn test(&self) -> impl Iterator<Item = (usize, &Case)> {
        self.cases.iter().enumerate().skip(self.train)
    }

    /// The token of a step.
    pub(crate) fn token(&self, symbol: Symbol) -> Token {
        Token::step(&self.names[symbol.0 as usize])
    }

    /// A step by its symbol, for one that did not happen.
    pub(crate) fn step(&self, symbol: Symbol, like: &Step) -> Step {
        Step { symbol, footprint: self.marks[symbol.0 as usize].clone(), ..like.clone() }
    }
}

impl Case {
    /// All of it. Its class is its first step.
    pub(crate) fn stream(&self) -> Prefix<'_> {
        Prefix { class: self.steps[0].symbol.0.into(), steps: &self.steps }
    }

    /// The same of its first steps: another one after each.
    pub(crate) fn head(&self, steps: u64) -> Hash {
        Hasher::new("case so far").bytes(self.name.as_bytes()).u64(steps).finish()
    }

    /// What breaks its ties.
    pub(crate) fn digest(&self) -> Hash {
        Hasher::new("case").bytes(self.name.as_bytes()).finish()
    }
}
