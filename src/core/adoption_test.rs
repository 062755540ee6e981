//! Recoverers that know less than a driver: no body, or not all participants. Real groups answer.

use crate::{
    body::{Body, Part},
    command::{Applied, Command, Decision, Reply, Standing, Vote, Why},
    coordinator::{Answer, Coordinator, Effect, Event},
    fixture_test::{Groups, put},
    hash::Hash,
    id::{GroupId, Timestamp},
    rules::Rules,
};
use alloc::{collections::VecDeque, vec::Vec};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);
const THREE: GroupId = GroupId(3);

/// A transaction of these groups under the one id that all of this file use.
fn sealed(groups: &Groups, over: &[GroupId], amount: i64) -> (Body, Vec<Part>) {
    let mut draft = groups.draft(10);
    for &group in over {
        draft.push(put(&groups.key_in(group), amount), None, None).expect("accepted");
    }
    draft.finish().expect("touched")
}

fn vote(groups: &mut Groups, (body, parts): &(Body, Vec<Part>), group: GroupId) {
    let part = parts.iter().find(|part| part.group == group).expect("it takes part").clone();
    let vote = Vote { body: body.clone(), part, hint: Timestamp::ZERO };
    let applied = groups.apply(group, &[Command::Vote(vote.into())]);
    assert!(matches!(applied[0].reply, Reply::Standing(Standing::Yes { .. })), "{applied:?}");
}

/// Recovers with what is known until nothing is left to do; what was answered.
fn recover(groups: &mut Groups, body: &Body, digest: Option<Hash>, known: &[GroupId]) -> Answer {
    let tid = body.tid;
    let mut recoverer = Coordinator::recover(tid, digest, known, Rules::default());
    recoverer.handle(Event::Start);
    let (mut answer, mut events) = (None, VecDeque::new());
    for _ in 0..100 {
        while let Some(effect) = recoverer.poll() {
            let body = recoverer.body();
            match effect {
                Effect::Force { group, round } => {
                    let participants = recoverer.participants();
                    let force = Command::Force { tid, body, participants };
                    let Applied { reply, proof } = groups.apply(group, &[force]).remove(0);
                    events.push_back(Event::Reply { group, round, reply, proof });
                }
                Effect::Decide { group, decision } => {
                    let decide = Command::Decide { tid, body, decision, proofs: Vec::new() };
                    groups.apply(group, &[decide]);
                    events.push_back(Event::Acked { group });
                }
                Effect::Answer(said) => answer = Some(said),
                Effect::Vote { .. } => unreachable!("a recoverer asks for no vote"),
                Effect::Settled => {}
            }
        }
        match events.pop_front() {
            Some(event) => recoverer.handle(event),
            None => break,
        }
    }
    assert!(recoverer.is_settled(), "{recoverer:?}");
    answer.expect("settled with an answer")
}

fn standing(groups: &Groups, group: GroupId, body: &Body) -> Standing {
    let (machine, state) = &groups.groups[&group];
    machine.standing(state, body.tid)
}

fn committed(answer: &Answer) -> bool {
    matches!(answer, Answer::Decided(Decision::Committed { .. }))
}

/// It committed in the one group that it had been told of.
#[test]
fn recoverer_with_a_partial_list_asks_all_that_the_vote_names() {
    for (voters, commits) in [(&[ONE][..], false), (&[ONE, TWO], false), (&[ONE, TWO, THREE], true)]
    {
        for known in [&[][..], &[ONE], &[ONE, TWO]] {
            for named in [false, true] {
                let mut groups = Groups::new(3);
                let sealed = sealed(&groups, &[ONE, TWO, THREE], 1);
                voters.iter().for_each(|&group| vote(&mut groups, &sealed, group));
                let digest = named.then(|| sealed.0.digest());
                let answer = recover(&mut groups, &sealed.0, digest, known);
                let case = alloc::format!("{voters:?} voted, {known:?} known, named {named}");
                assert_eq!(committed(&answer), commits, "{case}: {answer:?}");
                for group in [ONE, TWO, THREE] {
                    let Standing::Decided(decision) = standing(&groups, group, &sealed.0) else {
                        panic!("{case}: group {group} was left undecided");
                    };
                    let commit = matches!(decision, Decision::Committed { .. });
                    assert_eq!(commit, commits, "{case}: {group}");
                }
            }
        }
    }
}

/// It committed a mixture of the two.
#[test]
fn recoverer_without_a_body_does_not_add_up_votes_for_two() {
    let mut groups = Groups::new(2);
    let first = sealed(&groups, &[ONE, TWO], 1);
    let second = sealed(&groups, &[ONE, TWO], 2);
    assert_eq!(first.0.tid, second.0.tid);
    vote(&mut groups, &first, ONE);
    vote(&mut groups, &second, TWO);
    let answer = recover(&mut groups, &first.0, None, &[ONE, TWO]);
    let Answer::Decided(Decision::RolledBack(cause)) = answer else { panic!("{answer:?}") };
    assert_eq!(cause.why, Why::OtherBody);
    let known: Vec<Standing> =
        [ONE, TWO].iter().map(|&group| standing(&groups, group, &first.0)).collect();
    let committed =
        |standing: &Standing| matches!(standing, Standing::Decided(Decision::Committed { .. }));
    assert!(!known.iter().any(committed), "{known:?}");
}

/// A commit of the one was sent to the group that had refused the other, which halted it.
#[test]
fn recoverer_without_a_body_keeps_one_bodys_commit_from_anothers_refusal() {
    let mut groups = Groups::new(2);
    let alone = sealed(&groups, &[ONE], 1);
    let (body, parts) = alone.clone();
    let vote = Vote { body, part: parts[0].clone(), hint: Timestamp::ZERO };
    groups.apply(ONE, &[Command::Vote(vote.into())]);
    let answer = recover(&mut groups, &alone.0, None, &[ONE, TWO]);
    assert!(committed(&answer), "{answer:?}");
    let other = standing(&groups, TWO, &alone.0);
    assert!(matches!(other, Standing::Decided(Decision::RolledBack(_))), "{other:?}");
}
