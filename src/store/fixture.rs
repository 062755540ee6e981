//! What the tests share: a store in a throwaway directory, marks, and a stop that is seen.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use vatic_core::state::{Read, State};

use crate::{FatalAction, Limits, Mark, OpenError, Replica, ReplicaId, Store, View, Writer};

pub(crate) const ID: ReplicaId = ReplicaId { group: 3, generation: 1 };

/// Keys and values, in order.
pub(crate) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Limits under which nothing is flushed or swept unless a test asks for it.
pub(crate) fn manual() -> Limits {
    Limits {
        flush_interval_ms: 3_600_000,
        overlay_flush_bytes: usize::MAX,
        overlay_max_bytes: usize::MAX,
        ..Limits::simulation()
    }
}

pub(crate) fn temp_dir() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

pub(crate) fn open(dir: &Path, limits: Limits) -> Store {
    unlocked(|| Store::open(dir, limits.clone())).expect("the store opens")
}

/// Opens a store that was closed just now: a process that another test starts holds its lock file
/// too, from its fork to its exec.
pub(crate) fn unlocked(open: impl Fn() -> Result<Store, OpenError>) -> Result<Store, OpenError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match open() {
            Err(OpenError::Locked { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}

/// The replica `ID` with a fence that lets everything pass.
pub(crate) fn unfenced(store: &Store) -> Replica {
    let replica = store.replica(ID);
    replica.set_fence(|| u64::MAX);
    replica
}

pub(crate) fn mark(index: u64) -> Mark {
    Mark { index, meta: Bytes::from(format!("meta of {index}")) }
}

pub(crate) fn put(writer: &mut Writer, key: &str, value: &str) {
    writer.put(key.as_bytes().to_vec(), value.as_bytes().to_vec());
}

pub(crate) fn text(state: &impl Read, key: &str) -> Option<String> {
    state.get(key.as_bytes()).map(|value| String::from_utf8(value).expect("tests write text"))
}

pub(crate) fn entries(view: &View) -> Entries {
    let mut all = Vec::new();
    view.scan_all(&mut |key, value| {
        all.push((key.to_vec(), value.to_vec()));
        true
    });
    all
}

/// A fatal action that notes its reasons.
pub(crate) fn noted() -> (Arc<Mutex<Vec<String>>>, FatalAction) {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let inner = reasons.clone();
    (reasons, Arc::new(move |reason| inner.lock().unwrap().push(reason.to_owned())))
}

/// Polls until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "still not so after 30 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether `action` panics, as it does where a replaced fatal action has returned.
pub(crate) fn panics<T>(action: impl FnOnce() -> T) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(action)).is_err()
}
