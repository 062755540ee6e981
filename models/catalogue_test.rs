//! Every model closes with its pinned number of states, and everything holds in all of them.

use crate::{
    catalogue::{self, Choice, Visit},
    check::{Answer, Effort, Kind, check},
    commit::{
        model::Spine,
        plan::Scenario,
        property::{CUTS, DOOMED, FIRST, FOLDED, FORESEEN, FREED, STRICT},
        scenarios, witness,
    },
    digest::property::{FRESH, KEPT},
    dispatch::property::{APART, FAIR as DUE_FIRST, FINAL as KEPT_BACK, PAUSED, SENT},
    lane::property::FAIR,
    narrate::Narrated,
    output,
};
use stateright::Expectation;
use std::collections::{BTreeMap, BTreeSet};
use vatic_core::rules::Rules;

// The checker frees states by the million when it is done.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn closes(name: &str) {
    let model = catalogue::named(name).expect("the test names a model");
    let report = model.check(Effort::exhaustive(1));
    assert!(report.holds(), "{name}: {:#?}", report.properties);
    assert!(report.closed, "{name}");
    if let Some(pinned) = model.unique_states {
        assert_eq!(report.unique_states, pinned, "{name}");
    }
    assert_eq!(report.states_asked, report.unique_states, "{name}");
    assert_eq!(report.named(Answer::NeverMet), never_met(name), "{name}");
    let refuted = report.properties.iter().find(|finding| finding.kind == Kind::Refuted);
    let path = refuted.and_then(|finding| finding.counterexample.as_ref());
    assert!(path.is_some_and(|steps| steps.len() > 1), "{name}: it holds because nothing happens");
}

/// What each model has nothing to say of, since what it is about never occurs there: within its
/// bounds nobody reads what another one writes, reads a snapshot, is judged, stages, is ended
/// early, takes a ticket back.
fn never_met(name: &str) -> &'static [&'static str] {
    match name {
        "recovery"
        | "late-replies"
        | "forgetting"
        | "late-and-forgotten"
        | "two-bodies"
        | "three-groups"
        | "three-groups-forgotten"
        | "three-attempts" => &[STRICT, CUTS, FORESEEN, FOLDED, FIRST, DOOMED, FREED],
        "abandoned-stage" | "hasty-vote" | "leader-change" => {
            &[STRICT, CUTS, FORESEEN, FOLDED, FIRST, DOOMED]
        }
        "ended-early" => &[CUTS, FORESEEN, FIRST],
        "one-group" | "key-skew" | "range-skew" | "blind-writes" | "strict-read"
        | "strict-absence" | "blocked-get" | "read-by-vote" | "request-twice" | "rebased" => {
            &[CUTS, FORESEEN, FOLDED, FIRST, DOOMED, FREED]
        }
        "snapshots" => &[FORESEEN, FOLDED, FIRST, DOOMED, FREED],
        "collected" => &[STRICT, FORESEEN, FOLDED, FIRST, DOOMED, FREED],
        "validation" | "validation-passed-off" | "validation-unjudged" => {
            &[STRICT, CUTS, FIRST, DOOMED, FREED]
        }
        "first-committer" => &[STRICT, CUTS, FORESEEN, FOLDED, DOOMED, FREED],
        "receipts" | "receipts-staged" => &[FRESH],
        "receipts-unchained" => &[KEPT, FRESH],
        "lane-pairs" => &[FAIR],
        "dispatch-leaders" => &[DUE_FIRST, APART, PAUSED, SENT],
        "dispatch-order" => &[KEPT_BACK, APART, PAUSED, SENT],
        "dispatch-records" | "dispatch-home" => &[KEPT_BACK, PAUSED, SENT],
        "dispatch-pauses" => &[KEPT_BACK, APART, SENT],
        "dispatch-shadow" => &[KEPT_BACK, APART, PAUSED],
        _ => &[],
    }
}

/// What a model's properties are about: each `always` but the refuted one, with its premises.
struct About;

impl Visit for About {
    type Out = BTreeMap<&'static str, usize>;

    fn visit<M: Narrated>(self, model: M) -> Self::Out {
        let always = model.properties().into_iter().filter(|property| {
            property.expectation == Expectation::Always && property.name != model.refuted()
        });
        let mut about: Self::Out = always.map(|property| (property.name, 0)).collect();
        for premise in model.premises() {
            *about.get_mut(premise.of).expect("a premise is of an `always`") += 1;
        }
        about
    }
}

