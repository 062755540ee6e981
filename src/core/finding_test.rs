//! What could not be judged: told apart from what was found valid, and refused where that is asked.

use crate::{
    body::{Body, Fault, Part},
    codec,
    command::{Cause, Command, Config, Decision, Reply, Standing, Vote, Why},
    estimate::{Choice, Resolution},
    expected::{STEP, Score},
    finding::{Finding, Unjudged},
    fixture_test::{Groups, put},
    hash::{Hash, Hasher},
    id::{GroupId, Timestamp},
    limits::Limits,
    policy::{Policies, Policy, Validation},
    request::RequestId,
    rules::Rules,
    strategy::Strategy,
    tolerance,
    verdict::{Action, Conditions, Forecast, Judgement},
};
use alloc::{boxed::Box, string::ToString, vec::Vec};

const ONE: GroupId = GroupId(1);
const ALL: [Unjudged; 5] = [
    Unjudged::Unknown,
    Unjudged::Unlearnt,
    Unjudged::Unfollowed,
    Unjudged::Unforecast { waited_ms: 7 },
    Unjudged::Untolerated { waited_ms: 7 },
];

/// One group whose collection asks for this.
fn under(validation: Validation, rules: Rules) -> Groups {
    let mut groups = Groups::with_rules(1, rules);
    let policy = Policy { validation, ..Policy::default() };
    let policies = Policies { version: 1, set: [("account".to_string(), policy)].into() };
    let config = Config { policies, ..Config::new(Limits::simulation(), None) };
    groups.apply(ONE, &[Command::Configure(config)]);
    groups
}

/// An attempt at one request, which writes.
fn attempt(groups: &Groups, nonce: u64, why: Option<Unjudged>) -> (Body, Part) {
    let mut draft = groups.draft(nonce);
    let key = groups.key_in(ONE);
    let (principal, route) = ("somebody".to_string(), key.partition.to_string());
    let request = RequestId { principal, id: [1; 16].to_vec(), route, mint: Timestamp(1) };
    draft.claim(request, Hash::ZERO).expect("it is owned");
    draft.push(put(&key, 5), None, None).expect("it is taken");
    let given = (Conditions::default(), Score::MAX);
    match why {
        Some(why) => draft.leave_unjudged(why),
        None => drop(draft.judge(7, Forecast { prefix: 1, ..Forecast::default() }, given)),
    }
    let (body, mut parts) = draft.finish().expect("a whole transaction");
    (body, parts.remove(0))
}

fn vote(groups: &mut Groups, (body, part): (Body, Part)) -> Decision {
    let vote = Vote { body, part, hint: Timestamp(5) };
    match groups.apply(ONE, &[Command::Vote(Box::new(vote))]).remove(0).reply {
        Reply::Standing(Standing::Decided(decision)) => decision,
        other => panic!("one group decides at once: {other:?}"),
    }
}

#[test]
fn what_could_not_be_judged_commits_unless_a_written_collection_refuses() {
    for validation in Validation::ALL {
        for (why, nonce) in ALL.into_iter().zip(1..) {
            let mut groups = under(validation, Rules::default());
            let sealed = attempt(&groups, nonce, Some(why));
            let (tid, finding) = (sealed.0.tid, sealed.0.finding.clone());
            let decision = vote(&mut groups, sealed);
            let refused = validation.refuses() && why != Unjudged::Unknown;
            match decision {
                Decision::Committed { .. } => assert!(!refused, "{validation:?} and {why:?}"),
                Decision::RolledBack(Cause {
                    why: Why::Unjudged { collection, why: told },
                    ..
                }) => {
                    assert!(refused && collection == "account" && told == why, "{told:?}");
                }
                other => panic!("{other:?}"),
            }
            // The record says so, whatever came of it, and no score is made up.
            let (group, state) = &groups.groups[&ONE];
            assert_eq!(group.outcome(state, tid).finding, finding);
            assert_eq!(finding.unjudged(), Some(why));
            assert_eq!(tolerance::of_group(state).decisions(), 0);
        }
    }
}

#[test]
fn request_that_was_refused_unjudged_commits_when_it_is_tried_again_and_is_judged() {
    let mut groups = under(Validation::Enforce, Rules::default());
    let late = attempt(&groups, 1, Some(Unjudged::Untolerated { waited_ms: 1_000 }));
    assert!(matches!(vote(&mut groups, late), Decision::RolledBack(_)));
    let judged = attempt(&groups, 2, None);
    assert!(matches!(vote(&mut groups, judged), Decision::Committed { .. }));
    assert_eq!(tolerance::of_group(&groups.groups[&ONE].1).decisions(), 1);
}

