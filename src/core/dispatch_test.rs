//! Tickets begin in order, one attempt each at a time, and are tried again.

use crate::{
    dispatch::{After, Dispatch, DispatchLimits, Ended, Now, Touched, after_rollback},
    id::Timestamp,
    key::Key,
    rules::Rules,
    ticket::Ticket,
};
use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

const LIMITS: DispatchLimits = DispatchLimits {
    running_max: 2,
    aged_us: 1_000,
    pause_us: [10, 40],
    shadow_below: 2,
    shadow_tries_max: 2,
    choice: 3,
};

fn ticket(mint: u64) -> Ticket {
    Ticket::new("q3".to_owned(), Timestamp(mint), 0)
}

fn at(us: u64) -> Now {
    Now { clock: Timestamp(us), us }
}

fn dispatch() -> Dispatch {
    Dispatch::new(LIMITS, Rules::default())
}

/// A look at all that waits, where no two touch one record.
fn look(dispatch: &mut Dispatch, queued: &[(Ticket, u8)], now_us: u64) -> Vec<Ticket> {
    dispatch.seen(queued.iter().map(|(ticket, _)| ticket), false);
    let nothing = Touched::default();
    dispatch.begin(queued, |_| &nothing, false, at(now_us))
}

/// The same where tickets touch records, by when they were minted.
fn look_at_records(
    dispatch: &mut Dispatch,
    queued: &[(Ticket, u8)],
    touched: &[(u64, &[&str])],
    now_us: u64,
) -> Vec<Ticket> {
    let of = |(mint, names): &(u64, &[&str])| {
        let key = |name: &&str| Key::new("c", name, "").expect("a plain key");
        let touched = Touched { records: names.iter().map(key).collect(), at_home: false };
        (ticket(*mint), touched)
    };
    let touched: BTreeMap<Ticket, Touched> = touched.iter().map(of).collect();
    dispatch.begin(queued, |ticket| &touched[ticket], false, at(now_us))
}

#[test]
fn higher_priority_goes_first_and_what_waited_long_before_all() {
    let queued = vec![(ticket(100), 1), (ticket(200), 1), (ticket(300), 2), (ticket(90), 1)];
    assert_eq!(look(&mut dispatch(), &queued, 400), vec![ticket(300), ticket(90)]);
    assert_eq!(look(&mut dispatch(), &queued, 1_101), vec![ticket(90), ticket(300)]);
    assert_eq!(look(&mut dispatch(), &queued, 1_400), vec![ticket(90), ticket(100)]);
}

#[test]
fn aged_tickets_that_never_end_leave_places_to_those_that_can() {
    let mut queued = vec![(ticket(0), 0), (ticket(1), 0), (ticket(2), 0)];
    let mut dispatch = dispatch();
    assert_eq!(look(&mut dispatch, &queued, 2_000), vec![ticket(0), ticket(1)]);
    queued.push((ticket(2_001), 0));
    dispatch.ended(ticket(1), Ended::Met, at(2_010), 0);
    assert_eq!(look(&mut dispatch, &queued, 2_010), vec![ticket(2_001)]);
    assert_eq!(dispatch.class(&ticket(0), 3, Timestamp(2_010)), u8::MAX);
    assert_eq!(dispatch.class(&ticket(2_001), 3, Timestamp(2_010)), 3);
}

#[test]
fn no_more_are_under_way_than_may_be_and_none_twice() {
    let queued: Vec<_> = (0..4).map(|mint| (ticket(mint), 0)).collect();
    let mut dispatch = dispatch();
    assert_eq!(look(&mut dispatch, &queued, 10), vec![ticket(0), ticket(1)]);
    assert!(!dispatch.has_room());
    assert_eq!(look(&mut dispatch, &queued, 10), vec![]);
    dispatch.ended(ticket(1), Ended::Over, at(11), 0);
    assert_eq!(look(&mut dispatch, &queued[2..], 11), vec![ticket(2)]);
}

#[test]
fn ticket_that_conflicts_is_tried_again_after_ever_longer_pauses() {
    let queued = vec![(ticket(0), 0)];
    let mut dispatch = dispatch();
    assert!(!dispatch.takes_turns(&ticket(0)), "nobody was in its way yet");
    let mut now_us = 0;
    for most_us in [10, 20, 40, 40] {
        assert_eq!(look(&mut dispatch, &queued, now_us), vec![ticket(0)]);
        // The longest that can be drawn.
        dispatch.ended(ticket(0), Ended::Met, at(now_us), most_us - 10);
        assert_eq!(look(&mut dispatch, &queued, now_us + most_us - 1), vec![]);
        now_us += most_us;
    }
    assert!(dispatch.takes_turns(&ticket(0)));
    dispatch.deposed();
    assert_eq!(look(&mut dispatch, &queued, 0), vec![ticket(0)], "it leads anew");
}

