//! Coordinators over real groups, with every message late, lost or repeated: whatever happens, no
//! two of them ever answer differently, and the groups end as they answered.

use crate::{
    body::{Body, Part},
    codec,
    command::{Applied, Command, Decision, Reply, Standing, Vote},
    coordinator::{Answer, Coordinator, Effect, Event},
    delta::{Delta, Expect, Op},
    fixture_test::{Groups, put},
    id::{GroupId, Timestamp},
    rules::Rules,
};
use alloc::{boxed::Box, collections::BTreeSet, vec, vec::Vec};
use proptest::{collection, prelude::*, sample::Index, test_runner::TestCaseError};

const GROUPS: u32 = 3;
const DRAIN_ROUNDS_MAX: usize = 50;

struct Run {
    groups: Groups,
    body: Body,
    parts: Vec<Part>,
    coordinators: Vec<Coordinator>,
    /// On their way to a group: for which coordinator, in which round, what.
    asked: Vec<(usize, GroupId, u32, Command)>,
    /// On their way to a coordinator.
    answered: Vec<(usize, Event)>,
    answers: Vec<Vec<Answer>>,
    settled: bool,
    rules: Rules,
}

impl Run {
    fn new(refuses: Option<u32>, rules: Rules) -> Run {
        let groups = Groups::with_rules(GROUPS, rules);
        let mut draft = groups.draft(10);
        for group in (1..=GROUPS).map(GroupId) {
            let key = groups.key_in(group);
            if refuses == Some(group.0) {
                let op = Op::Expect(Expect::Present);
                let delta = codec::encode(&Delta { key: key.clone(), op });
                draft.push(delta, None, None).expect("accepted");
            }
            draft.push(put(&key, 1), None, None).expect("accepted");
        }
        let (body, parts) = draft.finish().expect("touched");
        let mut run = Run {
            groups,
            body,
            parts,
            coordinators: Vec::new(),
            asked: Vec::new(),
            answered: Vec::new(),
            answers: Vec::new(),
            settled: false,
            rules,
        };
        run.begin(false);
        run
    }

    fn begin(&mut self, recovers: bool) {
        let (tid, body) = (self.body.tid, Some(self.body.digest()));
        let make = if recovers { Coordinator::recover } else { Coordinator::drive };
        self.coordinators.push(make(tid, body, &self.body.groups(), self.rules));
        self.answers.push(Vec::new());
        self.handle(self.coordinators.len() - 1, Event::Start);
    }

    fn handle(&mut self, at: usize, event: Event) {
        self.coordinators[at].handle(event);
        let (tid, body) = (self.body.tid, Some(self.body.digest()));
        while let Some(effect) = self.coordinators[at].poll() {
            match effect {
                Effect::Vote { group, round } => {
                    let part = self.parts.iter().find(|part| part.group == group).expect("a part");
                    let (body, part) = (self.body.clone(), part.clone());
                    let vote = Vote { body, part, hint: Timestamp(u64::from(group.0) * 50) };
                    self.asked.push((at, group, round, Command::Vote(Box::new(vote))));
                }
                Effect::Force { group, round } => {
                    let participants = self.body.groups();
                    self.asked.push((at, group, round, Command::Force { tid, body, participants }));
                }
                Effect::Decide { group, decision } => {
                    let proofs = self.coordinators[at].proofs();
                    let command = Command::Decide { tid, body, decision, proofs };
                    self.asked.push((at, group, 0, command));
                }
                Effect::Answer(answer) => self.answers[at].push(answer),
                Effect::Settled => self.settled = true,
            }
        }
    }

    fn step(&mut self, kind: u8, at: Index, other: Index) {
        let coordinator = other.index(self.coordinators.len());
        match kind {
            0..=7 => self.pass_on(at, false),
            8 | 9 => self.pass_on(at, true),
            10 => self.lose(at),
            11 => self.handle(coordinator, Event::Retry),
            12 => self.handle(coordinator, Event::GiveUp),
            13 if self.coordinators.len() < 4 => self.begin(at.index(3) > 0),
            14 if self.settled => {
                let group = GroupId(1 + at.index(GROUPS as usize) as u32);
                let (watermark, settled) = (self.body.tid.mint, vec![self.body.tid]);
                let applied = self.groups.apply(group, &[Command::Forget { watermark, settled }]);
                assert_eq!(applied[0].reply, Reply::Done);
            }
            _ => {}
        }
    }

    fn under_way(&self) -> usize {
        self.asked.len() + self.answered.len()
    }

    /// One message arrives; it may arrive again.
    fn pass_on(&mut self, at: Index, again: bool) {
        if self.under_way() == 0 {
            return;
        }
        let at = at.index(self.under_way());
        if let Some(answered) = at.checked_sub(self.asked.len()) {
            let (to, event) = self.answered[answered].clone();
            if !again {
                self.answered.swap_remove(answered);
            }
            return self.handle(to, event);
        }
        let asked = self.asked[at].clone();
        if !again {
            self.asked.swap_remove(at);
        }
        self.reach_group(asked);
    }