#[cfg(feature = "mutants")]
#[test]
fn group_that_enforces_nothing_lets_the_unjudged_through() {
    let rules = Rules::without(crate::rules::Mutant::EnforcesNothing);
    let mut groups = under(Validation::Enforce, rules);
    let late = attempt(&groups, 1, Some(Unjudged::Unfollowed));
    assert!(matches!(vote(&mut groups, late), Decision::Committed { .. }));
}

#[test]
fn nobody_is_refused_for_what_nobody_meant_to_judge_or_could_have_foreseen() {
    for validation in Validation::ALL {
        assert_eq!(Finding::Nothing.action(validation), Action::Proceed);
        assert_eq!(Finding::Unjudged(Unjudged::Unknown).action(validation), Action::Proceed);
        let late = Finding::Unjudged(Unjudged::Unforecast { waited_ms: 9 });
        let refused = late.action(validation) == Action::RollBack;
        assert_eq!(refused, validation.refuses());
    }
}

#[test]
fn absent_and_present_judgement_are_encoded_and_digested_as_ever() {
    let groups = under(Validation::Observe, Rules::default());
    let (body, _) = attempt(&groups, 1, None);
    let judgement = body.finding.judgement().expect("it was judged").clone();
    assert!(judgement.verdict.valid && judgement.verdict.score < 2 * STEP);
    let as_ever = [(Finding::Nothing, None), (body.finding.clone(), Some(judgement))];
    for (finding, option) in as_ever {
        let bytes = codec::encode(&option);
        assert_eq!(codec::encode(&finding), bytes);
        assert_eq!(codec::decode::<Option<Judgement>>(&bytes), Ok(option));
    }
    let digests = ALL.map(|why| Body { finding: Finding::Unjudged(why), ..body.clone() }.digest());
    let nothing = Body { finding: Finding::Nothing, ..body.clone() }.digest();
    let mut all: Vec<Hash> = digests.into_iter().chain([nothing, body.digest()]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), ALL.len() + 2, "the digest names what was missing");
    let fed = |finding: Finding| finding.feed(Hasher::new("test")).finish();
    assert_eq!(fed(Finding::Nothing), Hasher::new("test").u64(0).finish());
    for why in ALL {
        let bytes = codec::encode(&Finding::Unjudged(why));
        assert_eq!(codec::decode(&bytes), Ok(Finding::Unjudged(why)));
    }
}

#[test]
fn resolved_transaction_is_judged_as_ever_and_its_digest_names_what_was_chosen() {
    let resolution = Resolution {
        own: Strategy::Optimistic,
        chosen: Strategy::Lock,
        why: Choice::Cheapest,
        conflict_ppm: Some(7),
        latency_us: Some(8),
        own_latency_us: None,
        freed: false,
    };
    let others: [fn(&mut Resolution); 7] = [
        |other| other.own = Strategy::Rebase,
        |other| other.chosen = Strategy::Rebase,
        |other| other.why = Choice::Fixed,
        |other| other.conflict_ppm = None,
        |other| other.latency_us = Some(9),
        |other| other.own_latency_us = Some(0),
        |other| other.freed = true,
    ];
    let mut groups = under(Validation::Enforce, Rules::default());
    let (body, part) = attempt(&groups, 1, None);
    let Finding::Judged(judgement) = &body.finding else { panic!("{:?}", body.finding) };
    let with = |resolution| {
        let finding = Finding::Resolved(judgement.clone(), resolution);
        Body { finding, ..body.clone() }
    };
    let resolved = with(resolution);
    assert_eq!(resolved.finding.resolution(), Some(&resolution));
    assert_eq!(resolved.finding.judgement(), Some(judgement));
    let mut digests: Vec<Hash> = [body.digest(), resolved.digest()].to_vec();
    for change in others {
        let mut other = resolution;
        change(&mut other);
        digests.push(with(other).digest());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), others.len() + 2);
    let bytes = codec::encode(&resolved.finding);
    assert_eq!(codec::decode(&bytes), Ok(resolved.finding.clone()));
    for validation in Validation::ALL {
        assert_eq!(resolved.finding.action(validation), body.finding.action(validation));
    }
    let mut forged = resolved.clone();
    forged.finding.judgement_mut().expect("it was judged").verdict.tolerance -= 1;
    forged.finding.judgement_mut().expect("it was judged").verdict.score += 1;
    let vote_on = |groups: &mut Groups, body: Body| {
        let vote = Vote { body, part: part.clone(), hint: Timestamp(5) };
        groups.apply(ONE, &[Command::Vote(Box::new(vote))]).remove(0).reply
    };
    assert!(matches!(vote_on(&mut groups, forged), Reply::Fault(Fault::Judgement { .. })));
    let committed = vote_on(&mut groups, resolved);
    let Reply::Standing(Standing::Decided(Decision::Committed { .. })) = committed else {
        panic!("{committed:?}");
    };
    assert_eq!(tolerance::of_group(&groups.groups[&ONE].1).decisions(), 1, "its score is folded");
}
