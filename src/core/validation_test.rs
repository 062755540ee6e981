//! What verdicts come to in the groups' states: who is rolled back for one, and what is folded.

use crate::{
    body::{Body, Fault, Part},
    command::{Cause, Command, Config, Decision, MetaCommand, Refusal, Reply, Standing, Vote, Why},
    expected::{STEP, Score},
    fixture_test::{Groups, put},
    id::{GroupId, Tid, Timestamp},
    limits::Limits,
    memory::MemoryState,
    meta,
    policy::{POLICIES_MAX, Policies, Policy, PolicyChange, Validation, policies},
    rules::Rules,
    tolerance::{self, DECISIONS_MIN},
    verdict::{Conditions, Forecast, Judgement},
};
use alloc::{boxed::Box, format, string::ToString, vec::Vec};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);
const NOTHING: Score = 0;

fn policy(validation: Validation) -> Policy {
    Policy { validation, ..Policy::default() }
}

fn under(groups: &mut Groups, validation: Validation) {
    let set = [("account".to_string(), policy(validation))].into();
    let policies = Policies { version: 1, set };
    let config = Config { policies, ..Config::new(Limits::simulation(), None) };
    for group in [ONE, TWO] {
        groups.apply(group, &[Command::Configure(config.clone())]);
    }
}

/// Writes in each of these groups, where nothing had been expected.
fn strange(groups: &Groups, nonce: u64, among: &[GroupId], tolerance: Score) -> (Body, Vec<Part>) {
    let mut draft = groups.draft(nonce);
    for &group in among {
        draft.push(put(&groups.key_in(group), nonce as i64), None, None).expect("it is taken");
    }
    let forecast = Forecast { count: 1, prefix: 1, ..Forecast::default() };
    draft.judge(7, forecast, (Conditions::default(), tolerance));
    draft.finish().expect("a whole transaction")
}

fn vote(groups: &mut Groups, body: &Body, part: &Part) -> Reply {
    let vote = Vote { body: body.clone(), part: part.clone(), hint: Timestamp(5) };
    groups.apply(part.group, &[Command::Vote(Box::new(vote))]).remove(0).reply
}

fn decide(groups: &mut Groups, group: GroupId, tid: Tid, decision: &Decision) {
    let decision = decision.clone();
    groups.apply(group, &[Command::Decide { tid, body: None, decision, proofs: Vec::new() }]);
}

fn folded(groups: &Groups, group: GroupId) -> u64 {
    tolerance::of_group(&groups.groups[&group].1).decisions()
}

fn why(reply: Reply) -> Option<Why> {
    match reply {
        Reply::Standing(
            Standing::Decided(Decision::RolledBack(Cause { why, .. }))
            | Standing::No(Cause { why, .. }),
        ) => Some(why),
        _ => None,
    }
}

#[test]
fn what_was_not_foreseen_commits_unless_a_written_collection_enforces() {
    for validation in Validation::ALL {
        let mut groups = Groups::new(2);
        under(&mut groups, validation);
        let (body, parts) = strange(&groups, 1, &[ONE], NOTHING);
        let refused = why(vote(&mut groups, &body, &parts[0]));
        match validation {
            Validation::Enforce => {
                let Some(Why::Unforeseen { collection, score, tolerance }) = refused else {
                    panic!("it was not rolled back for its verdict: {refused:?}");
                };
                assert!(collection == "account" && score > STEP / 2 && tolerance == NOTHING);
            }
            Validation::Quarantine => {
                assert!(matches!(refused, Some(Why::Quarantined { .. })), "{refused:?}");
            }
            Validation::Observe | Validation::Resolve => assert_eq!(refused, None),
        }
        let (body, parts) = strange(&groups, 2, &[ONE], 9 * STEP);
        assert_eq!(why(vote(&mut groups, &body, &parts[0])), None, "it is tolerated");
    }
}

#[test]
fn any_participant_enforces_for_the_whole_transaction() {
    let mut groups = Groups::new(2);
    let (body, parts) = strange(&groups, 1, &[ONE, TWO], NOTHING);
    assert!(matches!(vote(&mut groups, &body, &parts[0]), Reply::Standing(Standing::Yes { .. })));
    under(&mut groups, Validation::Enforce);
    let refused = why(vote(&mut groups, &body, &parts[1]));
    assert!(matches!(refused, Some(Why::Unforeseen { .. })), "{refused:?}");
}

