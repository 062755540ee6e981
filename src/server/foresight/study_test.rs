//! What a node makes of the streams that it learns from, and of those that end on it.

use super::{
    anomalies::Anomalies,
    counters::Counters,
    judge::judged_by,
    kinds::Kinds,
    learner::Judged,
    study::{Line, Study},
    walk::{Ended, Walk},
};
use std::sync::Arc;
use vatic_core::{
    chain::Seal,
    delta::{Delta, Expect, Op},
    expected::{STEP, Score},
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    key::Key,
    value::Fields,
    verdict::{Conditions, Judgement},
};
use vatic_learn::forecast::Foreseen;

const ANOMALIES_MAX: usize = 4;
const STEPS_MAX: usize = 32;

struct Node {
    kinds: Kinds,
    anomalies: Arc<Anomalies>,
    counters: Arc<Counters>,
    study: Study,
    streams: u64,
    learnt: u64,
    /// What strays is rolled back and kept aside.
    quarantined: bool,
}

impl Node {
    fn new() -> Node {
        let anomalies = Arc::new(Anomalies::new(ANOMALIES_MAX));
        let counters = Arc::new(Counters::new());
        let study = Study::new(anomalies.clone(), counters.clone());
        let kinds = Kinds::default();
        Node { kinds, anomalies, counters, study, streams: 0, learnt: 0, quarantined: false }
    }

    /// Of the last stream.
    fn tid(&self) -> Tid {
        Tid { mint: Timestamp(self.streams), home: GroupId(1), nonce: 0 }
    }

    fn walk(&self, deltas: &[Delta]) -> Walk {
        let mut walk = Walk::new(7, STEPS_MAX);
        for delta in deltas {
            assert!(walk.step(self.kinds.of(delta), 0));
        }
        walk
    }

    fn ended(&mut self, deltas: &[Delta]) -> Ended {
        self.streams += 1;
        let walk = self.walk(deltas);
        Ended {
            class: walk.class().unwrap(),
            steps: walk.steps,
            kinds: walk.kinds,
            groups: vec![GroupId(1), GroupId(2)],
        }
    }

    /// Forecasts and judges it as its session does.
    fn judge(&mut self, ended: &Ended, tolerance: Score) -> Option<Judgement> {
        let line = Line::default();
        for steps in [1, 2, 4, 8].into_iter().filter(|steps| *steps <= ended.steps.len()) {
            self.study.forecast(ended.class, &ended.steps[..steps], &line);
        }
        let count = ended.steps.len();
        let told = line.made_by(judged_by(count))?;
        let head = Hasher::new("test").u64(self.streams).finish();
        let seal = Seal { seed: Hash::ZERO, count: count as u64, head };
        let (given, actual) = ((Conditions::default(), tolerance), ended.whole().footprint());
        let forecast = told.outlook.fixed();
        let judgement = Judgement::of(ended.class, forecast, given, (&actual, &seal));
        self.study.judged(&Judged {
            tid: self.tid(),
            ended: Some(Arc::new(ended.clone())),
            told,
            judgement: Box::new(judgement.clone()),
            quarantined: self.quarantined,
        });
        Some(judgement)
    }

    fn learn(&mut self, deltas: &[Delta]) {
        let ended = self.ended(deltas);
        self.learn_ended(&ended);
    }

    /// As the next course that group 0 has.
    fn learn_ended(&mut self, ended: &Ended) {
        self.learnt += 1;
        self.study.learn(self.learnt, ended);
    }
}

fn delta(op: Op) -> Delta {
    Delta { key: Key::new("order", "p", "").unwrap(), op }
}

/// A put, then additions.
fn order(additions: usize) -> Vec<Delta> {
    let put = delta(Op::Put(Fields::from([("total".to_owned(), 0.into())])));
    let add = delta(Op::Add { field: "total".into(), by: 1 });
    std::iter::once(put).chain(std::iter::repeat_n(add, additions)).collect()
}

/// The same, most of it something else.
fn strange() -> Vec<Delta> {
    let mut deltas = order(0);
    deltas.extend(std::iter::repeat_n(delta(Op::RemoveField("owner".into())), 14));
    deltas
}

