//! Tasks as tokio has them, but in a process; and blocking work at once, where it is asked for.

use std::future::{Future, Ready, ready};

pub use tokio_itself::task::{AbortHandle, JoinError, JoinHandle, yield_now};

pub use crate::process::spawn;
use crate::process::{Inside, Process};

/// Runs `work` now, on this thread: one thread runs all of a simulation.
pub fn spawn_blocking<T>(work: impl FnOnce() -> T) -> Ready<Result<T, JoinError>> {
    ready(Ok(work()))
}

/// As tokio's.
pub struct JoinSet<T>(tokio_itself::task::JoinSet<T>);

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        JoinSet(tokio_itself::task::JoinSet::new())
    }
}

impl<T: Send + 'static> JoinSet<T> {
    pub fn new() -> Self {
        JoinSet::default()
    }

    pub fn spawn(&mut self, future: impl Future<Output = T> + Send + 'static) -> AbortHandle {
        let process = Process::current();
        let handle = self.0.spawn(Inside::new(process.clone(), future));
        if let Some(process) = process {
            process.take_in(handle.clone());
        }
        handle
    }

    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.0.join_next().await
    }

    pub async fn shutdown(&mut self) {
        self.0.shutdown().await;
    }
}
