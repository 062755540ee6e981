//! The history is bounded, counts each batch once, and is the same however its batches come.

use crate::{
    codec,
    command::{Cause, Command, Config, Refusal, Reply, Why},
    conflict::Features,
    fixture_test::Groups,
    history::{Batch, Event, Filter, Foreseen, Newer, Row, Strayed, What},
    id::{GroupId, Tid, Timestamp},
    key::Key,
    limits::Limits,
    policy::Validation,
};
use alloc::{boxed::Box, vec, vec::Vec};

const ONE: GroupId = GroupId(1);

/// Six rows, twenty milliseconds, three events a batch.
fn groups() -> Groups {
    let mut groups = Groups::new(1);
    let limits = Limits::simulation();
    groups.apply(ONE, &[Command::Configure(Config::new(limits, None))]);
    groups
}

fn tid(nonce: u64) -> Tid {
    Tid { mint: Timestamp(nonce), home: ONE, nonce }
}

fn event(nonce: u64, what: What) -> Event {
    let (claimed, in_turn, took_us) = (false, false, 7);
    Event { at_us: nonce, tid: tid(nonce), what, foreseen: None, claimed, in_turn, took_us }
}

fn accepted(nonce: u64) -> Event {
    event(nonce, What::Accepted { weight: 8 })
}

fn conflict(nonce: u64, why: Why) -> Event {
    event(nonce, What::Conflict(Cause { group: ONE, why }))
}

fn foreseen(nonce: u64, areas: Vec<u64>) -> Event {
    let features = Features { user: 3, areas, ..Features::default() };
    let foreseen = Foreseen { features, propensity_ppm: 30_000, score_ppm: None, model_version: 0 };
    Event { foreseen: Some(Box::new(foreseen)), ..accepted(nonce) }
}

fn batch(node: u64, sequence: u64, events: Vec<Event>) -> Command {
    Command::History(Box::new(Batch { node, sequence, events }))
}

fn advance(to: u64) -> Command {
    Command::Advance { to: Timestamp(to) }
}

fn rows(groups: &Groups) -> Vec<(u64, Row)> {
    let (group, state) = &groups.groups[&ONE];
    group.events_after(state, 0, usize::MAX).rows
}

fn nonces(groups: &Groups) -> Vec<u64> {
    rows(groups).into_iter().map(|(_, row)| row.event.tid.nonce).collect()
}

#[test]
fn oldest_events_go_first_beyond_the_count() {
    let mut groups = groups();
    for nonce in 1..=5 {
        groups.apply(ONE, &[batch(1, nonce, vec![accepted(2 * nonce), accepted(2 * nonce + 1)])]);
    }
    assert_eq!(nonces(&groups), [6, 7, 8, 9, 10, 11]);
    assert_eq!(rows(&groups)[0].0, 5, "places are not given again");
    let (group, state) = &groups.groups[&ONE];
    assert_eq!(group.events_after(state, 2, 1).missed, 2, "those of 3 and 4");
}

#[test]
fn events_go_when_the_groups_clock_has_passed_them_by() {
    let mut groups = groups();
    groups.apply(ONE, &[batch(1, 1, vec![accepted(1), accepted(2)])]);
    groups.apply(ONE, &[advance(20_000), batch(1, 2, vec![accepted(3)])]);
    assert_eq!(nonces(&groups), [1, 2, 3]);
    groups.apply(ONE, &[advance(20_001)]);
    assert_eq!(nonces(&groups), [3], "nobody is told of what is past, though it lies there yet");
    groups.apply(ONE, &[batch(1, 3, vec![accepted(4)])]);
    let (group, state) = &groups.groups[&ONE];
    let end = group.events_after(state, u64::MAX, 0).looked;
    assert_eq!((nonces(&groups), end), (vec![3, 4], 4));
    assert_eq!(state.0.keys().filter(|place| place[0] == b'y').count(), 2);
}

/// A limit that was lowered is reached by and by.
#[test]
fn work_of_a_batch_follows_its_size() {
    let mut groups = groups();
    let most = |history_rows_max| {
        let limits = Limits { history_rows_max, ..Limits::simulation() };
        Command::Configure(Config::new(limits, None))
    };
    groups.apply(ONE, &[most(100)]);
    for sequence in 1..=10 {
        groups.apply(ONE, &[batch(1, sequence, vec![accepted(1), accepted(2), accepted(3)])]);
    }
    groups.apply(ONE, &[most(2)]);
    let mut left = Vec::new();
    for sequence in 11..=20 {
        groups.apply(ONE, &[batch(1, sequence, vec![accepted(1)])]);
        left.push(rows(&groups).len());
    }
    assert_eq!(left, [27, 24, 21, 18, 15, 12, 9, 6, 3, 2]);
}

#[test]
fn batch_that_is_proposed_again_counts_once() {
    let mut groups = groups();
    let once = batch(1, 5, vec![accepted(1)]);
    groups.apply(ONE, &[once.clone(), once.clone()]);
    let [again, older] = [once, batch(1, 4, vec![accepted(2)])];
    for command in [again, older] {
        assert_eq!(groups.apply(ONE, &[command]).remove(0).reply, Reply::Done);
    }
    let (group, state) = &groups.groups[&ONE];
    assert_eq!((nonces(&groups), group.last_batch(state, 1)), (vec![1], Some(5)));
    groups.apply(ONE, &[batch(2, 1, vec![accepted(3)]), batch(1, 6, vec![accepted(4)])]);
    assert_eq!(nonces(&groups), [1, 3, 4], "nodes count for themselves");
}

