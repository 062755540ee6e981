//! A simulated process: the tasks of one node, which a crash ends together.
//!
//! A task belongs to the process whose code spawned it, however deep inside a library. A crash
//! aborts all of them before any can take another step; what their futures hold is dropped, as the
//! memory of a process that dies is, and nothing that a destructor spawns ever runs.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio_itself::task::{AbortHandle, JoinHandle};
use tokio_itself::time::{Instant, Sleep};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Process>>> = const { RefCell::new(None) };
}

/// One life of a node.
pub struct Process {
    node: u32,
    killed: AtomicBool,
    alive: AtomicUsize,
    tasks: Mutex<Vec<AbortHandle>>,
    stalled_until: Mutex<Option<Instant>>,
}

impl Process {
    pub fn new(node: u32) -> Arc<Process> {
        let (killed, alive) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (tasks, stalled_until) = (Mutex::default(), Mutex::default());
        Arc::new(Process { node, killed, alive, tasks, stalled_until })
    }

    /// Whose code runs now.
    pub fn current() -> Option<Arc<Process>> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub fn node(&self) -> u32 {
        self.node
    }

    /// Runs a task in this process.
    pub fn spawn<F>(self: &Arc<Self>, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let handle = tokio_itself::spawn(Inside::new(Some(self.clone()), future));
        self.take_in(handle.abort_handle());
        handle
    }

    /// Ends all tasks. Their memory is freed when the runtime gets to them: see [`Self::is_gone`].
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        let tasks = std::mem::take(&mut *self.tasks());
        tasks.iter().for_each(AbortHandle::abort);
    }

    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Whether nothing of it is left in memory.
    pub fn is_gone(&self) -> bool {
        self.alive.load(Ordering::Relaxed) == 0
    }

    /// No task of it takes a step before `until`, as if the machine had stopped for a while.
    pub fn stall(&self, until: Instant) {
        *self.stalled_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn stalled(&self) -> Option<Instant> {
        let mut stalled = self.stalled_until.lock().unwrap_or_else(PoisonError::into_inner);
        stalled.take_if(|until| *until <= Instant::now());
        *stalled
    }

    pub(crate) fn take_in(&self, task: AbortHandle) {
        if self.is_killed() {
            return task.abort();
        }
        let mut tasks = self.tasks();
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(task);
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<AbortHandle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a task in the current process, or outside of any.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    match Process::current() {
        Some(process) => process.spawn(future),
        None => tokio_itself::spawn(future),
    }
}

/// A future that knows its process while it runs, and while it is dropped.
pub(crate) struct Inside<F> {
    process: Option<Arc<Process>>,
    future: Option<Pin<Box<F>>>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl<F> Inside<F> {
    pub(crate) fn new(process: Option<Arc<Process>>, future: F) -> Inside<F> {
        if let Some(process) = &process {
            process.alive.fetch_add(1, Ordering::Relaxed);
        }
        Inside { process, future: Some(Box::pin(future)), stall: None }
    }
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(until) = self.process.as_ref().and_then(|process| process.stalled()) {
            let stall = self.stall.insert(Box::pin(tokio_itself::time::sleep_until(until)));
            if stall.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let _entered = Entered::new(self.process.clone());
        let future = self.future.as_mut().expect("polled until it is dropped");
        future.as_mut().poll(cx)
    }
}

impl<F> Drop for Inside<F> {
    fn drop(&mut self) {
        let _entered = Entered::new(self.process.clone());
        drop(self.future.take());
        if let Some(process) = &self.process {
            process.alive.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Makes a process the current one until it is dropped.
struct Entered(Option<Arc<Process>>);

impl Entered {
    fn new(process: Option<Arc<Process>>) -> Entered {
        Entered(CURRENT.replace(process))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
