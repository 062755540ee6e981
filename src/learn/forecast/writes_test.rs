//! Which collections a stream is expected to write in, by what others did and what is forecast.

use std::sync::Arc;

use super::process_test::stream;
use super::{Due, Foreseen, Latest, Panel, Place, Prefix, STREAMS_LAST, Step, Symbol, ask_at};

const LEAST: u64 = 8;

fn learnt(streams: u64, wrote: &[(&str, u32)]) -> Latest {
    let mut latest = Latest::default();
    (0..streams).for_each(|_| learn(&mut latest, wrote));
    latest
}

fn learn(latest: &mut Latest, wrote: &[(&str, u32)]) {
    let wrote: Vec<(Arc<str>, u32)> =
        wrote.iter().map(|(at, steps)| ((*at).into(), *steps)).collect();
    latest.learn(wrote.iter().map(|(at, steps)| (at, *steps)));
}

fn due(symbol: u32, count: u32, place: Place) -> Due {
    Due { symbol: Symbol(symbol), count, place }
}

fn steps(symbols: &[u32]) -> Vec<Step> {
    let step =
        |symbol| Step { symbol: Symbol(symbol), user: 1, at_us: 0, footprint: Arc::default() };
    symbols.iter().copied().map(step).collect()
}

#[test]
fn nothing_is_foreseen_by_too_few_streams_nor_where_none_are_asked_for() {
    assert_eq!(learnt(LEAST - 1, &[("b", 1)]).after(0, "a", LEAST), Foreseen::Unknown);
    assert_eq!(learnt(LEAST, &[("b", 1)]).after(0, "a", LEAST), Foreseen::NoWrite);
    assert_eq!(learnt(0, &[]).after(0, "a", 0), Foreseen::Unknown);
    let ahead = learnt(LEAST - 1, &[("b", 1)]).ahead(vec![]);
    assert_eq!(ahead.after(&steps(&[1]), "a", LEAST), Foreseen::Unknown);
}

#[test]
fn collection_is_written_no_more_after_the_last_step_that_any_of_the_last_streams_took_there() {
    let mut latest = learnt(2 * LEAST, &[("a", 1), ("b", 2), ("b", 4)]);
    let after = |latest: &Latest, steps| ["a", "b", "c"].map(|at| latest.after(steps, at, LEAST));
    let (more, none) = (Foreseen::Write, Foreseen::NoWrite);
    assert_eq!(after(&latest, 0), [more, more, none]);
    assert_eq!(after(&latest, 1), [none, more, none]);
    assert_eq!(after(&latest, 4), [none, none, none]);
    // One that goes on for longer counts for as long as it is among the last.
    learn(&mut latest, &[("a", 3)]);
    for _ in 1..STREAMS_LAST {
        learn(&mut latest, &[("a", 1), ("a", 2)]);
        assert_eq!(latest.after(2, "a", LEAST), more);
    }
    learn(&mut latest, &[("a", 1)]);
    assert_eq!(after(&latest, 2), [none; 3], "all of that is forgotten");
    assert_eq!(latest.after(1, "a", LEAST), more, "and what came since is not");
}

#[test]
fn what_is_forecast_to_remain_counts_though_none_of_the_last_streams_wrote_there() {
    let latest = learnt(LEAST, &[("b", 2)]);
    let place = |at: &str| Place::In(at.into());
    let ahead = latest.ahead(vec![due(1, 2, place("b")), due(2, 1, place("a"))]);
    assert_eq!(ahead.after(&steps(&[1]), "a", LEAST), Foreseen::Write);
    assert_eq!(ahead.after(&steps(&[1, 2]), "a", LEAST), Foreseen::NoWrite, "it had that");
    assert_eq!(ahead.after(&steps(&[1]), "b", LEAST), Foreseen::Write);
    assert_eq!(ahead.after(&steps(&[1, 1]), "b", LEAST), Foreseen::NoWrite);
    let ahead = latest.ahead(vec![due(3, 1, Place::Nowhere)]);
    assert_eq!(ahead.after(&steps(&[1]), "a", LEAST), Foreseen::NoWrite);
    let ahead = latest.ahead(vec![due(3, 1, Place::Unknown)]);
    assert_eq!(ahead.after(&steps(&[1]), "a", LEAST), Foreseen::Write, "it may be anywhere");
}

#[test]
fn what_writes_in_too_many_collections_is_not_foreseen_until_that_is_forgotten() {
    let names: Vec<String> = (0..40).map(|at| format!("c{at:02}")).collect();
    let many: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut latest = learnt(STREAMS_LAST, &many);
    assert_eq!(latest.after(0, "c39", LEAST), Foreseen::Unknown);
    assert_eq!(latest.ahead(vec![]).after(&[], "c39", LEAST), Foreseen::Unknown);
    for _ in 0..STREAMS_LAST - 1 {
        learn(&mut latest, &[("c00", 1)]);
        assert_eq!(latest.after(0, "c39", LEAST), Foreseen::Unknown);
    }
    learn(&mut latest, &[("c00", 1)]);
    assert_eq!(latest.after(0, "c39", LEAST), Foreseen::NoWrite);
}

#[test]
fn forecasters_of_a_class_that_branches_tell_its_branches_apart() {
    let (mut panel, mut latest) = (Panel::default(), Latest::default());
    let [often, rarely] = [[1, 2, 3, 3], [1, 4, 4, 2]].map(|symbols| stream(&symbols, 0));
    let place = |symbol| Place::In(if symbol == Symbol(4) { "a" } else { "b" }.into());
    // The rare one was long ago: none of the last streams wrote in `a`.
    for number in 0..4 * STREAMS_LAST {
        let steps = if number % 8 == 0 && number < 3 * STREAMS_LAST { &rarely } else { &often };
        let whole = Prefix { class: 1, steps };
        let made: Vec<_> =
            (1..4).filter(|at| ask_at(*at)).map(|at| panel.forecast_all(whole.first(at))).collect();
        panel.learn(whole, &made);
        let in_a: Arc<str> = "a".into();
        let wrote = whole.steps.iter().zip(1..).filter(|(step, _)| step.symbol == Symbol(4));
        latest.learn(wrote.map(|(_, at)| (&in_a, at)));
    }
    let after = |steps: &[Step]| {
        let outlook = panel.forecast(Prefix { class: 1, steps });
        let due = outlook.steps.iter();
        let due = due.map(|(at, count)| Due { symbol: *at, count: *count, place: place(*at) });
        latest.ahead(due.collect()).after(steps, "a", LEAST)
    };
    assert_eq!(after(&often[..1]), Foreseen::NoWrite, "the likeliest course");
    assert_eq!(after(&rarely[..2]), Foreseen::Write, "by how it began");
    assert_eq!(after(&rarely[..3]), Foreseen::NoWrite, "it has had both");
}
