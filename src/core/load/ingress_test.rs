//! Who enters, who waits, who is refused: by cases, by chance, and before a server that can do so
//! much and no more.

use super::{
    ingress::{Arrival, Called, Ended, Gauges, Ingress, WaiterId},
    limits::LoadLimits,
    rank::Rank,
    share::Share,
};
use crate::conflict::fixed::{self, MILLION};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};
use proptest::prelude::*;

fn rank(class: u8, lot: u32) -> Rank {
    Rank::new(class, 7, 0, lot)
}

fn ended(took_us: u64) -> Option<Ended> {
    Some(Ended { took_us, conflict: false })
}

/// With all four places taken.
fn full() -> Ingress {
    let mut ingress = Ingress::new(LoadLimits::simulation());
    for _ in 0..4 {
        assert_eq!(ingress.arrive(rank(0, 0), 0), (Arrival::Enters, None));
    }
    ingress
}

fn waits(ingress: &mut Ingress, class: u8) -> WaiterId {
    match ingress.arrive(rank(class, 0), 0).0 {
        Arrival::Waits(waiter) => waiter,
        other => panic!("{other:?}"),
    }
}

#[test]
fn higher_class_is_called_first_and_of_one_class_who_came_first() {
    let mut ingress = full();
    let (first, second) = (waits(&mut ingress, 1), waits(&mut ingress, 1));
    let higher = waits(&mut ingress, 2);
    let mut called = Vec::new();
    for _ in 0..3 {
        called.extend(ingress.leave(ended(1), 1));
    }
    let enters = |waiter| Called { waiter, enters: true };
    assert_eq!(called, vec![enters(higher), enters(first), enters(second)]);
}

#[test]
fn full_queue_refuses_unless_somebody_of_a_lower_class_gives_way() {
    let mut ingress = full();
    let (_, _, last) = (waits(&mut ingress, 1), waits(&mut ingress, 1), waits(&mut ingress, 1));
    assert_eq!(ingress.arrive(rank(1, 0), 0), (Arrival::Refused, None));
    let (arrival, gives_way) = ingress.arrive(rank(2, 0), 0);
    assert!(matches!(arrival, Arrival::Waits(_)));
    assert_eq!(gives_way, Some(Called { waiter: last, enters: false }));
}

#[test]
fn who_waits_too_long_is_refused_and_who_gave_up_is_not_called() {
    let mut ingress = full();
    let (one, other) = (waits(&mut ingress, 0), waits(&mut ingress, 0));
    ingress.give_up(one);
    let longest_us = LoadLimits::simulation().wait_max_us;
    assert_eq!(ingress.step(Gauges::default(), longest_us - 1), vec![]);
    let refused = Called { waiter: other, enters: false };
    assert_eq!(ingress.step(Gauges::default(), longest_us), vec![refused]);
    assert_eq!(ingress.leave(None, longest_us), vec![]);
}

#[test]
fn busy_machine_refuses_nobody_as_long_as_nobody_waits() {
    let mut ingress = Ingress::new(LoadLimits::simulation());
    let busy = Gauges { cpu_ppm: MILLION, ..Gauges::default() };
    for now_us in 0..100 {
        assert_eq!(ingress.arrive(rank(0, 0), now_us), (Arrival::Enters, None));
        ingress.leave(ended(1), now_us);
        ingress.step(busy, now_us);
    }
    assert_eq!((ingress.load_ppm(), ingress.share_ppm()), (MILLION, MILLION));
    let short = Gauges { memory_ppm: 960_000, ..Gauges::default() };
    ingress.step(short, 100);
    assert!(ingress.share_ppm() < MILLION, "memory that runs out is an overload");
}

#[test]
fn bar_leaves_out_the_least_ranked_and_the_higher_class_last() {
    let mut share = Share::new(&LoadLimits::simulation());
    let of = |number: u32| rank(u8::from(number.is_multiple_of(4)), number);
    (0..64).for_each(|number| assert!(share.admits(of(number))));
    (0..14).for_each(|_| share.step(true));
    assert!((450_000..550_000).contains(&share.ppm()), "{}", share.ppm());
    let admitted: Vec<u32> = (0..64).filter(|number| share.admits(of(*number))).collect();
    assert!((30..36).contains(&admitted.len()), "{}", admitted.len());
    assert_eq!(admitted.iter().filter(|number| number.is_multiple_of(4)).count(), 16);
    (0..100).for_each(|_| share.step(false));
    assert!((0..64).all(|number| share.admits(of(number))));
}

#[test]
fn requests_of_one_user_pass_together_and_another_hour_has_others_first() {
    let of = |user: u64, hour, lot| Rank::new(3, fixed::mix(user), hour, lot);
    let ahead = |hour| (1..100).filter(move |&user| of(user, hour, 9) > of(0, hour, 0)).count();
    assert!((0..100).all(|lot| (of(1, 0, lot) > of(2, 0, 0)) == (of(1, 0, 0) > of(2, 0, lot))));
    assert!((0..8).map(ahead).collect::<BTreeSet<_>>().len() > 4);
}

/// A server that does two in a time unit, and holds what it was given until it is done.
struct Played {
    came: [u32; 3],
    done: [u32; 3],
    /// Of those who were let in, from arrival to end.
    took_us: Vec<u64>,
}

