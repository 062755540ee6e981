//! Failures that simulation found, each reduced to the few commands that show it.

use crate::{
    body::Fault,
    chain::{ChainFault, Transition},
    codec,
    command::{Cause, Command, Config, Decision, Refusal, Reply, Standing, Vote, Why},
    coordinator::{Answer, Coordinator, Effect, Event},
    delta::{Expect, Op},
    fixture_test::{Groups, put},
    group::{Group, Trees},
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    limits::Limits,
    memory::MemoryState,
    rules::Rules,
    tables,
    value::{Fields, Value},
};
use alloc::{boxed::Box, vec, vec::Vec};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

fn tid() -> Tid {
    Tid { mint: Timestamp(10), home: ONE, nonce: 1 }
}

fn rolled_back() -> Decision {
    Decision::RolledBack(Cause { group: TWO, why: Why::Forced })
}

fn answers(coordinator: &mut Coordinator) -> Vec<Answer> {
    let effects = core::iter::from_fn(|| coordinator.poll());
    let answers = effects.filter_map(|effect| match effect {
        Effect::Answer(answer) => Some(answer),
        _ => None,
    });
    answers.collect()
}

/// The stage stayed for good, and each sweep forced the transaction once more.
#[test]
fn rollback_that_comes_before_any_vote_drops_the_stage() {
    let mut state = MemoryState::default();
    let mut group = Group::open(ONE, &state, Rules::default());
    let transitions = vec![Transition { seq: 1, delta: vec![1, 2, 3] }];
    for command in [
        Command::Stage { tid: tid(), transitions },
        Command::Decide { tid: tid(), body: None, decision: rolled_back(), proofs: vec![] },
    ] {
        assert_eq!(group.apply(&mut state, &command), Ok(Reply::Done));
    }
    assert_eq!(group.staged(&state), []);
}

/// A repeated message was refused, as if it had asked for more.
#[test]
fn repeated_stage_at_the_limit_changes_nothing() {
    let mut state = MemoryState::default();
    let mut group = Group::open(ONE, &state, Rules::default());
    let config = Config::new(Limits::simulation(), None);
    group.apply(&mut state, &Command::Configure(config)).expect("no decision");
    let most = Limits::simulation().transitions_max;
    let transition = |seq| Transition { seq, delta: vec![seq as u8] };
    let stage = |seqs: core::ops::RangeInclusive<u64>| Command::Stage {
        tid: tid(),
        transitions: seqs.map(transition).collect(),
    };
    assert_eq!(group.apply(&mut state, &stage(1..=most)), Ok(Reply::Done));
    let before = state.clone();
    assert_eq!(group.apply(&mut state, &stage(1..=most)), Ok(Reply::Done));
    let full = Reply::Refused(Refusal::StageFull { limit: most });
    assert_eq!(group.apply(&mut state, &stage(most..=most + 1)), Ok(full));
    assert_eq!(state, before);
}

/// A vote that came before its stage was refused, a repeat of it was not: the client was told of a
/// fault, and the transaction committed.
#[test]
fn refused_participant_that_votes_yes_after_all_is_answered_with_the_commit() {
    let body = Some(Hash([1; 32]));
    let mut coordinator = Coordinator::drive(tid(), body, &[ONE, TWO], Rules::default());
    coordinator.handle(Event::Start);
    let fault = Reply::Fault(Fault::Chain(ChainFault::Gap { seq: 1 }));
    let yes = |ts| {
        let participants = vec![ONE, TWO];
        let (ts, body) = (Timestamp(ts), Hash([1; 32]));
        Reply::Standing(Standing::Yes { ts, body, participants })
    };
    let mut told = Vec::new();
    for (group, round, reply) in [(ONE, 0, fault), (ONE, 1, yes(20)), (TWO, 0, yes(30))] {
        coordinator.handle(Event::Reply { group, round, reply, proof: None });
        told.extend(answers(&mut coordinator));
    }
    assert_eq!(told, [Answer::Decided(Decision::Committed { ts: Timestamp(30) })]);
}