#[test]
fn class_that_was_seen_eight_times_is_forecast_and_another_is_not() {
    let mut node = Node::new();
    let (running, line) = (node.walk(&order(0)), Line::default());
    let class = running.class().unwrap();
    for learnt in 0..8 {
        node.study.forecast(class, &running.steps, &line);
        assert!(line.at(0).is_none(), "after {learnt}");
        node.learn(&order(7));
    }
    node.study.forecast(class, &running.steps, &line);
    let told = line.at(0).unwrap();
    assert_eq!((told.outlook.count.round(), told.outlook.prefix), (8.0, 1));
    assert_eq!((told.exemplars, told.participants, told.strayed()), (8, 2, None));
    assert_eq!((told.version, node.counters.version.get()), (8, 8));
    assert_eq!(told.groups, [GroupId(1), GroupId(2)]);
    let other = Line::default();
    let unknown = node.walk(&[delta(Op::Delete)]);
    node.study.forecast(unknown.class().unwrap(), &unknown.steps, &other);
    assert!(other.at(0).is_none());
    assert_eq!((node.counters.unknown.get(), node.counters.forecast.get()), (9, 1));
}

#[test]
fn stream_that_leaves_its_forecast_strays_by_the_steps_that_are_others() {
    let mut node = Node::new();
    (0..30).for_each(|_| node.learn(&order(7)));
    let line = Line::default();
    let mut deltas = order(1);
    deltas.extend(strange().split_off(1).into_iter().take(6));
    let running = node.walk(&deltas);
    for at in [1, 2, 4, 8] {
        node.study.forecast(running.class().unwrap(), &running.steps[..at], &line);
    }
    let strayed: Vec<f64> = (1..4).filter_map(|at| line.at(at)?.strayed()).collect();
    assert!(strayed[0] < 0.01, "so far as forecast: {strayed:?}");
    assert!(strayed[1] > 1.5, "two steps were others: {strayed:?}");
}

#[test]
fn strange_stream_is_invalid_and_told_in_words_and_ordinary_ones_are_not() {
    let mut node = Node::new();
    for _ in 0..60 {
        let ended = node.ended(&order(7));
        let judged = node.judge(&ended, STEP);
        assert!(judged.is_none_or(|judged| judged.verdict.valid), "it is as all others");
        node.learn_ended(&ended);
    }
    let ended = node.ended(&strange());
    let judged = node.judge(&ended, STEP).unwrap();
    assert!(!judged.verdict.valid && judged.verdict.distance > 0, "{judged:?}");
    assert_eq!((judged.verdict.prefix, judged.count), (4, 15), "made at or before half of it");
    assert_eq!((node.counters.valid.get(), node.counters.invalid.get()), (52, 1));
    let kept = node.anomalies.after(0);
    let strange = &kept.last().unwrap().found;
    assert_eq!(strange.class, "put order(total)");
    let strays = &strange.strays;
    assert_eq!(strays[0].0, "remove_field order(owner)");
    assert!(strays[0].1 > 10.0 && strays[1].1 < 0.0, "{strays:?}");
    assert_eq!(
        strays[1].0, "add order(total)",
        "which it lacks, and which has a name all the same"
    );
    assert!(f64::from(strange.anomaly.p_ppm) < 1e5, "{strange:?}");
}

#[test]
fn answers_count_whether_or_not_anything_was_known() {
    let mut node = Node::new();
    let (ended, line) = (node.ended(&order(7)), Line::default());
    node.study.forecast(ended.class, &ended.steps[..1], &line);
    assert_eq!((line.answered(), line.made_by(1).is_some()), (1, false));
    (0..30).for_each(|_| node.learn(&order(7)));
    node.study.forecast(ended.class, &ended.steps[..4], &line);
    assert_eq!((line.answered(), line.made_by(7).is_some()), (2, true));
    assert!(line.made_by(3).is_none(), "nobody asked by then");
}

#[test]
fn ring_keeps_the_latest_and_counts_on() {
    let mut node = Node::new();
    (0..60).for_each(|_| node.learn(&order(7)));
    for _ in 0..3 * ANOMALIES_MAX {
        let ended = node.ended(&strange());
        node.judge(&ended, STEP).unwrap();
    }
    let kept: Vec<u64> = node.anomalies.after(0).iter().map(|kept| kept.sequence).collect();
    let last = node.counters.invalid.get();
    assert_eq!(last, 3 * ANOMALIES_MAX as u64);
    assert!(kept.len() == ANOMALIES_MAX && kept.last() == Some(&last), "{kept:?} of {last}");
    assert_eq!(node.anomalies.after(last).len(), 0);
}

#[test]
fn quarantined_streams_are_kept_apart_from_those_that_came_since() {
    let mut node = Node::new();
    (0..60).for_each(|_| node.learn(&order(7)));
    node.quarantined = true;
    let held = node.ended(&strange());
    node.judge(&held, STEP).unwrap();
    let held = node.tid();
    node.quarantined = false;
    for _ in 0..2 * ANOMALIES_MAX {
        let ended = node.ended(&strange());
        node.judge(&ended, STEP).unwrap();
    }
    assert!(node.anomalies.after(0).iter().all(|kept| kept.found.tid != held));
    let kept = node.anomalies.quarantined();
    let kept: Vec<Tid> = kept.iter().map(|kept| kept.found.tid).collect();
    assert_eq!(kept, [held]);
    let strays = &node.anomalies.quarantined()[0].found.strays;
    assert_eq!(strays[0].0, "remove_field order(owner)");
}

