//! A running stream's side of foreseeing: notes its steps and reads, and hears of what is foreseen.
//! What is made of it on the way and at the seal is in `progress` and `seal`.

use super::{
    beside::Beside,
    counters::Counters,
    habits::Opening,
    learner::{Asked, Foresight, Judged},
    odds,
    study::{Line, Told},
    walk::Walk,
    warm::Warm,
    watch::Watch,
};
use crate::{cluster::Cluster, time};
use std::sync::Arc;
use vatic_core::{
    delta::Delta,
    disturbed::Disturbed,
    draft::Draft,
    hash::Hasher,
    id::GroupId,
    policy::{Policies, Validation},
    read::Record,
    verdict::Verdict,
};
use vatic_learn::forecast::ask_at;

/// What a client wants to be told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) forecasts: bool,
    pub(crate) warnings: bool,
    pub(crate) abort_early: bool,
    pub(crate) abort_strayed: bool,
}

/// What there is to tell a stream.
#[derive(Debug)]
pub(crate) enum News {
    Forecast(Foretold),
    /// A forecast was made before which there was another one: how far it came on that one's way.
    Progress(Arc<Told>),
    Disturbed(Disturbed),
}

/// A forecast, as a client is told it.
#[derive(Debug)]
pub(crate) struct Foretold {
    pub(crate) told: Arc<Told>,
    /// That the stream meets a conflict, by what it had touched, in parts per million; where that
    /// was known by now.
    pub(crate) conflict_ppm: Option<u32>,
    /// How it is judged so far, where it can be.
    pub(crate) so_far: Option<Verdict>,
}

/// See the file's head.
pub(crate) struct Guide {
    pub(super) foresight: Foresight,
    pub(super) wants: Wants,
    pub(super) policies: Arc<Policies>,
    /// All its transitions come at once: it is judged by its first.
    pub(super) at_once: bool,
    /// What is sent beside what is judged.
    pub(super) beside: Beside,
    /// It was sealed before, and is not learnt from again.
    pub(super) repeats: bool,
    /// The strictest validation that a collection written so far asks for.
    pub(super) validation: Validation,
    /// `None`: nobody needs to know and the learner has enough to do.
    pub(super) walk: Option<Walk>,
    /// Forecasts are asked for, whatever it writes.
    pub(super) asks: bool,
    /// They are in any case, to take turns by: it is neither judged nor learnt for that.
    takes_turns: bool,
    /// What it read, where it takes turns as advised.
    pub(super) opening: Opening,
    pub(super) asked: usize,
    /// A forecast was asked for after so many transitions, and is to be told how likely a conflict
    /// is.
    unweighed: Option<usize>,
    pub(super) line: Arc<Line>,
    /// Forecasts that the stream has taken, and those whose way it was held against.
    taken: usize,
    looked: usize,
    /// How it was judged so far, after how many transitions each time.
    pub(super) so_far: Vec<(usize, Verdict)>,
    /// That it strays is noted.
    pub(super) is_noted: bool,
    pub(super) watch: Option<Watch>,
    /// `None`: participants are not contacted ahead.
    pub(super) warm: Option<Warm>,
    /// How it was judged, until it has its outcome.
    pub(super) judged: Option<Judged>,
}

impl Guide {
    /// Of a stream that has not begun.
    pub(crate) fn new(foresight: &Foresight) -> Guide {
        Guide {
            foresight: foresight.clone(),
            wants: Wants::default(),
            policies: Arc::default(),
            at_once: false,
            beside: Beside::default(),
            repeats: false,
            validation: Validation::Observe,
            walk: None,
            asks: false,
            takes_turns: false,
            opening: Opening::default(),
            asked: 0,
            unweighed: None,
            line: Arc::default(),
            taken: 0,
            looked: 0,
            so_far: Vec::new(),
            is_noted: false,
            watch: None,
            warm: None,
            judged: None,
        }
    }