    /// All messages arrive, in order.
    fn pass_on_all(&mut self) {
        while self.under_way() > 0 {
            core::mem::take(&mut self.asked).into_iter().for_each(|asked| self.reach_group(asked));
            for (to, event) in core::mem::take(&mut self.answered) {
                self.handle(to, event);
            }
        }
    }

    fn reach_group(&mut self, (to, group, round, command): (usize, GroupId, u32, Command)) {
        let applied = self.groups.apply(group, core::slice::from_ref(&command)).remove(0);
        let Applied { reply, proof } = applied;
        let event = match command {
            Command::Decide { .. } => Event::Acked { group },
            _ => Event::Reply { group, round, reply, proof },
        };
        self.answered.push((to, event));
    }

    fn lose(&mut self, at: Index) {
        if !self.asked.is_empty() {
            self.asked.swap_remove(at.index(self.asked.len()));
        }
    }

    /// A last recoverer, undisturbed.
    fn drain(&mut self) {
        self.begin(true);
        let last = self.coordinators.len() - 1;
        for _ in 0..DRAIN_ROUNDS_MAX {
            self.pass_on_all();
            if self.coordinators[last].is_settled() {
                return;
            }
            self.handle(last, Event::Retry);
        }
        panic!("the last recoverer does not settle: {:?}", self.coordinators[last]);
    }

    /// Whether it committed, as each coordinator and each group that still knows says.
    fn verdicts(&self) -> BTreeSet<bool> {
        let mut verdicts = BTreeSet::new();
        for answers in &self.answers {
            assert!(answers.len() <= 1, "answered twice: {answers:?}");
            verdicts.extend(answers.iter().filter_map(|answer| match answer {
                Answer::Decided(decision) => Some(commits(decision)),
                Answer::Fault(fault) => panic!("nothing was malformed: {fault}"),
                Answer::Forgotten => None,
            }));
        }
        for (group, state) in self.groups.groups.values() {
            match group.standing(state, self.body.tid) {
                Standing::Decided(decision) | Standing::Stale(Some(decision)) => {
                    verdicts.insert(commits(&decision));
                }
                Standing::Stale(None) => {}
                standing => panic!("group {} was left at {standing:?}", group.id()),
            }
            let key = self.groups.key_in(group.id());
            verdicts.insert(group.get(state, &key).expect("no lock is left").fields.is_some());
        }
        verdicts
    }
}

fn commits(decision: &Decision) -> bool {
    matches!(decision, Decision::Committed { .. })
}

fn misfortune() -> impl Strategy<Value = (Option<u32>, Vec<(u8, Index, Index)>)> {
    let steps = collection::vec((0u8..15, any::<Index>(), any::<Index>()), 0..80);
    (proptest::option::weighted(0.3, 1..=GROUPS), steps)
}

/// Whether all answered alike; a contradiction that halts a group panics.
fn all_agree(
    rules: Rules,
    (refuses, steps): (Option<u32>, Vec<(u8, Index, Index)>),
) -> Result<(), TestCaseError> {
    let mut run = Run::new(refuses, rules);
    for (kind, at, other) in steps {
        run.step(kind, at, other);
    }
    run.drain();
    let verdicts = run.verdicts();
    prop_assert_eq!(verdicts.len(), 1, "{:?}", run.answers);
    prop_assert!(refuses.is_none() || verdicts.contains(&false));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn coordinators_never_answer_differently_whatever_happens_to_messages(
        misfortune in misfortune()
    ) {
        all_agree(Rules::default(), misfortune)?;
    }
}

/// The property above can fail: it does, for each rule that keeps coordinators together.
#[cfg(feature = "mutants")]
#[test]
fn coordinators_with_a_broken_rule_are_found_out() {
    use crate::rules::Mutant;
    use proptest::test_runner::TestRunner;
    for mutant in [Mutant::RollBackWithoutNo, Mutant::ForceTakesBackYes, Mutant::StaleIsNo] {
        let config = ProptestConfig {
            cases: 5_000,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let found = TestRunner::new(config)
            .run(&misfortune(), |misfortune| all_agree(Rules::without(mutant), misfortune));
        assert!(found.is_err(), "{mutant:?} was not found out");
    }
}

#[test]
fn undisturbed_coordinator_commits_and_every_group_applies_it() {
    let mut run = Run::new(None, Rules::default());
    run.pass_on_all();
    assert!(run.settled);
    assert_eq!(run.verdicts(), BTreeSet::from([true]));
    let committed = Answer::Decided(Decision::Committed { ts: Timestamp(150) });
    assert_eq!(run.answers[0], [committed]);
}
