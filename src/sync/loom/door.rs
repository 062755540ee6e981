//! The door: transactions that a node runs, while it closes.

use loom::sync::Arc;
use loom::thread;
use vatic_sync::{Door, Fault, Shut};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "who closes the door misses nobody who is inside",
        preemptions_max: None,
        interleavings_min: 3,
        run: one_enters_while_it_is_closed,
        twins: &[Twin { broken: Broken::Line(Fault::EnterInTwoSteps), says: "was missed" }],
    },
    Model {
        name: "no more enter than there is room for",
        preemptions_max: None,
        interleavings_min: 6,
        run: three_enter_where_two_fit,
        twins: &[Twin { broken: Broken::Line(Fault::EnterInTwoSteps), says: "too many" }],
    },
];

/// A node that closes counts who is inside once, after closing.
fn one_enters_while_it_is_closed() {
    let door = Arc::new(Door::default());
    let closer = {
        let door = door.clone();
        thread::spawn(move || {
            door.close();
            door.inside()
        })
    };
    let entered = door.enter(1, 2);
    let seen = closer.join().unwrap();
    assert_eq!(seen, u64::from(entered.is_ok()), "who entered was missed");
    assert!(door.is_closed());
    assert_eq!(door.enter(1, 2), Err(Shut::Closed));
    if entered.is_ok() {
        door.leave(1);
    }
    assert_eq!(door.inside(), 0);
}

fn three_enter_where_two_fit() {
    let door = Arc::new(Door::default());
    let others = [0; 2].map(|_| {
        let door = door.clone();
        thread::spawn(move || u64::from(door.enter(1, 2).is_ok()))
    });
    let mut entered = u64::from(door.enter(1, 2).is_ok());
    for other in others {
        entered += other.join().unwrap();
    }
    assert!(entered == 2, "too many, or too few: {entered}");
    assert_eq!((door.inside(), door.enter(1, 2)), (2, Err(Shut::Full)));
    door.leave(2);
    assert_eq!(door.enter(2, 2), Ok(()));
}
