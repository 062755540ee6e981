//! The store against a sorted map, with a crash on both sides of every sync.
//!
//! A sync boundary is where something becomes durable: here each commit of LMDB. Before and after
//! each, what lies in the file is copied aside and opened as after a crash: it must be exactly the
//! state of the mark that was flushed last, and go on from there. (A process that dies *inside* a
//! commit is in `crash_test`.)
//!
//! It runs on real files, and, for many more operations, on files of a memory file system, where a
//! sync costs nothing: the same code, LMDB included.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tempfile::TempDir;
use vatic_core::state::{Read, State};

use crate::fixture::{Entries, ID, entries, manual, mark, open, unfenced};
use crate::{Limits, Mark, Replica, Store, Writer};

/// On real files.
const DISK_OPERATIONS_MIN: u64 = 20_000;
/// On a memory file system.
const MEMORY_OPERATIONS_MIN: u64 = 1_000_000;
const STEPS_PER_HISTORY: usize = 400;

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u8),
    Delete(u16),
    Get(u16),
    Scan(u16, u16),
    Discard,
    Publish,
    Flush,
    /// The overlay freezes and must wait: the log is not durable.
    FencedFlush,
    /// The process dies, here and on this very file.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..200u16;
    prop_oneof![
        40 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        15 => key.clone().prop_map(Step::Delete),
        25 => key.clone().prop_map(Step::Get),
        5 => (key.clone(), key).prop_map(|(from, to)| Step::Scan(from, to)),
        1 => Just(Step::Discard),
        12 => Just(Step::Publish),
        1 => Just(Step::Flush),
        1 => Just(Step::FencedFlush),
    ]
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Default)]
struct Model {
    written: Map,
    published: (Map, Option<Mark>),
    flushed: (Map, Option<Mark>),
    index: u64,
}

/// What is broken, for a run that must fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// Flushes are told to the model and not to the store.
    FlushIsForgotten,
    /// The fence lets pass what the log does not have.
    FenceIsOpen,
}

struct Harness {
    dir: TempDir,
    crashed: PathBuf,
    store: Option<(Store, Replica, Writer)>,
    model: Model,
    boundaries: u64,
    broken: Broken,
}

type Checked = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Checked {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}, not {wanted:?}")) }
}

fn limits() -> Limits {
    Limits { fence_wait_ms: 0, map_bytes: 16 << 20, ..manual() }
}

fn key(number: u16) -> Vec<u8> {
    // Some keys are prefixes of others, and they differ in length.
    format!("{:x}", u32::from(number) * u32::from(number)).into_bytes()
}

impl Harness {
    fn new(base: &Path, broken: Broken) -> Harness {
        let dir = tempfile::tempdir_in(base).expect("a temporary directory");
        let crashed = dir.path().join("crashed");
        std::fs::create_dir(&crashed).expect("a directory");
        let store = Some(open_parts(&dir.path().join("state")));
        Harness { dir, crashed, store, model: Model::default(), boundaries: 0, broken }
    }

    fn run(&mut self, step: &Step) -> Checked {
        let (_, replica, writer) = self.store.as_mut().expect("the store is open");
        let model = &mut self.model;
        match step {
            Step::Put(number, value) => {
                let value = vec![*value; usize::from(*value) / 4];
                writer.put(key(*number), value.clone());
                model.written.insert(key(*number), value);
            }
            Step::Delete(number) => {
                writer.delete(&key(*number));
                model.written.remove(&key(*number));
            }
            Step::Get(number) => {
                let key = key(*number);
                same("own read", writer.get(&key).as_ref(), model.written.get(&key))?;
                same("view", replica.view().get(&key).as_ref(), model.published.0.get(&key))?;
            }
            Step::Scan(from, to) => {
                let (from, to) = (key(*from.min(to)), key(*from.max(to)));
                let mut seen = Entries::new();
                writer.scan(&from, &to, &mut |key, value| {
                    seen.push((key.to_vec(), value.to_vec()));
                    true
                });
                let inside = model.written.iter().filter(|(key, _)| (&from..&to).contains(key));
                let wanted: Entries = inside.map(|(k, v)| (k.clone(), v.clone())).collect();
                same("scan", seen, wanted)?;
            }
            Step::Discard => {
                writer.discard();
                model.written = model.published.0.clone();
            }
            Step::Publish => {
                model.index += 1;
                writer.publish(mark(model.index));
                model.published = (model.written.clone(), Some(mark(model.index)));
            }
            Step::Flush => return self.flush(u64::MAX),
            Step::FencedFlush => return self.flush(0),
            Step::Crash => return self.crash(),
        }
        Ok(())
    }