#[test]
fn ticket_out_of_sight_keeps_its_pause_while_more_wait() {
    let queued = vec![(ticket(0), 0), (ticket(1), 0)];
    let mut dispatch = dispatch();
    assert_eq!(look(&mut dispatch, &queued, 0), vec![ticket(0), ticket(1)]);
    dispatch.ended(ticket(1), Ended::Met, at(0), 0);
    dispatch.seen([&ticket(0)], true);
    assert!(!dispatch.is_due(&ticket(1), at(9)) && dispatch.is_due(&ticket(1), at(10)));
    dispatch.seen([&ticket(0)], false);
    assert!(dispatch.is_due(&ticket(1), at(2)), "it is gone, and what was known of it");
}

#[test]
fn tickets_that_touch_one_record_go_one_after_the_other_and_in_order_at_each() {
    let queued = vec![(ticket(0), 0), (ticket(1), 0), (ticket(2), 0), (ticket(3), 0)];
    let touched: &[(u64, &[&str])] =
        &[(0, &["a"]), (1, &["a", "b"]), (2, &["b"]), (3, &["c", "d"])];
    let mut dispatch = dispatch();
    let begins = |dispatch: &mut Dispatch| look_at_records(dispatch, &queued, touched, 10);
    assert_eq!(begins(&mut dispatch), vec![ticket(0), ticket(3)], "the second waits for the first");
    dispatch.ended(ticket(3), Ended::Met, at(10), 0);
    assert_eq!(begins(&mut dispatch), vec![], "the third is behind the second");
    dispatch.ended(ticket(0), Ended::Met, at(10), 0);
    assert_eq!(begins(&mut dispatch), vec![ticket(1)]);
}

#[test]
fn what_one_command_decides_keeps_nothing_and_waits_for_what_several_do() {
    let queued = [(ticket(0), 0), (ticket(1), 0), (ticket(2), 0)];
    let records = BTreeSet::from([Key::new("c", "a", "").expect("a plain key")]);
    let [home, wide] = [true, false].map(|at_home| Touched { records: records.clone(), at_home });
    let mut dispatch = dispatch();
    let begun = dispatch.begin(&queued[..2], |_| &home, false, at(10));
    assert_eq!(begun, vec![ticket(0), ticket(1)], "they do not meet");
    dispatch.ended(ticket(0), Ended::Over, at(10), 0);
    let touched = |of: &Ticket| if *of == ticket(2) { &wide } else { &home };
    assert_eq!(dispatch.begin(&queued[2..], touched, false, at(10)), vec![ticket(2)]);
    dispatch.ended(ticket(1), Ended::Over, at(10), 0);
    assert_eq!(dispatch.begin(&queued[..1], touched, false, at(10)), vec![], "it would meet it");
}

/// A look at tickets of one group, minted one after the other, with their priorities and records.
fn look_at_home(dispatch: &mut Dispatch, waiting: &[(u64, u8, &[&str])], room: usize) -> Vec<u64> {
    let key = |name: &&str| Key::new("c", name, "").expect("a plain key");
    let touched =
        |names: &[&str]| Touched { records: names.iter().map(key).collect(), at_home: true };
    let touched: BTreeMap<Ticket, Touched> =
        waiting.iter().map(|(mint, _, names)| (ticket(*mint), touched(names))).collect();
    let queued: Vec<_> = waiting.iter().map(|(mint, class, _)| (ticket(*mint), *class)).collect();
    let begun = dispatch.begin(&queued, |ticket| &touched[ticket], false, at(10));
    assert_eq!(begun.len(), room.min(waiting.len()));
    begun.iter().map(|ticket| ticket.mint().expect("it was minted").0).collect()
}

fn with_room(running_max: usize) -> Dispatch {
    Dispatch::new(DispatchLimits { running_max, ..LIMITS }, Rules::default())
}

