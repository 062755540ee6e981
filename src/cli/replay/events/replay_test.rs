//! A replay of a small history that is written here: same file, same figures, all of them in range.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::Value as Json;

use super::alarms::{rate, windows_within_half, worst_window};
use super::injected::area;
use super::{cut, measure};
use crate::replay::events::judge::judged_at;

/// Orders: three in four are packed and sent, the others are paid late; some come back. One is
/// begun every minute and takes an hour and more.
fn history(cases: u64) -> String {
    let mut lines = String::new();
    let mut random = 7u64;
    for case in 0..cases {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let draw = random >> 33;
        let mut steps = vec!["order"];
        steps.extend(if draw.is_multiple_of(4) {
            ["remind", "pay"].iter()
        } else {
            ["pack", "send"].iter()
        });
        steps.extend((0..draw / 4 % 3).map(|_| "ask"));
        steps.push("close");
        let event = |(at, step): (usize, &&str)| {
            let at = case * 60 + at as u64 * (900 + draw % 600);
            format!(r#"{{"at":{at},"step":"{step}","user":{}}}"#, draw % 5)
        };
        let events: Vec<String> = steps.iter().enumerate().map(event).collect();
        writeln!(lines, r#"{{"case":{case},"events":[{}]}}"#, events.join(",")).expect("memory");
    }
    lines
}

fn written(text: &str, ending: &str) -> tempfile::TempPath {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().expect("a file");
    if ending.ends_with(".gz") {
        let mut zip = GzEncoder::new(&mut file, Compression::fast());
        zip.write_all(text.as_bytes()).and_then(|()| zip.try_finish()).expect("written");
    } else {
        file.write_all(text.as_bytes()).expect("written");
    }
    file.into_temp_path()
}

#[test]
fn replay_gives_the_same_figures_each_time_zipped_or_not() {
    let text = history(400);
    let plain = measure(&written(&text, ".jsonl")).expect("a history");
    let zipped = measure(&written(&text, ".jsonl.gz")).expect("a history");
    assert_eq!(plain, zipped);
    assert_eq!(plain["n_train"], 280);
    assert_eq!(plain["n_test"], 120);
}

#[test]
fn figures_are_in_range_and_the_champion_is_ahead_of_persistence() {
    let found = measure(&written(&history(400), ".jsonl")).expect("a history");
    let number = |json: &Json| json.as_f64().expect("a number");
    let champion = found["champion"].as_str().expect("a name");
    for quarter in 0..3 {
        let error = |name: &str| number(&found["forecasters"][name]["rel_l2"][quarter]);
        assert!(error(champion) < error("persistence"), "{found}");
        for kind in ["insert", "substitute", "drop", "suffix_swap"] {
            assert!((0.0..=1.0).contains(&number(&found["auc"][kind][quarter])), "{found}");
        }
        assert!(number(&found["auc"]["insert"][quarter]) > 0.6, "{found}");
    }
    assert!((0.0..0.2).contains(&number(&found["alarm_rate"])), "{found}");
    // Of the 120 test cases each has four steps, and so a look after two and one after four.
    let on_the_way = &found["on_the_way"];
    assert!(on_the_way["looks"].as_u64().is_some_and(|looks| looks >= 240), "{found}");
    assert!((0.0..0.2).contains(&number(&on_the_way["alarm_rate"])), "{found}");
    assert!(number(&on_the_way["cases_alarmed"]) >= number(&on_the_way["alarm_rate"]), "{found}");
}

#[test]
fn history_of_nothing_is_a_usage_error_that_names_the_file() {
    let empty = written("", ".jsonl");
    let error = measure(&empty).expect_err("there is nothing to train on");
    assert!(error.to_string().contains(&*empty.to_string_lossy()), "{error}");
}

#[test]
fn prefix_has_one_step_at_least_and_the_judged_forecast_lies_before_half() {
    assert_eq!([3, 4, 5, 8].map(|steps| cut(steps, 1)), [1, 1, 1, 2]);
    assert_eq!([3, 4, 5, 9].map(|steps| cut(steps, 3)), [2, 3, 3, 6]);
    assert_eq!([1, 3, 4, 7, 8, 15, 16].map(judged_at), [1, 1, 2, 2, 4, 4, 8]);
}

#[test]
fn windows_and_areas_are_those_of_small_examples() {
    let decided: Vec<bool> = (0..1_000).map(|at| at >= 500 && at % 10 == 0).collect();
    assert_eq!(rate(&decided), 0.05);
    assert_eq!(worst_window(&decided), [0.0, 0.1]);
    assert!(windows_within_half(&decided, 0.05) > 0.4);
    assert_eq!(worst_window(&[true, false]), [0.5, 0.5]);
    assert_eq!(area(&[1, 2, 3], &[4, 5]), 1.0);
    assert_eq!(area(&[1, 2], &[1, 2]), 0.5);
}