#[test]
fn refused_participant_that_is_forced_is_answered_with_the_fault() {
    let body = Some(Hash([1; 32]));
    let mut coordinator = Coordinator::drive(tid(), body, &[ONE, TWO], Rules::default());
    coordinator.handle(Event::Start);
    let fault = Fault::Chain(ChainFault::Gap { seq: 1 });
    let refused = Reply::Fault(fault.clone());
    coordinator.handle(Event::Reply { group: ONE, round: 0, reply: refused, proof: None });
    assert_eq!(answers(&mut coordinator), [], "nothing is sure yet");
    let no = Reply::Standing(Standing::No(Cause { group: ONE, why: Why::Forced }));
    coordinator.handle(Event::Reply { group: ONE, round: 1, reply: no, proof: None });
    assert_eq!(answers(&mut coordinator), [Answer::Fault(fault)]);
}

/// A cause that quoted a megabyte would make a decision that fits no log entry: the locks of the
/// other participants could never be released.
#[test]
fn failed_expectation_on_a_huge_field_quotes_little_of_it() {
    let huge = Fields::from([("f".repeat(100), Value::from("\u{1}".repeat(1 << 20).as_str()))]);
    let expect = Expect::Field { field: "f".repeat(100), value: None };
    let rejected =
        Op::Expect(expect).apply(Timestamp(1), Some(huge), &Limits::production()).unwrap_err();
    assert!(codec::encode(&rejected).len() < 512, "{rejected}");
}

#[test]
fn vote_that_its_own_entry_rolls_back_and_forgets_leaves_no_proof() {
    let groups = Groups::new(2);
    let mut draft = groups.draft(10);
    for group in [ONE, TWO] {
        draft.push(put(&groups.key_in(group), 1), None, None).expect("accepted");
    }
    let (body, parts) = draft.finish().expect("touched");
    let (tid, digest) = (body.tid, Some(body.digest()));
    let cause = Cause { group: ONE, why: Why::Forced };
    let decision = Decision::RolledBack(cause);
    let vote = Vote { body, part: parts[1].clone(), hint: Timestamp::ZERO };
    let commands = [
        Command::Vote(Box::new(vote)),
        Command::Decide { tid, body: digest, decision, proofs: vec![] },
        Command::Forget { watermark: tid.mint, settled: vec![] },
    ];
    for taken in 2..=commands.len() {
        let mut groups = groups.clone();
        groups.apply(TWO, &commands[..taken]);
        let (group, state) = &groups.groups[&TWO];
        let kept = tables::load_kept(state, tid);
        let proof = kept.and_then(|kept| group.proof_of(state, &kept, &mut Trees::new()));
        assert_eq!(proof, None, "{taken} commands in the entry");
    }
}

/// The home group was away for longer than what proves a vote was kept: whoever told it of the
/// commit in the end could not say why, and its record gave no receipt.
#[test]
fn group_that_decided_keeps_its_proof_until_the_home_group_has_it() {
    let mut groups = Groups::new(2);
    let mut draft = groups.draft(10);
    for group in [ONE, TWO] {
        draft.push(put(&groups.key_in(group), 1), None, None).expect("accepted");
    }
    let (body, parts) = draft.finish().expect("touched");
    let (tid, digest, participants) = (body.tid, body.digest(), body.groups());
    let vote = Vote { body, part: parts[1].clone(), hint: Timestamp::ZERO };
    let voted = groups.apply(TWO, &[Command::Vote(vote.into())]).remove(0);
    let Reply::Standing(Standing::Yes { ts, .. }) = voted.reply else { panic!("{voted:?}") };
    let decision = Decision::Committed { ts };
    let decide = Command::Decide { tid, body: Some(digest), decision, proofs: vec![] };
    groups.apply(TWO, &[decide]);
    let ttl_us = Limits::production().outcome_ttl_us;
    let collect = |times: u64| {
        let to = Timestamp(times * ttl_us);
        [Command::Advance { to }, Command::Collect { horizon: to, items_max: 100 }]
    };
    let ask = Command::Force { tid, body: Some(digest), participants };
    for times in 3..9 {
        groups.apply(TWO, &collect(times));
        let asked = groups.apply(TWO, core::slice::from_ref(&ask)).remove(0);
        assert_eq!(asked.proof, voted.proof, "after {times} times");
    }
    let kept = |groups: &Groups| {
        let proof = voted.proof.as_ref().expect("a Yes has a proof");
        groups.groups[&TWO].1.0.contains_key(&tables::leaves(proof.index))
    };
    assert!(kept(&groups));
    groups.apply(TWO, &[Command::Forget { watermark: tid.mint, settled: vec![tid] }]);
    groups.apply(TWO, &collect(20));
    assert!(!kept(&groups), "nobody needs it any more");
}