    /// The stream begins, and may be one that takes turns as advised.
    pub(crate) fn begin(
        &mut self,
        (wants, takes_turns): (Wants, bool),
        principal: &str,
        cluster: &Arc<Cluster>,
    ) {
        self.wants = wants;
        self.takes_turns = takes_turns && self.foresight.habits.spare();
        self.policies = cluster.policies();
        // What it will write is not known yet.
        let enforce = self.policies.enforce();
        self.asks = wants.forecasts || enforce || self.foresight.has_room();
        if self.foresight.learns() {
            let followed = self.asks || self.takes_turns;
            self.walk = followed.then(|| self.walk_of(principal));
            self.foresight.counters.left_out.inc_by(u64::from(!self.asks));
        }
        let warms = || Warm::new(cluster, &self.foresight.tolerances, &self.foresight.counters);
        self.warm = self.walk.as_ref().filter(|_| self.asks).and_then(|_| warms());
        let watches = wants.warnings || wants.abort_early;
        let Foresight { rounds, counters, .. } = &self.foresight;
        self.watch = watches.then(|| Watch::start(cluster, rounds, counters.clone()));
    }

    /// Of a one-shot or a ticket: foreseen and learnt from where a collection enforces forecasts,
    /// and nowhere else, since there may be very many.
    pub(crate) fn at_once(foresight: &Foresight, principal: &str, cluster: &Cluster) -> Guide {
        let mut guide = Guide::new(foresight);
        guide.at_once = true;
        guide.policies = cluster.policies();
        let foreseen = foresight.learns() && guide.policies.enforce();
        guide.walk = foreseen.then(|| guide.walk_of(principal));
        guide
    }

    /// Whether it is another attempt at what was sealed before: one is enough to learn from.
    pub(crate) fn repeats(&mut self, repeats: bool) {
        self.repeats = repeats;
    }

    fn walk_of(&self, principal: &str) -> Walk {
        let [a, b, c, d, ..] = Hasher::new("user").bytes(principal.as_bytes()).finish().0;
        Walk::new(u32::from_be_bytes([a, b, c, d]), self.foresight.steps_max)
    }

    /// What the client wants.
    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    /// A transition was taken.
    pub(crate) fn step(&mut self, delta: &Delta) {
        if delta.op.writes() {
            let asked = self.policies.of(&delta.key.collection).validation;
            self.validation = self.validation.max(asked);
        }
        let Some(walk) = &mut self.walk else { return };
        let before = walk.oversized;
        if !walk.step(self.foresight.kinds.of(delta), time::now().0 as i64) {
            self.foresight.counters.oversized.inc_by(u64::from(!before));
            return;
        }
        let (seen, due) = match self.at_once {
            true => (1, self.validation.refuses() && self.asked == 0),
            false => {
                let asks = self.asks || self.takes_turns;
                (walk.steps.len(), asks && ask_at(walk.steps.len()))
            }
        };
        if let Some(class) = walk.class().filter(|_| due) {
            let (steps, line) = (walk.steps[..seen].to_vec(), self.line.clone());
            let asked = self.foresight.ask(Asked::Forecast { class, steps, line });
            self.asked += usize::from(asked);
            self.unweighed = (asked && self.wants.forecasts).then_some(seen);
        }
    }

    /// Somebody else adds this to what is judged: nobody has to have foreseen it.
    pub(crate) fn beside(&mut self, delta: &Delta) {
        if self.walk.is_some() {
            self.beside.add(delta);
        }
    }

    /// To be told after each step: leaders weigh the stream where a forecast of it is due.
    pub(crate) fn weigh(&mut self, cluster: &Arc<Cluster>, draft: &Draft, principal: &str) {
        if let Some(prefix) = self.unweighed.take() {
            let asked = (cluster, &self.foresight.rounds);
            odds::ask(asked, &self.line, (prefix, principal), draft);
        }
    }

    /// A group takes part: what it tolerates will be wanted.
    pub(crate) fn touch(&mut self, cluster: &Arc<Cluster>, group: GroupId) {
        self.warm.iter_mut().for_each(|warm| warm.touched(group));
        let judged = self.asks || (self.at_once && self.asked > 0);
        if judged && self.walk.is_some() {
            self.foresight.tolerances.touch(cluster, group);
        }
    }