#[test]
fn stream_of_too_many_steps_or_kinds_of_steps_is_given_up() {
    let node = Node::new();
    let mut long = Walk::new(0, STEPS_MAX);
    let add = &order(1)[1];
    let taken = (0..2 * STEPS_MAX).take_while(|_| long.step(node.kinds.of(add), 0)).count();
    assert_eq!(taken, STEPS_MAX);
    let mut varied = Walk::new(0, 1_000);
    let op = |at: usize| delta(Op::RemoveField(format!("f{at}")));
    let taken = (0..1_000).take_while(|at| varied.step(node.kinds.of(&op(*at)), 0)).count();
    assert_eq!(taken, 64);
}

#[test]
fn running_stream_is_held_against_its_way_and_is_no_measure_of_others() {
    let mut node = Node::new();
    for _ in 0..40 {
        node.learn(&order(7));
        let ended = node.ended(&order(7));
        node.judge(&ended, STEP);
    }
    let counted = (node.counters.valid.get(), node.counters.invalid.get());
    let so_far = |node: &mut Node, deltas: &[Delta]| {
        let (ended, line) = (node.ended(deltas), Line::default());
        for steps in [1, 2, 4] {
            node.study.forecast(ended.class, &ended.steps[..steps], &line);
        }
        let told: Vec<_> = (0..3).map(|at| line.at(at).expect("it is known")).collect();
        assert!(told[0].way.is_none() && told[0].strayed().is_none(), "there is none before it");
        let judged = told[1..].iter().map(|told| {
            let way = told.way.clone().expect("there is one before it");
            let seal = Seal { seed: Hash::ZERO, count: way.count, head: Hash::ZERO };
            let given = (Conditions::default(), STEP / 8);
            Judgement::of(ended.class, way, given, (&told.now, &seal))
        });
        let judged: Vec<Judgement> = judged.collect();
        (Arc::new(ended), told, judged)
    };
    let (_, _, judged) = so_far(&mut node, &order(7));
    assert!(judged.iter().all(|judged| judged.verdict.valid), "{judged:?}");

    let (ended, told, judged) = so_far(&mut node, &strange());
    assert_eq!(judged.iter().map(|judged| judged.count).collect::<Vec<_>>(), [2, 4]);
    assert!(judged.iter().all(|judged| !judged.verdict.valid), "{judged:?}");
    assert!(told[1].strayed().is_some_and(|steps| steps > 1.0));
    node.study.strays(&Judged {
        tid: node.tid(),
        ended: Some(ended),
        told: told[1].clone(),
        judgement: Box::new(judged[0].clone()),
        quarantined: false,
    });
    let found = node.anomalies.after(0).pop().expect("it is kept");
    assert!(found.found.running && !found.found.judgement.verdict.valid);
    assert_eq!((node.counters.valid.get(), node.counters.invalid.get()), counted);
    // The next one that is sealed is as usual as before.
    let ended = node.ended(&order(7));
    let before = node.anomalies.after(0).len();
    node.judge(&ended, STEP);
    assert_eq!(node.anomalies.after(0).len(), before);
}

#[test]
fn forecast_tells_where_a_stream_will_write_no_more() {
    let mut node = Node::new();
    let key = Key::new("paid", "p", "").unwrap();
    let mut stream = order(1);
    stream.push(Delta { key: key.clone(), op: Op::Expect(Expect::Absent) });
    stream.push(Delta { key, op: Op::Add { field: "sum".into(), by: 1 } });
    let streams = 20;
    (0..streams).for_each(|_| node.learn(&stream));
    let (ended, line) = (node.ended(&stream), Line::default());
    node.study.forecast(ended.class, &ended.steps[..1], &line);
    let told = line.last().unwrap();
    let after = |steps: usize, least| {
        let of = |at| told.ahead.after(&ended.steps[..steps], at, least);
        ["order", "paid", "other"].map(of)
    };
    use Foreseen::{NoWrite, Unknown, Write};
    assert_eq!(after(1, streams), [Write, Write, NoWrite]);
    assert_eq!(after(2, streams), [NoWrite, Write, NoWrite]);
    assert_eq!(after(3, streams), [NoWrite, Write, NoWrite], "it only expects something there");
    assert_eq!(after(4, streams), [NoWrite; 3]);
    assert_eq!(after(1, streams + 1), [Unknown; 3], "that is too few");
}
