//! Measures the store alone: `cargo run --release -p vatic-store --example write_rate`.
//!
//! Prints puts and gets through a writer, publishes, views, and what a flush costs for each key.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vatic_core::state::{Read, State};
use vatic_store::{Limits, Mark, Replica, ReplicaId, Store, Writer};

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: usize = 200;
const BATCHES: u64 = 2_000;

fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "/tmp/vatic-write-rate".into());
    let _ = std::fs::remove_dir_all(&dir);
    let limits =
        Limits { overlay_max_bytes: 1 << 30, flush_interval_ms: 3_600_000, ..production() };
    let store = Store::open(&dir, limits).expect("a fresh directory opens");
    let replica = store.replica(ReplicaId { group: 1, generation: 1 });
    replica.set_fence(|| u64::MAX);
    let mut bench = Bench { store, writer: replica.writer(), replica, index: 0, seed: 7 };
    bench.fill();
    for keys_per_batch in [1, 10, 50] {
        bench.batches(keys_per_batch);
    }
    bench.overlay();
    bench.reads();
    bench.scrub();
    bench.views();
    bench.snapshot();
    drop(bench);
    std::fs::remove_dir_all(&dir).expect("the directory was made by this run");
}

fn production() -> Limits {
    Limits { overlay_flush_bytes: usize::MAX, ..Limits::production() }
}

struct Bench {
    store: Store,
    replica: Replica,
    writer: Writer,
    index: u64,
    seed: u64,
}

impl Bench {
    /// A million keys, in overlays of 100,000.
    fn fill(&mut self) {
        let (mut put, mut flush) = (Duration::ZERO, Duration::ZERO);
        for part in 0..10 {
            let start = Instant::now();
            for key in 0..KEYS / 10 {
                self.writer.put(name(key * 10 + part), vec![part as u8; VALUE_BYTES]);
                if key % 50 == 49 {
                    self.publish();
                }
            }
            put += start.elapsed();
            flush += self.flush();
        }
        line("fill: put + publish, 50 keys a batch", put, KEYS, "key");
        line("fill: flush of 100,000 keys, growing to a million", flush, KEYS, "key");
    }

    /// Read-modify-write of random keys, as applying commands does, then a flush of all of it.
    fn batches(&mut self, keys_per_batch: u64) {
        let start = Instant::now();
        for _ in 0..BATCHES {
            for _ in 0..keys_per_batch {
                let key = name(self.random());
                let mut value = self.writer.get(&key).expect("all keys are there");
                value[0] = value[0].wrapping_add(1);
                self.writer.put(key, value);
            }
            self.publish();
        }
        let elapsed = start.elapsed();
        let keys = BATCHES * keys_per_batch;
        println!("-- {keys_per_batch} keys a batch, random among {KEYS}");
        line("get + put, with the publish", elapsed, keys, "key");
        line("whole batch", elapsed, BATCHES, "batch");
        line("flush", self.flush(), keys, "key");
    }

    /// What the copy-on-write map costs by itself: LMDB is not asked.
    fn overlay(&mut self) {
        println!("-- overlay alone, 100,000 random keys");
        let keys: Vec<_> = (0..100_000).map(|_| name(self.random())).collect();
        for keys_per_batch in [1, 10, 100] {
            let start = Instant::now();
            for batch in keys.chunks(keys_per_batch) {
                for key in batch {
                    self.writer.put(key.clone(), vec![1; VALUE_BYTES]);
                }
                self.publish();
            }
            let what = format!("put + publish, {keys_per_batch} keys a batch");
            line(&what, start.elapsed(), keys.len() as u64, "key");
            if keys_per_batch == 10 {
                let start = Instant::now();
                for key in &keys {
                    black_box(self.writer.get(key));
                }
                line("get", start.elapsed(), keys.len() as u64, "key");
            }
            self.flush();
        }
    }

    fn reads(&mut self) {
        println!("-- reads through a view, all in LMDB");
        let view = self.replica.view();
        let keys: Vec<_> = (0..500_000).map(|_| name(self.random())).collect();
        let start = Instant::now();
        for key in &keys {
            black_box(view.get(key));
        }
        line("get", start.elapsed(), keys.len() as u64, "key");
        let start = Instant::now();
        let mut seen = 0;
        view.scan_all(&mut |_, _| {
            seen += 1;
            true
        });
        line("scan", start.elapsed(), seen, "key");
        let start = Instant::now();
        let digest = view.digest();
        line(&format!("digest {:.8}", digest.to_string()), start.elapsed(), seen, "key");
    }

    fn scrub(&mut self) {
        let (start, mut steps, mut longest) = (Instant::now(), 0, Duration::ZERO);
        let mut scrub = self.replica.scrub();
        loop {
            let step = Instant::now();
            let more = scrub.step();
            steps += 1;
            longest = longest.max(step.elapsed());
            if !more {
                break;
            }
        }
        let (report, micros) = (scrub.report(), longest.as_micros());
        assert_eq!(report.damaged, 0, "{report:?}");
        let what = format!("scrub, {steps} steps, longest {micros} us");
        line(&what, start.elapsed(), report.records, "key");
    }

    fn views(&mut self) {
        let start = Instant::now();
        for _ in 0..1_000_000 {
            black_box(self.replica.view());
        }
        line("view taken and dropped", start.elapsed(), 1_000_000, "view");
    }

    fn snapshot(&mut self) {
        let start = Instant::now();
        let file = self.replica.snapshot().expect("the state is flushed");
        line(&format!("snapshot of {} MB", file.bytes / 1_000_000), start.elapsed(), KEYS, "key");
        let start = Instant::now();
        self.replica.install(&file.path, file.mark).expect("the file was just made");
        line("install of it", start.elapsed(), KEYS, "key");
    }

    fn publish(&mut self) {
        self.index += 1;
        self.writer.publish(Mark { index: self.index, meta: Bytes::new() });
    }

    fn flush(&self) -> Duration {
        let start = Instant::now();
        assert_eq!(self.store.flush_now().held_back, []);
        start.elapsed()
    }

    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % KEYS
    }
}

fn name(key: u64) -> Vec<u8> {
    format!("accounts/{:08}/balance", key).into_bytes()
}

fn line(what: &str, elapsed: Duration, count: u64, unit: &str) {
    let each = elapsed.as_secs_f64() / count as f64;
    println!("{what:<52} {:>8.2} us/{unit} {:>12.0} {unit}s/s", each * 1e6, 1.0 / each);
}
