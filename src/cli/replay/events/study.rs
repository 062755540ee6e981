//! Training, and going on by the history's clock.

use std::collections::BTreeMap;
use std::ops::Range;

use vatic_learn::forecast::{Made, Panel, ask_at};

use super::errors::{Errors, Scored};
use super::history::{Case, History};
use super::judge::{Judge, judged_at};
use super::{QUARTERS, cut};

/// What was learnt.
#[derive(Default)]
pub(crate) struct Study {
    pub(crate) panel: Panel,
    pub(crate) judge: Judge,
    /// Who did best while training.
    pub(crate) champion: usize,
    /// The progressive error of each while training.
    pub(crate) progressive: Vec<f64>,
}

/// What came of the test with learning left on.
pub(crate) struct Online {
    pub(crate) errors: Errors,
    /// In the order in which cases ended.
    pub(crate) alarms: Vec<bool>,
}

/// What the clock brings; asks come before ends of the same moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Ask { case: usize, steps: usize },
    End { case: usize },
}

/// The forecasts of one case, by how many steps they were made from, with who was champion then.
type Asked = BTreeMap<usize, (usize, Made)>;

impl Study {
    /// Learns the first part of the history, case by case: each is forecast by those that started
    /// before it, all of them finished. Learnt in the order in which they end, the last would be
    /// those that took long, and to whoever trusts the latest most, all cases would be long.
    pub(crate) fn train(history: &History) -> Study {
        let mut study = Study::default();
        for case in &history.cases[..history.train] {
            let ask = |steps| {
                let made = study.panel.forecast_all(case.stream().first(steps));
                (steps, (study.panel.champion(), made))
            };
            let asked = asks(case.steps.len()).into_iter().map(ask).collect();
            study.end(case, asked);
        }
        study.champion = study.panel.champion();
        study.progressive = study.panel.errors();
        study
    }

    /// Goes through the test by the clock, and learns from each case when it has ended.
    pub(crate) fn go_on(&mut self, history: &History) -> Online {
        let mut scored = Scored::new(self.panel.names().len());
        let cuts = |steps: usize| {
            let mut all = asks(steps);
            all.extend(QUARTERS.map(|quarters| cut(steps, quarters)));
            all.sort_unstable();
            all.dedup();
            all
        };
        let alarms =
            self.follow(history, history.train..history.cases.len(), cuts, |case, asked| {
                for quarters in QUARTERS {
                    scored.add(quarters, &asked[&cut(case.steps.len(), quarters)].1, case);
                }
            });
        Online { errors: scored.means(), alarms }
    }

    /// Lives through some cases: forecasts as they grow, verdict and learning as they end.
    fn follow(
        &mut self,
        history: &History,
        cases: Range<usize>,
        asks: impl Fn(usize) -> Vec<usize>,
        mut ended: impl FnMut(&Case, &Asked),
    ) -> Vec<bool> {
        let mut running: BTreeMap<usize, Asked> = BTreeMap::new();
        let mut alarms = Vec::new();
        for moment in agenda(history, cases, asks) {
            match moment {
                Moment::Ask { case, steps } => {
                    let made = self.panel.forecast_all(history.cases[case].stream().first(steps));
                    let asked = running.entry(case).or_default();
                    asked.insert(steps, (self.panel.champion(), made));
                }
                Moment::End { case } => {
                    let asked = running.remove(&case).unwrap_or_default();
                    ended(&history.cases[case], &asked);
                    alarms.push(self.end(&history.cases[case], asked));
                }
            }
        }
        alarms
    }

    fn end(&mut self, case: &Case, asked: Asked) -> bool {
        self.judge.look_on(case, |steps| {
            let (champion, made) = &asked[&steps];
            made.outlooks[*champion].fixed()
        });
        let (champion, made) = &asked[&judged_at(case.steps.len())];
        let verdict = self.judge.verdict(case, &made.outlooks[*champion]);
        let (alarm, _) = self.judge.fold(case, &verdict);
        // What was asked at other places is for the report's sake.
        let scored = asked.into_iter().filter(|(steps, _)| ask_at(*steps));
        let made: Vec<Made> = scored.map(|(_, (_, made))| made).collect();
        self.panel.learn(case.stream(), &made);
        alarm
    }
}

fn asks(steps: usize) -> Vec<usize> {
    (1..steps).filter(|at| ask_at(*at)).collect()
}

/// Everything that happens to some cases, by the clock.
fn agenda(
    history: &History,
    cases: Range<usize>,
    asks: impl Fn(usize) -> Vec<usize>,
) -> Vec<Moment> {
    let mut agenda = Vec::new();
    for case in cases {
        let steps = &history.cases[case].steps;
        let asked = asks(steps.len()).into_iter();
        agenda.extend(asked.map(|at| (steps[at - 1].at_us, Moment::Ask { case, steps: at })));
        let last = steps.iter().map(|step| step.at_us).max().unwrap_or(0);
        agenda.push((last, Moment::End { case }));
    }
    agenda.sort_unstable();
    agenda.into_iter().map(|(_, moment)| moment).collect()
}
