//! What reads hold in a gateway's memory on its way to clients, and how it gets there.
//!
//! Why: a client that takes nothing of what it asked for leaves it to the gateway to keep, and a
//! thousand of them are gigabytes. Every piece is counted against `reads_held_bytes_max`, from when
//! it has come until the connection asks for the next one: so its count travels with it. Of each
//! stream HTTP/2 keeps up to one piece more, which is counted no longer.
//!
//! Invariants: nobody waits for room, so nobody holds any meanwhile: where there is none, the read
//! is refused. What a client does not take by the end of its stream is not kept for it.

use crate::{cluster::Cluster, status::ApiError};
use futures::Stream;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, ready},
};
use tokio::{
    sync::{
        mpsc::{self, Permit},
        watch,
    },
    time::Instant,
};
use tonic::Status;
use vatic_core::{
    key::Key,
    read::Record,
    value::{Fields, Value},
};
use vatic_sync::Door;

/// What a record takes beside its text, its names among that: itself and its message.
const RECORD_BYTES: u64 = 256;
/// The same of a field: its name's and its value's place in a map that is half empty.
const FIELD_BYTES: u64 = 128;
/// The same of an element of a list.
const ELEMENT_BYTES: u64 = 64;

/// Bytes that are counted; given back when dropped.
pub(crate) struct Held {
    door: Arc<Door>,
    bytes: u64,
}

impl Held {
    /// Counts what was read, where there is room for it.
    pub(crate) fn take(cluster: &Cluster, bytes: u64) -> Result<Held, ApiError> {
        Held::enter(&cluster.reads_held, bytes, cluster.config.limits.reads_held_bytes_max)
    }

    pub(crate) fn enter(door: &Arc<Door>, bytes: u64, max: u64) -> Result<Held, ApiError> {
        let full = |_| ApiError::QueueFull { limit: "reads_held_bytes_max", max };
        door.enter(bytes, max).map_err(full)?;
        Ok(Held { door: door.clone(), bytes })
    }

    /// A part of it, which is given back by itself.
    pub(crate) fn split(&mut self, bytes: u64) -> Held {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Held { door: self.door.clone(), bytes }
    }

    /// Both, given back together.
    pub(crate) fn join(&mut self, mut other: Held) {
        debug_assert!(Arc::ptr_eq(&self.door, &other.door), "a node has one such door");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.door.leave(self.bytes);
    }
}

/// What a record takes in memory, about. Its message is no larger.
pub(crate) fn record_bytes(record: &Record) -> u64 {
    let Key { collection, partition, sort } = &record.key;
    let names = collection.len() + partition.len() + sort.len();
    RECORD_BYTES + names as u64 + record.fields.as_ref().map_or(0, fields_bytes)
}

fn fields_bytes(fields: &Fields) -> u64 {
    let field = |(name, value): (&String, &Value)| {
        let elements = match value {
            Value::One(_) => 0,
            Value::List(values) => values.len() as u64 * ELEMENT_BYTES,
        };
        FIELD_BYTES + name.len() as u64 + elements + value.size_bytes()
    };
    fields.iter().map(field).sum()
}

/// A message, or the error that ends the stream, with what it holds.
type Piece<T> = (Result<T, Status>, Option<Held>);

/// What waits for the connection.
struct Queue<T> {
    pieces: mpsc::Receiver<Piece<T>>,
    /// What the client is told behind them.
    last_word: Option<Status>,
}

/// The near end of an answer.
pub(crate) struct Out<T> {
    to: mpsc::Sender<Piece<T>>,
    queue: Weak<Mutex<Queue<T>>>,
    /// Closed when the far end is gone.
    here: watch::Receiver<()>,
}

/// The far end, which the connection takes from.
pub(crate) struct Handed<T> {
    queue: Arc<Mutex<Queue<T>>>,
    /// Of the piece that the connection has in hand.
    held: Option<Held>,
    _here: watch::Sender<()>,
}

/// The client is gone.
#[derive(Debug)]
pub(crate) struct Gone;

/// An answer of which so many pieces may wait.
pub(crate) fn channel<T>(pieces: usize) -> (Out<T>, Handed<T>) {
    let (to, pieces) = mpsc::channel(pieces);
    let (_here, here) = watch::channel(());
    let queue = Arc::new(Mutex::new(Queue { pieces, last_word: None }));
    let out = Out { to, queue: Arc::downgrade(&queue), here };
    (out, Handed { queue, held: None, _here })
}

impl<T> Clone for Out<T> {
    fn clone(&self) -> Out<T> {
        Out { to: self.to.clone(), queue: self.queue.clone(), here: self.here.clone() }
    }
}

impl<T> Out<T> {
    /// Waits for a place, and takes it.
    pub(crate) async fn send(&self, message: T, held: Option<Held>) -> Result<(), Gone> {
        self.to.send((Ok(message), held)).await.map_err(|_| Gone)
    }

    /// Waits for a place.
    pub(crate) async fn reserve(&self) -> Result<Permit<'_, Piece<T>>, Gone> {
        self.to.reserve().await.map_err(|_| Gone)
    }

    /// Whether anything waits for the connection.
    pub(crate) fn waits(&self) -> bool {
        self.to.capacity() < self.to.max_capacity()
    }

    /// Waits until the client is gone. A failpoint does.
    #[cfg_attr(not(feature = "failpoints"), allow(dead_code))]
    pub(crate) async fn closed(&self) {
        self.to.closed().await;
    }

    /// Ends the stream with an error, behind what waits.
    pub(crate) fn fail(&self, error: ApiError) {
        if let Some(queue) = self.queue.upgrade() {
            queue.lock().expect("no holder panics").last_word = Some(error.into());
        }
    }

    /// Ends the stream and waits until the connection has all of it; what it has not by `until` is
    /// dropped, for which the client is told `late`. Whether nothing was.
    pub(crate) async fn end(self, until: Instant, late: Option<ApiError>) -> bool {
        let Out { to, queue, mut here } = self;
        drop(to);
        let gone = async { while here.changed().await.is_ok() {} };
        if tokio::time::timeout_at(until, gone).await.is_ok() {
            return true;
        }
        let Some(queue) = queue.upgrade() else { return true };
        let mut queue = queue.lock().expect("no holder panics");
        while queue.pieces.try_recv().is_ok() {}
        if let Some(late) = late {
            queue.last_word = Some(late.into());
        }
        false
    }
}

impl<T> Stream for Handed<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Whoever asks for the next one has passed on the one before.
        self.held = None;
        let next = {
            let mut queue = self.queue.lock().expect("no holder panics");
            let next = ready!(queue.pieces.poll_recv(cx));
            next.or_else(|| queue.last_word.take().map(|word| (Err(word), None)))
        };
        Poll::Ready(next.map(|(message, held)| {
            self.held = held;
            message
        }))
    }
}

#[cfg(test)]
#[path = "held_test.rs"]
mod tests;
