//! Order of events, and what is refused.

use serde_json::json;

use super::history::{self, Event, Line, Transaction};
use super::run::Replay;
use crate::args::ScoreAt;

fn parsed(rows: &[(f64, f64, f64)]) -> Result<Vec<Transaction>, String> {
    let line = |(at, (begin, write, commit)): (usize, &(f64, f64, f64))| -> Line {
        let line = json!({
            "begin": begin, "write": write, "commit": commit, "user": at % 3, "more": null,
            "writes": ["src/a.rs", format!("src/{}.rs", at % 7)], "conflict": at % 4 == 0,
        });
        serde_json::from_value(line).unwrap()
    };
    history::parse(rows.iter().enumerate().map(line).collect())
}

#[test]
fn commits_come_before_begins_of_the_same_moment_and_after_their_own() {
    let history = parsed(&[(1.0, 2.0, 5.0), (5.0, 6.0, 9.0), (5.0, 5.0, 5.0)]).unwrap();
    // By commit: the first, the one of an instant, the last.
    let order: Vec<Event> = history::events(&history).into_iter().map(|(_, event)| event).collect();
    assert_eq!(
        order,
        [
            Event::Begin(0),
            Event::Write(0),
            Event::Commit(0),
            Event::Begin(1),
            Event::Begin(2),
            Event::Write(1),
            Event::Commit(1),
            Event::Write(2),
            Event::Commit(2),
        ]
    );
}

#[test]
fn write_outside_of_its_transaction_is_moved_to_its_edge() {
    let history = parsed(&[(10.0, 3.0, 20.0), (10.0, 33.5, 20.5)]).unwrap();
    assert_eq!((history[0].write_us, history[1].write_us), (10_000_000, 20_500_000));
}

#[test]
fn times_that_make_no_sense_are_refused_with_their_line() {
    let error = parsed(&[(1.0, 2.0, 3.0), (4.0, 4.0, 3.0)]).unwrap_err();
    assert_eq!(error, "transaction 2: begin 4 is after commit 3");
    let error = parsed(&[(-1.0, 2.0, 3.0)]).unwrap_err();
    assert_eq!(error, "transaction 1: begin is -1");
}

#[test]
fn what_comes_later_changes_no_earlier_score() {
    let rows: Vec<(f64, f64, f64)> =
        (0..600).map(|k| (f64::from(k), f64::from(k + k % 5), f64::from(k + 5 + k % 11))).collect();
    let whole = Replay::of(&parsed(&rows).unwrap(), ScoreAt::Begin);
    let part = Replay::of(&parsed(&rows[..400]).unwrap(), ScoreAt::Begin);
    // The last of the part commit among later ones: these may change places.
    let said = |replay: &Replay| -> Vec<f64> {
        replay.scored[..380].iter().map(|scored| scored.score).collect()
    };
    assert_eq!(said(&whole), said(&part));
    assert!(whole.status.version > 0, "{:?}", whole.status);
}