#[test]
fn of_too_many_nodes_the_one_that_was_idle_longest_is_forgotten() {
    let mut groups = groups();
    for node in 1..=65 {
        groups.apply(ONE, &[batch(node, 100 + node, vec![])]);
    }
    let (group, state) = &groups.groups[&ONE];
    assert_eq!(group.last_batch(state, 1), None);
    assert_eq!(group.last_batch(state, 2), Some(102));
    assert_eq!(group.last_batch(state, 65), Some(165));
}

#[test]
fn batch_that_is_too_large_is_refused_and_changes_nothing() {
    let mut groups = groups();
    let many = batch(1, 1, (1..=4).map(accepted).collect());
    let refused = groups.apply(ONE, &[many]).remove(0).reply;
    assert_eq!(refused, Reply::Refused(Refusal::HistoryEvents { limit: 3 }));
    let wide = batch(1, 2, vec![foreseen(1, vec![u64::MAX; 100])]);
    let refused = groups.apply(ONE, &[wide]).remove(0).reply;
    assert_eq!(refused, Reply::Refused(Refusal::HistoryBytes { limit: 1_024 }));
    let (group, state) = &groups.groups[&ONE];
    assert_eq!((rows(&groups), group.last_batch(state, 1)), (vec![], None));
}

/// What a replica keeps hangs on the order of commands alone, not on how entries hold them.
#[test]
fn history_is_the_same_however_its_batches_come() {
    let mut commands = vec![batch(2, 1, vec![foreseen(90, vec![1, 2])])];
    for n in 1..40 {
        commands.push(batch(1 + n % 3, n, (0..n % 4).map(|k| accepted(10 * n + k)).collect()));
        commands.push(advance(n * 3_000));
    }
    let history = |entries: usize| {
        let mut groups = groups();
        commands.chunks(entries).for_each(|commands| drop(groups.apply(ONE, commands)));
        let (_, state) = &groups.groups[&ONE];
        let kept = state.0.iter().filter(|(place, _)| b"wy".contains(&place[0]));
        kept.map(|(place, row)| (place.clone(), row.clone())).collect::<Vec<_>>()
    };
    let one = history(1);
    assert!(one.len() > 1, "{one:?}");
    for entries in [2, 5, commands.len()] {
        assert_eq!(history(entries), one);
    }
}

#[test]
fn conflicts_are_found_by_record_and_by_both_parties() {
    let mut groups = groups();
    let at = |sort| Key::new("account", "p", sort).unwrap();
    let locked = conflict(1, Why::Locked { key: at("a"), by: tid(8) });
    let stale = Why::ReadChanged { key: at("b"), read: Timestamp(1), found: Timestamp(2) };
    let events = vec![locked.clone(), conflict(2, stale), accepted(3)];
    groups.apply(ONE, &[batch(4, 1, events)]);
    let (group, state) = &groups.groups[&ONE];
    let found = |filter: Filter, most| {
        let found = group.conflicts(state, &filter, most);
        found.into_iter().map(|(place, row)| (place, row.event.tid.nonce)).collect::<Vec<_>>()
    };
    assert_eq!(found(Filter::default(), 10), [(2, 2), (1, 1)], "the newest first");
    assert_eq!(found(Filter::default(), 1), [(2, 2)]);
    assert_eq!(found(Filter { key: Some(at("a")), tid: None }, 10), [(1, 1)]);
    for nonce in [1, 8] {
        assert_eq!(found(Filter { key: None, tid: Some(tid(nonce)) }, 10), [(1, 1)]);
    }
    assert_eq!(found(Filter { key: Some(at("b")), tid: Some(tid(8)) }, 10), []);
    let newer = group.events_after(state, 1, 1);
    assert_eq!((newer.rows.len(), newer.rows[0].0, newer.looked, newer.missed), (1, 2, 2, 0));
    let end = Newer { rows: vec![], looked: 3, missed: 0 };
    assert_eq!(group.events_after(state, 99, 5), end, "of another history: go on here");
    let row = group.conflicts(state, &Filter::default(), 2).remove(1).1;
    assert_eq!((row.node, row.event.clone()), (4, locked));
    assert_eq!(codec::decode::<Row>(&codec::encode(&row)), Ok(row));
}

#[test]
fn what_strayed_is_told_and_is_no_conflict() {
    let mut groups = groups();
    let strayed = |nonce, why: Option<Why>| {
        let rolled_back = why.map(|why| Cause { group: ONE, why });
        let (class, score, tolerance, validation) = (5, 20, 10, Validation::Observe);
        let strayed = Strayed { class, score, tolerance, validation, rolled_back };
        event(nonce, What::Strayed(Box::new(strayed)))
    };
    let key = Key::new("account", "p", "a").unwrap();
    let locked = Why::Locked { key: key.clone(), by: tid(8) };
    let events = vec![strayed(1, None), strayed(2, Some(locked)), accepted(3)];
    groups.apply(ONE, &[batch(4, 1, events.clone())]);
    let (group, state) = &groups.groups[&ONE];
    let found = |filter: Filter| {
        let found = group.conflicts(state, &filter, 10);
        found.into_iter().map(|(_, row)| row.event).collect::<Vec<_>>()
    };
    assert_eq!(found(Filter::default()), [events[1].clone(), events[0].clone()]);
    assert_eq!(found(Filter { key: Some(key), tid: None }), [events[1].clone()]);
    for (nonce, at) in [(1, 0), (2, 1), (8, 1)] {
        assert_eq!(found(Filter { key: None, tid: Some(tid(nonce)) }), [events[at].clone()]);
    }
    assert!(events.iter().all(|event| event.conflict().is_none()));
    assert!(events[..2].iter().all(|event| !event.is_accepted()));
}
