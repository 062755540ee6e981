//! openraft's runtime: tasks in a process, chance from the seed, a watch in order.
//!
//! Channels, mutexes and clocks are those that openraft has for tokio: each is first come, first
//! served, and the clock is tokio's, which is virtual here.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend, OptionalSync, watch as contract};
use openraft_rt_tokio::{TokioInstant, TokioMpsc, TokioMutex, TokioOneshot};

use crate::sync::watch;
use crate::{chance, process};

/// openraft's view of this simulation.
#[derive(Debug)]
pub struct TokioRuntime;

impl AsyncRuntime for TokioRuntime {
    type JoinError = tokio_itself::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = tokio_itself::task::JoinHandle<T>;
    type Sleep = tokio_itself::time::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = tokio_itself::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = tokio_itself::time::Timeout<T>;
    type ThreadLocalRng = SeededRng;
    type Mpsc = TokioMpsc;
    type Watch = Watch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        process::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio_itself::time::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        let now = <TokioInstant as openraft_rt::Instant>::now();
        let left = if deadline > now { deadline - now } else { Duration::ZERO };
        tokio_itself::time::sleep(left)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio_itself::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        let now = <TokioInstant as openraft_rt::Instant>::now();
        let left = if deadline > now { deadline - now } else { Duration::ZERO };
        tokio_itself::time::timeout(left, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        error.is_panic()
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SeededRng
    }

    fn new(_threads: usize) -> Self {
        TokioRuntime
    }

    fn block_on<F, T>(&mut self, _future: F) -> T
    where
        F: Future<Output = T>,
    {
        unreachable!("the simulation runs its own runtime")
    }

    async fn spawn_blocking<F, T>(work: F) -> Result<T, io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Ok(work())
    }
}

/// Hands on the numbers of [`chance`].
#[derive(Debug)]
pub struct SeededRng;

impl rand::TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((chance::next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(chance::next())
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        for chunk in into.chunks_mut(8) {
            chunk.copy_from_slice(&chance::next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// [`watch`] as openraft asks for one.
pub struct Watch;

/// Has openraft's methods alone: with tokio's beside them nobody would know which is called.
#[derive(Debug)]
pub struct Sender<T>(watch::Sender<T>);

#[derive(Debug)]
pub struct Receiver<T>(watch::Receiver<T>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver(self.0.clone())
    }
}

impl contract::Watch for Watch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Self::Sender<T>, Self::Receiver<T>) {
        let (sender, receiver) = watch::channel(init);
        (Sender(sender), Receiver(receiver))
    }
}

impl<T: OptionalSend + OptionalSync> contract::WatchSender<Watch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), contract::SendError<T>> {
        self.0.send(value).map_err(contract::SendError)
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        self.0.send_if_modified(modify)
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.0.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver(self.0.subscribe())
    }
}

impl<T: OptionalSend + OptionalSync> contract::WatchReceiver<Watch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), contract::RecvError> {
        self.0.changed().await.map_err(|_| contract::RecvError(()))
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.0.borrow()
    }

    fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.0.borrow_and_update()
    }
}
