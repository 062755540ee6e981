//! The floor: a group commit with nothing in it but bytes and a sync.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;

use crate::Target;

const FILE_BYTES: u64 = 64 << 20;

/// One prewritten file, written round and round.
pub(crate) struct Floor {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    appends: Vec<(Bytes, SyncSender<()>)>,
    closed: bool,
}

impl Floor {
    pub(crate) fn open(path: &Path) -> io::Result<Floor> {
        let file = prewritten(path, FILE_BYTES)?;
        let queue = Arc::new(Queue::default());
        let its_queue = queue.clone();
        let thread = std::thread::spawn(move || commit(&file, &its_queue));
        Ok(Floor { queue, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn close(&self) -> io::Result<()> {
        self.queue.waiting.lock().expect("no writer panicked").closed = true;
        self.queue.wake.notify_one();
        let thread = self.thread.lock().expect("nobody panicked here").take();
        thread.map_or(Ok(()), |thread| thread.join().expect("the committer does not panic"))
    }
}

impl Target for Arc<Floor> {
    fn append(&mut self, payload: Bytes, synced: SyncSender<()>) {
        let mut waiting = self.queue.waiting.lock().expect("no writer panicked");
        waiting.appends.push((payload, synced));
        drop(waiting);
        self.queue.wake.notify_one();
    }
}

/// A file of zeros that are written and synced.
pub(crate) fn prewritten(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..bytes).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn commit(file: &File, queue: &Queue) -> io::Result<()> {
    let (mut bytes, mut offset) = (Vec::new(), 0);
    loop {
        let mut waiting = queue.waiting.lock().expect("no writer panicked");
        while waiting.appends.is_empty() {
            if waiting.closed {
                return Ok(());
            }
            waiting = queue.wake.wait(waiting).expect("no writer panicked");
        }
        let batch = std::mem::take(&mut waiting.appends);
        drop(waiting);
        bytes.clear();
        batch.iter().for_each(|(payload, _)| bytes.extend_from_slice(payload));
        if offset + bytes.len() as u64 > FILE_BYTES {
            offset = 0;
        }
        file.write_all_at(&bytes, offset)?;
        file.sync_data()?;
        offset += bytes.len() as u64;
        for (_, synced) in batch {
            // A writer that has gone does not want to know.
            let _ = synced.send(());
        }
    }
}