/// So many come in each unit, of three classes in turn.
fn play(per_unit: u64, units: u64) -> (Ingress, Played) {
    let limits = LoadLimits {
        places_first: 400,
        places_min: 10,
        places_max: 1_000,
        waiting_max: 1_000,
        wait_max_us: 60,
        ..LoadLimits::simulation()
    };
    let mut ingress = Ingress::new(limits);
    let mut waiting: BTreeMap<WaiterId, (usize, u64)> = BTreeMap::new();
    let mut running: Vec<(usize, u64, u64)> = Vec::new();
    let mut played = Played { came: [0; 3], done: [0; 3], took_us: vec![] };
    let settled = units / 2;
    for now in 0..units {
        let mut called = Vec::new();
        for number in 0..per_unit {
            let class = (number % 3) as usize;
            played.came[class] += u32::from(now >= settled);
            let lot = fixed::mix(now * 100 + number) as u32;
            let (arrival, gives_way) = ingress.arrive(rank(class as u8, lot), now);
            called.extend(gives_way);
            match arrival {
                Arrival::Enters => running.push((class, now, now)),
                Arrival::Waits(waiter) => drop(waiting.insert(waiter, (class, now))),
                Arrival::Refused => {}
            }
        }
        for _ in 0..2.min(running.len()) {
            let (class, came, entered) = running.remove(0);
            played.done[class] += u32::from(now >= settled);
            played.took_us.extend((now >= settled).then_some(now - came));
            called.extend(ingress.leave(ended(now - entered + 1), now));
        }
        if now % 100 == 99 {
            called.extend(ingress.step(Gauges::default(), now));
        }
        for Called { waiter, enters } in called {
            let (class, came) = waiting.remove(&waiter).expect("it is called once");
            running.extend(enters.then_some((class, came, now)));
        }
    }
    played.took_us.sort_unstable();
    (ingress, played)
}

#[test]
fn server_asked_for_three_times_what_it_can_do_does_that_much_in_time_and_the_best_first() {
    let (ingress, played) = play(6, 40_000);
    let done: u32 = played.done.iter().sum();
    assert!(done >= 39_000, "it can do 40,000 in the second half: {done}");
    assert!(played.done[2] * 100 >= played.came[2] * 99, "{:?}", played.done);
    let late = played.took_us[played.took_us.len() * 99 / 100];
    assert!(late <= 150, "{late}");
    assert!(ingress.share_ppm() < 600_000, "{}", ingress.share_ppm());
}

#[test]
fn server_that_can_do_what_it_is_asked_for_refuses_nobody() {
    let (ingress, played) = play(2, 4_000);
    assert!(played.done.iter().sum::<u32>() >= 3_998);
    assert_eq!(ingress.share_ppm(), MILLION);
}

#[derive(Clone, Debug)]
enum Act {
    Arrive(u8, u32),
    Leave(u64),
    GiveUp(usize),
    Step(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4u8, any::<u32>()).prop_map(|(class, lot)| Act::Arrive(class, lot)),
        3 => (0..200u64).prop_map(Act::Leave),
        1 => (0..8usize).prop_map(Act::GiveUp),
        1 => (0..=MILLION).prop_map(Act::Step),
    ]
}

proptest! {
    #[test]
    fn everybody_who_waits_is_called_at_most_once_and_no_place_is_lost(
        acts in prop::collection::vec(act(), 0..200),
    ) {
        let limits = LoadLimits::simulation();
        let (waiting_max, places_max) = (limits.waiting_max as usize, limits.places_max);
        let mut ingress = Ingress::new(limits);
        let mut waiting: Vec<WaiterId> = Vec::new();
        let mut inside = 0;
        for (now_us, act) in (0..).step_by(7).zip(acts) {
            let called = match act {
                Act::Arrive(class, lot) => {
                    let (arrival, gives_way) = ingress.arrive(rank(class, lot), now_us);
                    match arrival {
                        Arrival::Enters => inside += 1,
                        Arrival::Waits(waiter) => waiting.push(waiter),
                        Arrival::Refused => {}
                    }
                    gives_way.into_iter().collect()
                }
                Act::Leave(took_us) if inside > 0 => {
                    inside -= 1;
                    ingress.leave(ended(took_us), now_us)
                }
                Act::GiveUp(at) if at < waiting.len() => {
                    ingress.give_up(waiting.remove(at));
                    vec![]
                }
                Act::Step(ppm) => {
                    let gauges = Gauges { cpu_ppm: ppm, network_ppm: ppm / 2, memory_ppm: 0 };
                    ingress.step(gauges, now_us)
                }
                _ => vec![],
            };
            for Called { waiter, enters } in called {
                let at = waiting.iter().position(|known| *known == waiter);
                waiting.remove(at.expect("who is called waits"));
                inside += u32::from(enters);
            }
            prop_assert_eq!((ingress.inside(), ingress.waiting()), (inside, waiting.len()));
            prop_assert!(waiting.len() <= waiting_max && inside <= places_max);
            let idle = waiting.is_empty() || inside >= ingress.places();
            prop_assert!(idle, "who waits has nobody's place to take");
        }
    }
}