    /// A flush with a crash on either side of it.
    fn flush(&mut self, durable: u64) -> Checked {
        self.look_at_crash("before a flush")?;
        let (store, replica, _) = self.store.as_ref().expect("the store is open");
        let open = self.broken == Broken::FenceIsOpen;
        replica.set_fence(move || if open { u64::MAX } else { durable });
        if self.broken != Broken::FlushIsForgotten {
            let held_back = store.flush_now().held_back.contains(&ID);
            let behind = self.model.published.1 != self.model.flushed.1;
            same("held back", held_back, behind && durable == 0)?;
        }
        if durable > 0 {
            self.model.flushed = self.model.published.clone();
        }
        self.look_at_crash("after a flush")
    }

    /// Opens a copy of what would be left if the power went now.
    fn look_at_crash(&mut self, when: &str) -> Checked {
        self.boundaries += 1;
        let file = "data.mdb";
        let state = self.dir.path().join("state");
        std::fs::copy(state.join(file), self.crashed.join(file)).expect("the file can be copied");
        let (store, replica, mut writer) = open_parts(&self.crashed);
        let (map, flushed) = &self.model.flushed;
        same(&format!("mark {when}"), replica.applied(), flushed.clone())?;
        same(when, entries(&replica.view()), map.clone().into_iter().collect())?;
        // And it goes on from there.
        let next = flushed.as_ref().map_or(0, |mark| mark.index) + 1;
        writer.put(b"after".to_vec(), vec![1]);
        writer.publish(mark(next));
        same("held back", store.flush_now().held_back, vec![])?;
        same("flushed", replica.flushed(), Some(mark(next)))?;
        same("written", replica.view().get(b"after"), Some(vec![1]))
    }

    fn crash(&mut self) -> Checked {
        self.store = None;
        self.store = Some(open_parts(&self.dir.path().join("state")));
        self.model.published = self.model.flushed.clone();
        self.model.written = self.model.flushed.0.clone();
        // Entries behind the mark are applied again, under the same indexes.
        self.model.index = self.model.flushed.1.as_ref().map_or(0, |mark| mark.index);
        let (_, replica, _) = self.store.as_ref().expect("the store is open");
        same("mark after a crash", replica.applied(), self.model.flushed.1.clone())?;
        let found = entries(&replica.view());
        same("state after a crash", found, self.model.flushed.0.clone().into_iter().collect())
    }
}

fn open_parts(dir: &Path) -> (Store, Replica, Writer) {
    let store = open(dir, limits());
    let replica = unfenced(&store);
    let writer = replica.writer();
    (store, replica, writer)
}

/// Runs histories until that many operations are done. Returns how many, and how many boundaries.
fn histories(base: &Path, operations_min: u64, broken: Broken) -> Result<(u64, u64), String> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = prop::collection::vec(step(), STEPS_PER_HISTORY);
    let (mut operations, mut boundaries) = (0, 0);
    for number in 0.. {
        let steps = strategy.new_tree(&mut runner).expect("steps can be drawn").current();
        let mut harness = Harness::new(base, broken);
        let crash = [Step::Crash];
        let ran = steps.iter().chain(&crash).enumerate().try_for_each(|(at, step)| {
            match harness.run(step) {
                Ok(()) => ControlFlow::Continue(()),
                Err(what) => ControlFlow::Break(format!("history {number}, step {at}: {what}")),
            }
        });
        if let ControlFlow::Break(what) = ran {
            return Err(what);
        }
        operations += steps.len() as u64;
        boundaries += harness.boundaries;
        if operations >= operations_min {
            break;
        }
    }
    Ok((operations, boundaries))
}

#[test]
fn crash_at_any_sync_boundary_leaves_the_state_of_its_mark_on_real_files() {
    let dir = crate::fixture::temp_dir();
    let done = histories(dir.path(), DISK_OPERATIONS_MIN, Broken::Nothing);
    let (operations, boundaries) = done.expect("the store is its model");
    println!("{operations} operations, {boundaries} sync boundaries on real files");
    assert!(operations >= DISK_OPERATIONS_MIN && boundaries * 50 >= operations);
}

#[test]
fn crash_at_any_sync_boundary_leaves_the_state_of_its_mark_in_memory() {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let done = histories(&base, MEMORY_OPERATIONS_MIN, Broken::Nothing);
    let (operations, boundaries) = done.expect("the store is its model");
    println!("{operations} operations, {boundaries} sync boundaries in memory");
    assert!(operations >= MEMORY_OPERATIONS_MIN && boundaries * 50 >= operations);
}

#[test]
fn store_that_forgets_flushes_and_one_without_a_fence_are_caught() {
    let dir = crate::fixture::temp_dir();
    for broken in [Broken::FlushIsForgotten, Broken::FenceIsOpen] {
        let what = histories(dir.path(), 2_000, broken).expect_err("it is broken");
        println!("{what}");
    }
}