#[test]
fn verdict_that_its_forecast_does_not_give_is_a_fault() {
    let groups = Groups::new(1);
    let forge: [fn(&mut Judgement); 4] = [
        |judged| judged.verdict.valid = true,
        |judged| judged.verdict.tolerance += 9 * STEP,
        |judged| judged.forecast.spread += 9 * STEP,
        |judged| judged.verdict.score -= 1,
    ];
    for forge in forge {
        let (mut body, parts) = strange(&groups, 1, &[ONE], NOTHING);
        let honest = body.digest();
        forge(body.finding.judgement_mut().expect("it was judged"));
        assert_ne!(body.digest(), honest, "the digest names the judgement too");
        let reply = vote(&mut groups.clone(), &body, &parts[0]);
        assert_eq!(reply, Reply::Fault(Fault::Judgement { tid: body.tid }));
    }
}

#[test]
fn score_is_folded_once_at_home_with_the_first_decision() {
    let mut groups = Groups::new(2);
    under(&mut groups, Validation::Enforce);
    let (body, parts) = strange(&groups, 1, &[ONE, TWO], 9 * STEP);
    let tid = body.tid;
    assert_eq!(tid.home, ONE);
    for part in &parts {
        vote(&mut groups, &body, part);
    }
    assert_eq!((folded(&groups, ONE), folded(&groups, TWO)), (0, 0), "nothing is decided");
    let committed = Decision::Committed { ts: Timestamp(9) };
    for group in [ONE, ONE, TWO] {
        decide(&mut groups, group, tid, &committed);
    }
    assert_eq!((folded(&groups, ONE), folded(&groups, TWO)), (1, 0));

    let (body, parts) = strange(&groups, 2, &[ONE, TWO], NOTHING);
    let refused = why(vote(&mut groups, &body, &parts[0])).expect("it is enforced");
    vote(&mut groups, &body, &parts[0]);
    assert_eq!(folded(&groups, ONE), 1, "its No is no decision yet");
    let rolled_back = Decision::RolledBack(Cause { group: ONE, why: refused });
    decide(&mut groups, ONE, body.tid, &rolled_back);
    assert_eq!(folded(&groups, ONE), 2, "what is rolled back counts as well");

    let (body, parts) = strange(&groups, 3, &[ONE], NOTHING);
    vote(&mut groups, &body, &parts[0]);
    vote(&mut groups, &body, &parts[0]);
    assert_eq!(folded(&groups, ONE), 3);
}

#[test]
fn home_tells_the_judgement_of_commits_and_rollbacks_and_learns_what_to_tolerate() {
    let mut groups = Groups::new(2);
    under(&mut groups, Validation::Enforce);
    for nonce in 1..=DECISIONS_MIN {
        let (body, parts) = strange(&groups, nonce, &[ONE], 9 * STEP * (nonce % 2));
        vote(&mut groups, &body, &parts[0]);
        let (group, state) = &groups.groups[&ONE];
        let told = group.outcome(state, body.tid);
        assert_eq!(told.finding, body.finding);
        let committed = nonce % 2 == 1;
        assert_eq!(told.receipt.map(|receipt| receipt.body), committed.then_some(body));
    }
    let learnt = tolerance::of_group(&groups.groups[&ONE].1).threshold(7);
    assert!(
        learnt > STEP / 2 && learnt < 2 * STEP,
        "about the one step that all strayed: {learnt}"
    );
}

#[test]
fn policies_are_set_counted_and_bounded_and_never_go_back() {
    let mut state = MemoryState::default();
    let mut set = |collection: &str, validation| {
        let collection = collection.to_string();
        let change = PolicyChange { validation: Some(validation), strategy: None };
        let set = MetaCommand::SetPolicy { collection, change };
        (meta::apply(&mut state, &set, Rules::default()), policies(&state))
    };
    let (_, known) = set("a", Validation::Enforce);
    assert_eq!((known.version, known.of("a").validation), (1, Validation::Enforce));
    let (_, known) = set("a", Validation::Enforce);
    assert_eq!(known.version, 1, "nothing changed");
    let (_, known) = set("a", Validation::Resolve);
    assert!(known.version == 2 && known.set.is_empty(), "the default takes no room");
    for n in 0..POLICIES_MAX {
        assert_eq!(set(&format!("c{n}"), Validation::Observe).0, Reply::Done);
    }
    let full = Reply::Refused(Refusal::PoliciesFull { limit: POLICIES_MAX });
    assert_eq!(set("one more", Validation::Observe).0, full);
    assert_eq!(set("c0", Validation::Enforce).0, Reply::Done);

    let mut groups = Groups::new(2);
    under(&mut groups, Validation::Enforce);
    let older = Command::Configure(Config::new(Limits::simulation(), None));
    let refused = groups.apply(ONE, &[older]).remove(0).reply;
    assert_eq!(refused, Reply::Refused(Refusal::Policies { present: 1 }));
}