    /// Records were shown to the client.
    pub(crate) fn read<'a>(&self, group: GroupId, records: impl IntoIterator<Item = &'a Record>) {
        if let Some(watch) = &self.watch {
            records.into_iter().for_each(|record| watch.add(group, record));
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.foresight.counters
    }

    /// A frame came.
    pub(crate) fn stir(&self) {
        self.watch.iter().for_each(Watch::stir);
    }

    /// Waits for what there is to tell. Nothing is lost where the wait is given up.
    pub(crate) async fn news(&mut self) -> News {
        loop {
            self.warm_ahead();
            if let Some(told) = self.progress() {
                return News::Progress(told);
            }
            if let Some(foretold) = self.foretold(Line::odds) {
                return News::Forecast(foretold);
            }
            let (line, wanted) = (&self.line, self.walk.is_some());
            let more = async {
                match wanted {
                    true => line.more.notified().await,
                    false => std::future::pending().await,
                }
            };
            let watch = self.watch.as_mut();
            let disturbed = async {
                match watch {
                    Some(watch) => watch.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = more => {}
                found = disturbed => match found {
                    Some(disturbed) => return News::Disturbed(disturbed),
                    None => self.watch = None,
                },
            }
        }
    }

    /// The next forecast that was made, if there was one before it.
    fn progress(&mut self) -> Option<Arc<Told>> {
        let judged = self.walk.is_some() && self.asks;
        while let Some(told) = self.line.at(self.looked).filter(|_| judged) {
            self.looked += 1;
            if told.way.is_some() {
                return Some(told);
            }
        }
        None
    }

    /// Groups that new forecasts name are contacted.
    fn warm_ahead(&mut self) {
        let Some(warm) = &mut self.warm else { return };
        while let Some(told) = self.line.at(warm.looked) {
            warm.looked += 1;
            warm.expect(&told.groups);
        }
    }

    /// A forecast that was made, is wanted and was not taken, with what is known of it by now.
    pub(crate) fn forecast(&mut self) -> Option<Foretold> {
        self.foretold(|line, prefix| line.odds(prefix).or(Some(None)))
    }

    /// The next one, once its odds are settled: nothing where they are not yet.
    fn foretold(&mut self, odds: fn(&Line, usize) -> Option<Option<u32>>) -> Option<Foretold> {
        let told = self.line.at(self.taken).filter(|_| self.wants.forecasts)?;
        let conflict_ppm = odds(&self.line, told.outlook.prefix)?;
        self.taken += 1;
        let judged = self.so_far.iter().find(|(after, _)| *after == told.outlook.prefix);
        let so_far = judged.map(|(_, verdict)| *verdict);
        Some(Foretold { told, conflict_ppm, so_far })
    }

    /// It has its outcome: its verdict is taken note of. What strayed and writes where that is
    /// quarantined is kept aside, whichever refusal was heard of first.
    pub(crate) fn ended(&mut self, end: End) {
        let Some(judged) = self.judged.take() else { return };
        let asked = self.validation == Validation::Quarantine && !judged.judgement.verdict.valid;
        let quarantined = match end {
            End::Quarantined => true,
            End::RolledBack => asked,
            End::Other => false,
        };
        // What was too long is no measure of others.
        let noted = Some(judged).filter(|it| it.ended.is_some() || quarantined);
        if let Some(judged) = noted {
            self.foresight.ask(Asked::Judged(Judged { quarantined, ..judged }));
        }
    }
}

/// How a judged transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Rolled back for what is quarantined.
    Quarantined,
    /// Rolled back for something else.
    RolledBack,
    /// Committed, or nobody knows yet.
    Other,
}

/// Whoever gave up before the outcome was judged all the same.
impl Drop for Guide {
    fn drop(&mut self) {
        self.ended(End::Other);
    }
}
