//! A watch that wakes its waiters in the order in which they began to wait.
//!
//! Shapes are tokio's, as far as simulated code uses them. A receiver waits at one place at a time,
//! so it has one place in the line, and leaves it when it is dropped.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, Waker};

/// A look at the value; whoever sends waits for it to end.
#[derive(Debug)]
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Every sender is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecvError(());

impl std::fmt::Display for RecvError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("channel closed")
    }
}

impl std::error::Error for RecvError {}

#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    id: u64,
    seen: u64,
}

#[derive(Debug)]
struct Shared<T> {
    value: RwLock<T>,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    version: u64,
    senders: usize,
    receivers: usize,
    id_next: u64,
    waiting: Vec<(u64, Waker)>,
}

pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Shared<T> {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn value(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Sender<T> {
    pub fn new(value: T) -> Self {
        let line = Mutex::new(Line { senders: 1, ..Line::default() });
        Sender(Arc::new(Shared { value: RwLock::new(value), line }))
    }

    /// The error gives the value back: nobody listens.
    pub fn send(&self, value: T) -> Result<(), T> {
        if self.0.line().receivers == 0 {
            return Err(value);
        }
        self.send_replace(value);
        Ok(())
    }

    pub fn send_replace(&self, value: T) -> T {
        let mut new = value;
        self.send_if_modified(|old| {
            std::mem::swap(old, &mut new);
            true
        });
        new
    }

    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let modified = modify(&mut self.0.value.write().unwrap_or_else(PoisonError::into_inner));
        if modified {
            let mut line = self.0.line();
            line.version += 1;
            let waiting = std::mem::take(&mut line.waiting);
            drop(line);
            waiting.into_iter().for_each(|(_, waker)| waker.wake());
        }
        modified
    }

    pub fn borrow(&self) -> Ref<'_, T> {
        self.0.value()
    }

    pub fn subscribe(&self) -> Receiver<T> {
        let mut line = self.0.line();
        line.receivers += 1;
        line.id_next += 1;
        Receiver { id: line.id_next, seen: line.version, shared: self.0.clone() }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Sender::new(T::default())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.line().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.senders -= 1;
        let waiting =
            if line.senders == 0 { std::mem::take(&mut line.waiting) } else { Vec::new() };
        drop(line);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<T> Receiver<T> {
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.value()
    }

    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.shared.line().version;
        self.shared.value()
    }

    pub async fn changed(&mut self) -> Result<(), RecvError> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    pub async fn wait_for(
        &mut self,
        mut is_it: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        loop {
            self.seen = self.shared.line().version;
            if is_it(&self.shared.value()) {
                return Ok(self.shared.value());
            }
            self.changed().await?;
        }
    }

    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        let mut line = self.shared.line();
        if line.version != self.seen {
            self.seen = line.version;
            return Poll::Ready(Ok(()));
        }
        if line.senders == 0 {
            return Poll::Ready(Err(RecvError(())));
        }
        let id = self.id;
        match line.waiting.iter_mut().find(|(waiting, _)| *waiting == id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => line.waiting.push((id, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let mut line = self.shared.line();
        line.receivers += 1;
        line.id_next += 1;
        Receiver { id: line.id_next, seen: self.seen, shared: self.shared.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut line = self.shared.line();
        line.receivers -= 1;
        let id = self.id;
        line.waiting.retain(|(waiting, _)| *waiting != id);
    }
}

#[cfg(test)]
mod tests {
    use super::channel;
    use std::sync::{Arc, Mutex};

    #[test]
    fn waiters_are_woken_in_the_order_in_which_they_came() {
        let runtime = tokio_itself::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, _receiver) = channel(0);
            let order = Arc::new(Mutex::new(Vec::new()));
            let waiters: Vec<_> = (0..32)
                .map(|number| {
                    let (mut receiver, order) = (sender.subscribe(), order.clone());
                    tokio_itself::spawn(async move {
                        receiver.changed().await.unwrap();
                        order.lock().unwrap().push(number);
                    })
                })
                .collect();
            tokio_itself::task::yield_now().await;
            sender.send(1).unwrap();
            for waiter in waiters {
                waiter.await.unwrap();
            }
            assert_eq!(*order.lock().unwrap(), (0..32).collect::<Vec<_>>());
        });
    }

    #[test]
    fn receiver_hears_that_the_last_sender_is_gone() {
        let runtime = tokio_itself::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, mut receiver) = channel(0);
            let second = sender.clone();
            drop(sender);
            second.send(5).unwrap();
            assert_eq!(receiver.changed().await, Ok(()));
            drop(second);
            assert!(receiver.changed().await.is_err());
            assert_eq!(*receiver.borrow(), 5);
        });
    }
}
