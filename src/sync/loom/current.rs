//! The published value as the store uses it: a writer publishes, the committer moves what was
//! published from memory to disk, readers see one moment.

use loom::sync::Arc;
use loom::thread;
use vatic_sync::{Current, Fault, Gate};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "publish and flush do not undo each other",
        preemptions_max: None,
        interleavings_min: 3,
        run: publish_beside_flush,
        twins: &[Twin { broken: Broken::Line(Fault::EditOutOfTurn), says: "was lost" }],
    },
    Model {
        name: "reader never misses a key nor sees an old value come back",
        preemptions_max: None,
        interleavings_min: 3,
        run: reader_beside_flush,
        twins: &[
            Twin { broken: Broken::Line(Fault::EditOutOfTurn), says: "an old value came back" },
            Twin { broken: Broken::Use(reader_that_takes_two_parts), says: "the key was missed" },
        ],
    },
    Model {
        name: "third thread that reads beside publish and flush sees no step back",
        preemptions_max: Some(2),
        interleavings_min: 6,
        run: reader_beside_publish_and_flush,
        twins: &[Twin { broken: Broken::Line(Fault::EditOutOfTurn), says: "a publish was lost" }],
    },
    Model {
        name: "replaced value is freed without a lock",
        preemptions_max: None,
        interleavings_min: 2,
        run: freeing_beside_reader,
        twins: &[Twin { broken: Broken::Line(Fault::DropUnderTheLock), says: "deadlock" }],
    },
    Model {
        name: "bytes that find a kick under way are flushed by it",
        preemptions_max: None,
        interleavings_min: 3,
        run: kick_cleared_first,
        twins: &[Twin { broken: Broken::Use(kick_cleared_last), says: "nobody will flush" }],
    },
];

/// Where a key's newest version is: a number that only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    active: Option<u32>,
    frozen: Option<u32>,
    disk: u32,
}

impl Pair {
    fn read(&self) -> u32 {
        self.active.or(self.frozen).unwrap_or(self.disk)
    }
}

fn edit(current: &Current<Pair>, change: impl FnOnce(&mut Pair)) {
    let edited: Result<_, ()> = current.edit(|now| {
        let mut next = **now;
        change(&mut next);
        Ok(next)
    });
    edited.unwrap();
}

fn flush(current: &Current<Pair>) {
    edit(current, |pair| pair.frozen = pair.active.take());
    let frozen = current.get().frozen;
    edit(current, |pair| {
        pair.disk = frozen.unwrap_or(pair.disk);
        pair.frozen = None;
    });
}

/// A publish beside a flush: neither undoes the other.
fn publish_beside_flush() {
    let current = Arc::new(Current::new(Pair { active: Some(1), ..Pair::default() }));
    let committer = {
        let current = current.clone();
        thread::spawn(move || flush(&current))
    };
    edit(&current, |pair| pair.active = Some(2));
    committer.join().unwrap();
    let pair = *current.get();
    assert_eq!(pair.read(), 2, "a publish was lost: {pair:?}");
    assert!(pair.active.is_none() || pair.disk == 1, "a flush was lost: {pair:?}");
}

/// Reads around a publish, beside a flush: what is read never goes back.
fn reader_beside_flush() {
    let current = Arc::new(Current::new(Pair { active: Some(1), ..Pair::default() }));
    let committer = {
        let current = current.clone();
        thread::spawn(move || flush(&current))
    };
    assert_eq!(current.get().read(), 1, "the key was missed");
    edit(&current, |pair| pair.active = Some(2));
    assert_eq!(current.get().read(), 2, "an old value came back");
    committer.join().unwrap();
    assert_eq!(current.get().read(), 2, "an old value came back");
}

/// A reader of its own beside both.
fn reader_beside_publish_and_flush() {
    let current = Arc::new(Current::new(Pair { active: Some(1), ..Pair::default() }));
    let committer = {
        let current = current.clone();
        thread::spawn(move || flush(&current))
    };
    let reader = {
        let current = current.clone();
        thread::spawn(move || (current.get().read(), current.get().read()))
    };
    edit(&current, |pair| pair.active = Some(2));
    let (first, second) = reader.join().unwrap();
    assert!(1 <= first && first <= second, "went back from {first} to {second}");
    committer.join().unwrap();
    assert_eq!(current.get().read(), 2, "a publish was lost");
}

/// As the reader above, but it takes memory and disk apart, as two values.
fn reader_that_takes_two_parts() {
    let memory = Arc::new(Current::new(Pair { active: Some(1), ..Pair::default() }));
    let disk = Arc::new(Current::new(Pair::default()));
    let committer = {
        let (memory, disk) = (memory.clone(), disk.clone());
        thread::spawn(move || {
            let flushed = memory.get().active;
            edit(&disk, |pair| pair.disk = flushed.unwrap_or(pair.disk));
            edit(&memory, |pair| pair.active = None);
        })
    };
    let from_disk = disk.get().disk;
    let read = memory.get().active.unwrap_or(from_disk);
    assert_eq!(read, 1, "the key was missed");
    committer.join().unwrap();
}

/// A value that takes the time, and the locks, to be freed.
struct Heavy {
    owner: Option<Arc<Current<Heavy>>>,
}

impl Drop for Heavy {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            drop(owner.get());
        }
    }
}

/// Freeing what was replaced while a reader comes by: nobody holds a lock for that.
fn freeing_beside_reader() {
    let current = Arc::new(Current::new(Heavy { owner: None }));
    let owner = Some(current.clone());
    drop(current.edit(|_| Ok::<_, ()>(Heavy { owner })));
    let reader = {
        let current = current.clone();
        thread::spawn(move || drop(current.get()))
    };
    drop(current.edit(|_| Ok::<_, ()>(Heavy { owner: None })));
    reader.join().unwrap();
}

fn kick_cleared_first() {
    kick(true);
}

fn kick_cleared_last() {
    kick(false);
}

/// Bytes that were published while a kick was on its way are flushed by what it asks for.
fn kick(clear_first: bool) {
    let (current, gate) = (Arc::new(Current::new(Pair::default())), Arc::new(Gate::default()));
    gate.resize(0, 1);
    assert!(gate.wants_kick(1), "the first to find bytes asks");
    let committer = {
        let (current, gate) = (current.clone(), gate.clone());
        thread::spawn(move || {
            if clear_first {
                gate.freeing_begins();
            }
            flush(&current);
            if !clear_first {
                gate.freeing_begins();
            }
        })
    };
    edit(&current, |pair| pair.active = Some(2));
    gate.resize(0, 1);
    let asked_again = gate.wants_kick(1);
    committer.join().unwrap();
    assert!(asked_again || current.get().disk == 2, "bytes stay that nobody will flush");
}