#[test]
fn every_property_is_put_to_the_test_by_a_model_of_every_run() {
    let (mut all, mut tested) = (BTreeSet::new(), BTreeSet::new());
    for model in catalogue::chosen(Choice::EveryRun) {
        let about = model.build(Rules::default(), About);
        let unconditional: Vec<_> = about.iter().filter(|(_, premises)| **premises == 0).collect();
        // That the core's invariants hold, which is asked of every state.
        assert!(unconditional.len() <= 1, "{}: {unconditional:?}", model.name);
        let never_met = never_met(model.name);
        all.extend(about.keys().copied());
        tested.extend(about.keys().copied().filter(|property| !never_met.contains(property)));
    }
    assert_eq!(all.difference(&tested).collect::<Vec<_>>(), [&""; 0]);
}

macro_rules! models_close {
    ($($test:ident: $name:literal;)*) => {
        $(#[test] fn $test() { closes($name); })*

        #[test]
        fn every_model_has_a_test_or_is_checked_by_command() {
            let tested = [$($name),*];
            let models = catalogue::chosen(Choice::EveryRun).into_iter();
            assert!(models.map(|model| model.name).eq(tested), "{tested:?}");
        }
    };
}

models_close! {
    recovery_holds_in_every_state: "recovery";
    late_replies_hold_in_every_state: "late-replies";
    forgetting_holds_in_every_state: "forgetting";
    late_and_forgotten_holds_in_every_state: "late-and-forgotten";
    one_group_holds_in_every_state: "one-group";
    two_bodies_hold_in_every_state: "two-bodies";
    key_skew_is_refused_in_every_state: "key-skew";
    range_skew_is_refused_in_every_state: "range-skew";
    blind_writes_hold_in_every_state: "blind-writes";
    strict_read_holds_in_every_state: "strict-read";
    strict_absence_holds_in_every_state: "strict-absence";
    blocked_get_holds_in_every_state: "blocked-get";
    snapshots_hold_in_every_state: "snapshots";
    collected_versions_hold_in_every_state: "collected";
    read_by_vote_holds_in_every_state: "read-by-vote";
    request_twice_holds_in_every_state: "request-twice";
    abandoned_stage_holds_in_every_state: "abandoned-stage";
    hasty_vote_holds_in_every_state: "hasty-vote";
    validation_holds_in_every_state: "validation";
    validation_passed_off_holds_in_every_state: "validation-passed-off";
    validation_of_what_was_not_judged_holds_in_every_state: "validation-unjudged";
    streams_that_are_ended_early_hold_in_every_state: "ended-early";
    rebased_holds_in_every_state: "rebased";
    first_committer_holds_in_every_state: "first-committer";
    leader_change_holds_in_every_state: "leader-change";
    three_groups_hold_in_every_state: "three-groups";
    three_groups_forgotten_hold_in_every_state: "three-groups-forgotten";
    three_attempts_hold_in_every_state: "three-attempts";
    receipts_hold_in_every_state: "receipts";
    staged_receipts_hold_in_every_state: "receipts-staged";
    batched_receipts_hold_in_every_state: "receipts-batched";
    forged_receipts_are_refused_in_every_state: "receipts-forged";
    unchained_receipts_hold_in_every_state: "receipts-unchained";
    growing_ring_holds_in_every_state: "ring-grows";
    raced_ring_holds_in_every_state: "ring-raced";
    turns_of_a_lane_hold_in_every_state: "lane-turns";
    pairs_of_turns_hold_in_every_state: "lane-pairs";
    tickets_hold_in_every_state_whoever_leads: "dispatch-leaders";
    order_of_tickets_holds_in_every_state: "dispatch-order";
    tickets_that_touch_one_record_hold_in_every_state: "dispatch-records";
    tickets_at_home_hold_in_every_state: "dispatch-home";
    paused_tickets_hold_in_every_state: "dispatch-pauses";
    shadows_hold_in_every_state: "dispatch-shadow";
}

#[test]
fn models_too_large_for_every_run_are_checked_when_all_are_or_by_name() {
    let (every_run, all) = (catalogue::chosen(Choice::EveryRun), catalogue::chosen(Choice::All));
    let large: Vec<_> = all.iter().filter(|model| model.by_command).collect();
    assert!(!large.is_empty() && every_run.len() + large.len() == all.len());
    for model in large {
        assert!(every_run.iter().all(|other| other.name != model.name), "{}", model.name);
        assert_eq!(catalogue::chosen(Choice::One(model.name)).len(), 1, "{}", model.name);
    }
    assert!(catalogue::chosen(Choice::One("no such model")).is_empty());
}

#[test]
fn every_model_was_closed_and_its_states_counted() {
    let unpinned = catalogue::all().into_iter().filter(|model| model.unique_states.is_none());
    let names: Vec<&str> = unpinned.map(|model| model.name).collect();
    assert_eq!(names, [""; 0]);
}

/// Against vacuity: a check of something that never happens must fail.
#[test]
fn unreachable_witness_fails_the_check() {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == "key-skew");
    let witnesses = vec![witness::FORGOTTEN, witness::SNAPSHOT];
    let scenario = Scenario { witnesses, ..scenario.expect("it is there") };
    let model = Spine::new(scenario, Rules::default());
    let report = check(model, Effort::exhaustive(1), None);
    assert_eq!(report.violated(), [witness::FORGOTTEN.name, witness::SNAPSHOT.name]);
}

