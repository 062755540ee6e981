//! Writer, views, flushes and reopens against a sorted map, over random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;
use vatic_core::state::{Read, State};

use crate::fixture::{Entries, ID, entries, manual, mark, open, temp_dir, unfenced};
use crate::{Limits, Mark, Replica, Store, View, Writer};

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Scan(Vec<u8>, Vec<u8>),
    Discard,
    Publish,
    HoldView,
    Flush,
    /// The overlay freezes, but the log is not durable: nothing may reach LMDB.
    FencedFlush,
    /// A crash: what was not flushed is gone.
    Reopen,
    Reinstall,
}

/// Few keys, so that they collide; some are prefixes of others, some sort at the ends.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x7f, 0xff]), 0..3),
        1 => prop::collection::vec(any::<u8>(), 0..crate::KEY_BYTES_MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        12 => (key(), value).prop_map(|(key, value)| Step::Put(key, value)),
        6 => key().prop_map(Step::Delete),
        4 => (key(), key()).prop_map(|(from, to)| Step::Scan(from, to)),
        1 => Just(Step::Discard),
        6 => Just(Step::Publish),
        2 => Just(Step::HoldView),
        3 => Just(Step::Flush),
        2 => Just(Step::FencedFlush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Reinstall),
    ]
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the store should hold: a sorted map for each level of safety.
#[derive(Clone, Default)]
struct Model {
    written: Map,
    published: (Map, Option<Mark>),
    flushed: (Map, Option<Mark>),
    index: u64,
}

struct Harness {
    dir: TempDir,
    store: Option<(Store, Replica, Writer)>,
    model: Model,
    held: Vec<(View, Entries, Option<Mark>)>,
}

fn limits() -> Limits {
    // Two entries make a chunk, a batch, a sweep.
    Limits { snapshot_chunk_bytes: 40, install_batch_bytes: 40, fence_wait_ms: 0, ..manual() }
}

impl Harness {
    fn new() -> Harness {
        let dir = temp_dir();
        let store = Some(Harness::open_parts(&dir));
        Harness { dir, store, model: Model::default(), held: Vec::new() }
    }

    fn open_parts(dir: &TempDir) -> (Store, Replica, Writer) {
        let store = open(dir.path(), limits());
        let replica = unfenced(&store);
        let writer = replica.writer();
        (store, replica, writer)
    }

    fn run(&mut self, step: Step) {
        let (store, replica, writer) = self.store.as_mut().expect("the store is open");
        let model = &mut self.model;
        match step {
            Step::Put(key, value) => {
                writer.put(key.clone(), value.clone());
                model.written.insert(key, value);
            }
            Step::Delete(key) => {
                writer.delete(&key);
                model.written.remove(&key);
            }
            Step::Scan(from, to) => scan(writer, &replica.view(), model, &from, &to),
            Step::Discard => {
                writer.discard();
                model.written = model.published.0.clone();
            }
            Step::Publish => {
                model.index += 1;
                writer.publish(mark(model.index));
                model.published = (model.written.clone(), Some(mark(model.index)));
            }
            Step::HoldView => {
                let view = replica.view();
                let (map, mark) = model.published.clone();
                self.held.push((view, map.into_iter().collect(), mark));
            }
            Step::Flush => {
                replica.set_fence(|| u64::MAX);
                assert_eq!(store.flush_now().held_back, []);
                model.flushed = model.published.clone();
            }
            Step::FencedFlush => {
                replica.set_fence(|| 0);
                let is_behind = model.published.1 != model.flushed.1;
                assert_eq!(store.flush_now().held_back.contains(&ID), is_behind);
            }
            Step::Reopen => self.reopen(),
            Step::Reinstall => self.reinstall(),
        }
    }

    fn reopen(&mut self) {
        self.held.clear();
        self.store = None;
        self.store = Some(Harness::open_parts(&self.dir));
        self.model.published = self.model.flushed.clone();
        self.model.written = self.model.flushed.0.clone();
    }

    /// A snapshot of the state, installed over itself: nothing may change.
    fn reinstall(&mut self) {
        let (store, replica, writer) = self.store.as_mut().expect("the store is open");
        writer.discard();
        replica.set_fence(|| u64::MAX);
        store.flush_now();
        self.model.flushed = self.model.published.clone();
        self.model.written = self.model.published.0.clone();
        let Ok(file) = replica.snapshot() else {
            assert_eq!(self.model.flushed.1, None);
            return;
        };
        replica.install(&file.path, file.mark).expect("the file was just made");
    }

    fn check(&self) {
        let (_, replica, writer) = self.store.as_ref().expect("the store is open");
        let (map, mark) = &self.model.published;
        assert_eq!(replica.applied(), *mark);
        assert_eq!(replica.flushed(), self.model.flushed.1);
        assert_eq!(entries(&replica.view()), map.clone().into_iter().collect::<Entries>());
        for key in self.model.written.keys().chain(map.keys()) {
            assert_eq!(writer.get(key).as_ref(), self.model.written.get(key));
            assert_eq!(replica.view().get(key).as_ref(), map.get(key));
        }
        for (view, expected, mark) in &self.held {
            assert_eq!((entries(view), view.mark()), (expected.clone(), mark.clone()));
        }
    }
}

fn scan(writer: &Writer, view: &View, model: &Model, from: &[u8], to: &[u8]) {
    for (state, map) in [(writer as &dyn Read, &model.written), (view, &model.published.0)] {
        let mut seen = Entries::new();
        state.scan(from, to, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            true
        });
        let is_inside = |key: &Vec<u8>| key.as_slice() >= from && key.as_slice() < to;
        let inside = map.iter().filter(|(key, _)| is_inside(key));
        let expected: Entries = inside.map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(seen, expected, "scan of {from:?}..{to:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn any_history_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 1..80)) {
        let mut harness = Harness::new();
        for step in steps {
            harness.run(step);
            harness.check();
        }
        harness.reopen();
        harness.check();
    }
}
