//! The hand-off as the log uses it: callers leave records, the writer makes a batch of what has
//! gathered, "fsyncs" it, and only then says so.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use vatic_sync::{Fault, Handoff, Inbox, Turn};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "writer never sleeps on work that was left",
        preemptions_max: None,
        interleavings_min: 6,
        run: callers_and_writer,
        twins: &[
            Twin { broken: Broken::Line(Fault::WakeBeforeTheWork), says: "deadlock" },
            Twin { broken: Broken::Line(Fault::SleepOnAnOldLook), says: "deadlock" },
        ],
    },
    Model {
        name: "work that was accepted is done before the end",
        preemptions_max: None,
        interleavings_min: 6,
        run: caller_and_close,
        twins: &[Twin { broken: Broken::Line(Fault::CloseInSilence), says: "deadlock" }],
    },
    Model {
        name: "durable position never runs ahead of the disk",
        preemptions_max: None,
        interleavings_min: 6,
        run: watermark_behind_the_disk,
        twins: &[Twin {
            broken: Broken::Use(watermark_before_the_fsync),
            says: "ahead of the disk",
        }],
    },
];

#[derive(Default)]
struct Queue {
    left: Vec<usize>,
    taken: usize,
    /// The position up to which the disk has everything.
    synced: usize,
    closing: bool,
}

impl Inbox for Queue {
    fn has_work(&self) -> bool {
        !self.left.is_empty()
    }

    fn is_closing(&self) -> bool {
        self.closing
    }

    fn close(&mut self) {
        self.closing = true;
    }
}

fn leave(handoff: &Handoff<Queue>, record: usize) -> bool {
    let left = handoff.leave(|queue| {
        if queue.closing {
            return Err(());
        }
        queue.left.push(record);
        Ok(())
    });
    left.is_ok()
}

/// The writer, in the very loop that a node's is in. Returns the batches that it has written.
fn write(handoff: &Handoff<Queue>, disk: &AtomicUsize) -> Vec<Vec<usize>> {
    write_in_order(handoff, disk, true)
}

fn write_in_order(
    handoff: &Handoff<Queue>,
    disk: &AtomicUsize,
    fsync_first: bool,
) -> Vec<Vec<usize>> {
    let mut batches = Vec::new();
    handoff.work(|| {
        let batch = {
            let mut queue = handoff.lock();
            let batch = std::mem::take(&mut queue.left);
            queue.taken += batch.len();
            batch
        };
        if batch.is_empty() {
            return Turn::Idle(None);
        }
        // The fsync: nothing is said before it.
        let written = disk.load(Ordering::Relaxed) + batch.len();
        if fsync_first {
            disk.store(written, Ordering::Relaxed);
            handoff.lock().synced = written;
        } else {
            handoff.lock().synced = written;
            disk.store(written, Ordering::Relaxed);
        }
        batches.push(batch);
        Turn::Worked
    });
    batches
}

/// Two callers and the writer, who ends when both have been written and not at a close, so that no
/// wake-up of the end makes good for one that was lost.
fn callers_and_writer() {
    let handoff = Arc::new(Handoff::new(Queue::default()));
    let writer = {
        let handoff = handoff.clone();
        thread::spawn(move || {
            let mut written = 0;
            handoff.work(|| {
                let left = std::mem::take(&mut handoff.lock().left).len();
                written += left;
                match (written, left) {
                    (2, _) => Turn::Over,
                    (_, 0) => Turn::Idle(None),
                    _ => Turn::Worked,
                }
            });
            written
        })
    };
    let caller = {
        let handoff = handoff.clone();
        thread::spawn(move || assert!(leave(&handoff, 1)))
    };
    assert!(leave(&handoff, 2));
    caller.join().unwrap();
    assert_eq!(writer.join().unwrap(), 2);
}

/// One caller beside whoever closes: what was accepted is written, what came later is refused.
fn caller_and_close() {
    let handoff = Arc::new(Handoff::new(Queue::default()));
    let disk = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (handoff, disk) = (handoff.clone(), disk.clone());
        thread::spawn(move || write(&handoff, &disk))
    };
    let closer = {
        let handoff = handoff.clone();
        thread::spawn(move || handoff.close())
    };
    let accepted = usize::from(leave(&handoff, 1));
    closer.join().unwrap();
    let batches = writer.join().unwrap();
    assert_eq!(batches.concat().len(), accepted, "{batches:?}");
    assert!(!leave(&handoff, 2), "nothing is taken after the end");
}

/// What a flush asks before it writes state to disk: a position that is said to be durable is.
fn watermark_behind_the_disk() {
    watermark(true);
}

fn watermark_before_the_fsync() {
    watermark(false);
}

fn watermark(fsync_first: bool) {
    let handoff = Arc::new(Handoff::new(Queue::default()));
    let disk = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (handoff, disk) = (handoff.clone(), disk.clone());
        thread::spawn(move || write_in_order(&handoff, &disk, fsync_first))
    };
    assert!(leave(&handoff, 1));
    let durable = handoff.lock().synced;
    assert!(disk.load(Ordering::Relaxed) >= durable, "ahead of the disk");
    assert!(leave(&handoff, 2));
    let later = handoff.lock().synced;
    assert!(later >= durable && disk.load(Ordering::Relaxed) >= later, "ahead of the disk");
    handoff.close();
    assert_eq!(writer.join().unwrap().concat(), [1, 2]);
}