/// Against vacuity again: a model in which nothing happens must fail.
#[test]
fn model_without_a_commit_fails_the_check() {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == "recovery");
    let scenario = Scenario {
        plans: Vec::new(),
        recoverers: Vec::new(),
        stops: Vec::new(),
        witnesses: Vec::new(),
        ..scenario.expect("it is there")
    };
    let report = check(Spine::new(scenario, Rules::default()), Effort::exhaustive(1), None);
    assert_eq!(report.violated(), [crate::commit::property::NOTHING]);
}

#[test]
fn check_that_stops_early_says_so_and_blames_nothing_for_what_it_has_not_seen() {
    let model = catalogue::named("recovery").expect("it is there");
    let report = model.check(Effort { depth: Some(4), ..Effort::exhaustive(1) });
    assert!(!report.closed && report.holds(), "{report:#?}");
    assert!(report.depth <= 4, "{report:#?}");
    assert!(report.states_asked > 0 && report.states_asked < report.unique_states, "{report:#?}");
    let answered: Vec<_> = report.properties.iter().filter(|f| f.is_so != Answer::Open).collect();
    assert!(answered.iter().all(|found| found.kind != Kind::Always), "{answered:?}");
    assert!(report.named(Answer::Open).contains(&witness::COMMITS.name), "{report:#?}");
}

#[test]
fn check_that_stops_early_prints_what_it_left_open_and_that_it_is_not_complete() {
    let model = catalogue::named("validation-passed-off").expect("it is there");
    let checked = |effort| [output::Checked::run(&model, effort)];
    let stopped = checked(Effort { depth: Some(4), ..Effort::exhaustive(1) });
    let said = output::table(&stopped);
    let within = format!("not refuted within {} states", stopped[0].report.states_asked);
    assert!(said.contains(&within), "{said}");
    assert!(said.contains("not complete, stopped before all was seen"), "{said}");
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
    let json = parsed(&output::json(&stopped));
    assert_eq!((&json["complete"], &json["models"][0]["complete"]), (&false.into(), &false.into()));
    let whole = checked(Effort::exhaustive(1));
    let said = output::table(&whole);
    assert!(said.contains("never met: a snapshot is answered"), "{said}");
    assert!(!said.contains("within") && !said.contains("not complete"), "{said}");
    assert_eq!(parsed(&output::json(&whole))["complete"], true);
}

#[test]
fn search_depth_first_sees_the_same_states() {
    let model = catalogue::named("validation-passed-off").expect("it is there");
    let report = model.check(Effort { depth_first: true, ..Effort::exhaustive(1) });
    assert!(report.closed && report.holds(), "{report:#?}");
    assert_eq!(Some(report.unique_states), model.unique_states);
}

#[test]
fn check_that_is_out_of_time_stops_on_one_thread_too() {
    let model = catalogue::named("recovery").expect("it is there");
    let report = model.check(Effort { seconds: Some(0), ..Effort::exhaustive(1) });
    let all = model.unique_states.expect("it is pinned");
    assert!(!report.closed && report.holds() && report.unique_states < all / 2, "{report:#?}");
}

#[test]
fn json_output_is_one_line_with_all_that_was_found() {
    let model = catalogue::named("forgetting").expect("it is there");
    let text = output::json(&[output::Checked::run(&model, Effort::exhaustive(1))]);
    assert!(!text.contains('\n'));
    let parsed: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let model = &parsed["models"][0];
    assert_eq!(model["name"], "forgetting");
    assert_eq!(model["closed"], true);
    assert!(model["unique_states"].as_u64() > Some(10_000), "{model}");
    assert!(model["states"].as_u64() > model["unique_states"].as_u64(), "{model}");
    assert!(model["depth"].as_u64() > Some(5), "{model}");
    assert!(model["seconds"].as_f64() > Some(0.0), "{model}");
    assert!(model["properties"].as_array().is_some_and(|found| found.len() > 7), "{model}");
    assert!(model["mutants_caught"].as_array().is_some_and(|caught| caught.len() > 1), "{model}");
}
