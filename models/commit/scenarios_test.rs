//! Every scenario closes with its pinned number of states, and everything holds in all of them.

use crate::{
    check,
    commit::{
        plan::Scenario,
        scenarios,
        witness::{FORGOTTEN, SNAPSHOT},
    },
    output,
};

fn closes(name: &str) {
    let scenario = scenarios::named(name).expect("the test names a scenario");
    let pinned = scenario.unique_states;
    let report = check::check(scenario, 1);
    assert!(report.holds(), "{name}: {:#?}", report.properties);
    assert_eq!(report.unique_states, pinned, "{name}");
}

macro_rules! scenarios_close {
    ($($test:ident: $name:literal;)*) => {
        $(#[test] fn $test() { closes($name); })*

        #[test]
        fn every_scenario_has_a_test() {
            let tested = [$($name),*];
            let names = scenarios::all().iter().map(|scenario| scenario.name).collect::<Vec<_>>();
            assert_eq!(tested.as_slice(), names);
        }
    };
}

scenarios_close! {
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
}

/// Against vacuity: a check of something that never happens must fail.
#[test]
fn unreachable_witness_fails_the_check() {
    let scenario = scenarios::named("key-skew").expect("it is there");
    let scenario = Scenario { witnesses: vec![FORGOTTEN, SNAPSHOT], ..scenario };
    let report = check::check(scenario, 1);
    assert_eq!(report.violated(), [FORGOTTEN.name, SNAPSHOT.name]);
}

#[test]
fn json_output_is_one_line_with_all_that_was_found() {
    let scenario = scenarios::named("forgetting").expect("it is there");
    let text = output::json(&[output::Checked::run(scenario, 1)]);
    assert!(!text.contains('\n'));
    let parsed: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let model = &parsed["models"][0];
    assert_eq!(model["name"], "forgetting");
    assert!(model["unique_states"].as_u64() > Some(10_000), "{model}");
    assert!(model["states"].as_u64() > model["unique_states"].as_u64(), "{model}");
    assert!(model["depth"].as_u64() > Some(5), "{model}");
    assert!(model["properties"].as_array().is_some_and(|found| found.len() > 7), "{model}");
    assert!(model["mutants_caught"].as_array().is_some_and(|caught| caught.len() > 1), "{model}");
}
