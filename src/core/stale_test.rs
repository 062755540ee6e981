//! Failures that the models found around forgetting, each reduced to the few events that show it.

use crate::{
    body::Fault,
    command::{Cause, Command, Decision, Refusal, Reply, Standing, Why},
    coordinator::{Answer, Coordinator, Effect, Event},
    group::Group,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    memory::MemoryState,
    rules::Rules,
};
use alloc::{vec, vec::Vec};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);
const TID: Tid = Tid { mint: Timestamp(10), home: ONE, nonce: 1 };

fn recoverer() -> Coordinator {
    let mut recoverer =
        Coordinator::recover(TID, Some(Hash([1; 32])), &[ONE, TWO], Rules::default());
    recoverer.handle(Event::Start);
    drain(&mut recoverer);
    recoverer
}

fn drain(coordinator: &mut Coordinator) -> Vec<Effect> {
    core::iter::from_fn(|| coordinator.poll()).collect()
}

fn hear(coordinator: &mut Coordinator, group: GroupId, round: u32, reply: Reply) -> Vec<Effect> {
    coordinator.handle(Event::Reply { group, round, reply, proof: None });
    drain(coordinator)
}

fn yes() -> Reply {
    let (ts, body, participants) = (Timestamp(20), Hash([1; 32]), vec![ONE, TWO]);
    Reply::Standing(Standing::Yes { ts, body, participants })
}

fn stale() -> Reply {
    Reply::Standing(Standing::Stale(None))
}

/// It rolled back what had committed: the Yes was from before the commit, which the other group had
/// forgotten by then.
#[test]
fn yes_from_before_a_stale_answer_shows_nothing() {
    let mut recoverer = recoverer();
    assert_eq!(hear(&mut recoverer, ONE, 0, yes()), []);
    let force = |group| Effect::Force { group, round: 1 };
    assert_eq!(hear(&mut recoverer, TWO, 0, stale()), [force(ONE), force(TWO)]);
    let committed = Decision::Committed { ts: Timestamp(20) };
    let decided = Reply::Standing(Standing::Decided(committed.clone()));
    let effects = hear(&mut recoverer, ONE, 1, decided);
    assert_eq!(effects.first(), Some(&Effect::Answer(Answer::Decided(committed))));
}

#[test]
fn yes_that_is_asked_for_after_a_stale_answer_rolls_back() {
    let mut recoverer = recoverer();
    hear(&mut recoverer, TWO, 0, stale());
    assert_eq!(hear(&mut recoverer, ONE, 0, yes()), [], "it was asked for before");
    let cause = Cause { group: ONE, why: Why::Abandoned };
    let rolled_back = Effect::Answer(Answer::Decided(Decision::RolledBack(cause)));
    assert_eq!(hear(&mut recoverer, ONE, 1, yes()).first(), Some(&rolled_back));
}

/// Each repeat of the late message started another round.
#[test]
fn late_yes_does_not_undo_a_stale_answer() {
    let mut recoverer = recoverer();
    assert_ne!(hear(&mut recoverer, TWO, 0, stale()), []);
    for _ in 0..3 {
        assert_eq!(hear(&mut recoverer, TWO, 0, yes()), []);
        assert_eq!(hear(&mut recoverer, TWO, 0, stale()), []);
    }
}

/// It was taken for older than the stale answer, and so nobody knew the outcome any more.
#[test]
fn decision_that_arrives_after_a_stale_answer_counts() {
    let committed = Decision::Committed { ts: Timestamp(20) };
    let decided = Reply::Standing(Standing::Decided(committed.clone()));
    let mut recoverer = recoverer();
    hear(&mut recoverer, TWO, 0, stale());
    let effects = hear(&mut recoverer, TWO, 0, decided);
    assert_eq!(effects.first(), Some(&Effect::Answer(Answer::Decided(committed))));
    assert_eq!(hear(&mut recoverer, ONE, 1, stale()), [Effect::Settled]);
}

/// It failed an assertion.
#[test]
fn settled_coordinator_ignores_what_is_late() {
    let mut recoverer = recoverer();
    hear(&mut recoverer, ONE, 0, stale());
    let effects = hear(&mut recoverer, TWO, 1, stale());
    assert!(effects.contains(&Effect::Answer(Answer::Forgotten)), "{effects:?}");
    assert!(recoverer.is_settled());
    assert_eq!(hear(&mut recoverer, ONE, 0, yes()), []);
}

/// The other body's votes were forgotten on that word, though still undecided.
#[test]
fn mismatch_everywhere_is_not_reported_as_settled() {
    let mut driver = Coordinator::drive(TID, Some(Hash([2; 32])), &[ONE, TWO], Rules::default());
    driver.handle(Event::Start);
    drain(&mut driver);
    let mismatch = || Reply::Fault(Fault::BodyMismatch { tid: TID });
    let mut effects = hear(&mut driver, ONE, 0, mismatch());
    effects.extend(hear(&mut driver, TWO, 0, mismatch()));
    assert!(driver.is_settled());
    assert!(!effects.contains(&Effect::Settled), "{effects:?}");
}

#[test]
fn vote_that_is_owed_a_decision_is_not_forgotten_whatever_the_list_says() {
    let mut state = MemoryState::default();
    let mut group = Group::open(TWO, &state, Rules::default());
    let force = Command::Force { tid: TID, body: None, participants: vec![ONE, TWO] };
    group.apply(&mut state, &force).expect("no decision");
    let forget = Command::Forget { watermark: TID.mint, settled: vec![TID] };
    let refused = Reply::Refused(Refusal::Unsettled(TID));
    assert_eq!(group.apply(&mut state, &forget), Ok(refused));
}