#[test]
fn of_the_first_few_the_one_goes_whose_records_are_free_soonest() {
    let waiting: &[(u64, u8, &[&str])] =
        &[(0, 0, &["a"]), (1, 0, &["a"]), (2, 0, &["a"]), (3, 0, &["b"]), (4, 0, &["c"])];
    assert_eq!(look_at_home(&mut with_room(5), waiting, 5), [0, 3, 4, 1, 2]);
    assert_eq!(look_at_home(&mut with_room(2), waiting, 2), [0, 3]);
    let mut dispatch = with_room(3);
    assert_eq!(look_at_home(&mut dispatch, &waiting[..1], 1), [0], "it is under way");
    assert_eq!(look_at_home(&mut dispatch, &waiting[1..], 2), [3, 4]);
    let first = DispatchLimits { choice: 1, running_max: 2, ..LIMITS };
    let mut dispatch = Dispatch::new(first, Rules::default());
    assert_eq!(look_at_home(&mut dispatch, waiting, 2), [0, 1], "it takes the first as it comes");
}

#[test]
fn free_records_let_nobody_pass_what_is_more_urgent_or_shares_one_with_it() {
    let urgent: &[(u64, u8, &[&str])] = &[(0, 1, &["a"]), (1, 1, &["a"]), (2, 0, &["b"])];
    assert_eq!(look_at_home(&mut with_room(2), urgent, 2), [0, 1]);
    let shared: &[(u64, u8, &[&str])] = &[(0, 0, &["a"]), (1, 0, &["a", "b"]), (2, 0, &["b"])];
    assert_eq!(look_at_home(&mut with_room(3), shared, 3), [0, 1, 2]);
}

#[test]
fn aged_tickets_that_wait_for_a_record_take_no_place_from_aged_ones_that_do_not() {
    let queued = vec![(ticket(0), 0), (ticket(1), 0), (ticket(2), 0), (ticket(3), 0)];
    let touched: &[(u64, &[&str])] = &[(0, &["a"]), (1, &["a"]), (2, &["a"]), (3, &["b"])];
    let mut dispatch = Dispatch::new(DispatchLimits { running_max: 4, ..LIMITS }, Rules::default());
    let begun = look_at_records(&mut dispatch, &queued, touched, 2_000);
    assert_eq!(begun, vec![ticket(0), ticket(3)]);
}

#[test]
fn what_was_not_sent_takes_no_turns() {
    let mut dispatch = dispatch();
    look(&mut dispatch, &[(ticket(0), 0)], 0);
    dispatch.ended(ticket(0), Ended::NotSent, at(0), 0);
    assert!(!dispatch.takes_turns(&ticket(0)));
    dispatch.ended(ticket(0), Ended::Met, at(0), 0);
    assert!(dispatch.takes_turns(&ticket(0)));
}

#[test]
fn higher_priority_keeps_its_records_from_what_is_older() {
    let queued = vec![(ticket(0), 0), (ticket(1), 1)];
    let touched: &[(u64, &[&str])] = &[(0, &["a"]), (1, &["a"])];
    assert_eq!(look_at_records(&mut dispatch(), &queued, touched, 10), vec![ticket(1)]);
    let aged = look_at_records(&mut dispatch(), &queued, touched, 1_001);
    assert_eq!(aged, vec![ticket(0)], "but not from what has aged");
}

#[test]
fn paused_queue_begins_nothing() {
    let queued = vec![(ticket(0), 0)];
    let mut dispatch = dispatch();
    assert_eq!(dispatch.begin(&queued, |_| unreachable!("nobody asks"), true, at(5)), vec![]);
    assert_eq!(look(&mut dispatch, &queued, 5), vec![ticket(0)]);
}

#[test]
fn what_is_not_urgent_is_tried_out_until_it_was_tried_often_or_waited_long() {
    let queued = vec![(ticket(0), 1)];
    let mut dispatch = dispatch();
    for (now_us, shadowed) in [(0, true), (100, true), (200, false)] {
        assert_eq!(look(&mut dispatch, &queued, now_us), vec![ticket(0)]);
        assert_eq!(dispatch.is_shadowed(&ticket(0), 1, at(now_us)), shadowed, "at {now_us}");
        assert!(!dispatch.is_shadowed(&ticket(0), 2, at(now_us)), "it is urgent");
        dispatch.ended(ticket(0), Ended::Met, at(now_us), 0);
    }
    assert!(dispatch.is_shadowed(&ticket(5), 1, at(1_005)));
    assert!(!dispatch.is_shadowed(&ticket(5), 1, at(1_006)), "it has aged");
}

#[test]
fn rollback_over_the_ticket_itself_means_that_another_was_faster() {
    let (own, other) = (ticket(1).queued_key(), ticket(2).queued_key());
    let after = |at, retryable| after_rollback(&ticket(1), at, retryable);
    assert_eq!(after(Some(&own), false), After::Over);
    assert_eq!(after(Some(&own), true), After::Again);
    assert_eq!(after(Some(&other), false), After::GiveUp);
    assert_eq!(after(None, false), After::GiveUp);
}
