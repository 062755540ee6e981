//! How near the log comes to its disk: appends a second of many writers, each waiting for its
//! fsync, beside a bare group commit of the same bytes into one prewritten file in the same folder.
//!
//! `cargo run --release -p vatic-log --example append_rate -- --writers 256 --seconds 2`
//!
//! The floor does what no log can do with less: it gathers what came during the last `fdatasync`,
//! writes the entries' bytes back to back, syncs, and wakes the writers, who are the same code. The
//! two take turns, and the ratio is that of the medians: on a shared machine only it means much.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use vatic_log::{Entry, FileDisk, Limits, Log, ReplicaId, ReplicaLog};

mod floor;

use floor::Floor;

#[derive(Parser)]
struct Arguments {
    /// Writers, each a thread, and in the log a replica of its own.
    #[arg(long, default_value_t = 256)]
    writers: u32,
    /// Length of one measurement.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Measurements of each; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 256)]
    entry_bytes: usize,
    /// Appends that a writer has in flight.
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Folder on the disk to measure; a new one in it is used and removed.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Something that takes entries and says when they are on disk.
trait Target: Send {
    fn append(&mut self, payload: Bytes, synced: SyncSender<()>);
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let dir = tempfile::tempdir_in(&arguments.dir)?;
    let bench = Bench { arguments: &arguments, dir: dir.path() };
    let (mut log, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds.max(1) {
        log.push(bench.log()?);
        floor.push(bench.floor()?);
    }
    let syncs = bench.syncs_per_second()?;
    let (log, floor) = (median(log), median(floor));
    if arguments.output == Output::Json {
        let ratio = log / floor;
        println!(
            "{{\"writers\":{},\"appends_per_second\":{log:.0},\"floor_per_second\":{floor:.0},\
             \"ratio\":{ratio:.3},\"fdatasyncs_per_second\":{syncs:.0}}}",
            arguments.writers
        );
        return Ok(());
    }
    println!("log, appends/s      {log:>10.0}  ({} writers)", arguments.writers);
    println!("bare file, the same {floor:>10.0}");
    println!("ratio               {:>10.2}", log / floor);
    println!("bare fdatasync/s    {syncs:>10.0}  (4 KiB each, one after another)");
    Ok(())
}

struct Bench<'a> {
    arguments: &'a Arguments,
    dir: &'a Path,
}

impl Bench<'_> {
    fn log(&self) -> io::Result<f64> {
        let dir = self.dir.join("log");
        let disk = Arc::new(FileDisk::open(&dir)?);
        let log = Log::open(disk, Limits::production()).map_err(io::Error::other)?;
        let replica =
            |group| OneReplica { log: log.replica(ReplicaId { group, generation: 0 }), next: 0 };
        // The first segments are made before the clock starts.
        self.writers(1, 1, Duration::from_millis(200), |_| replica(u32::MAX));
        let seconds = Duration::from_secs(self.arguments.seconds);
        let rate = self.writers(self.arguments.writers, self.arguments.pipeline, seconds, replica);
        drop(log);
        std::fs::remove_dir_all(dir)?;
        Ok(rate)
    }

    fn floor(&self) -> io::Result<f64> {
        let floor = Arc::new(Floor::open(&self.dir.join("floor"))?);
        let seconds = Duration::from_secs(self.arguments.seconds);
        let target = |_| floor.clone();
        let rate = self.writers(self.arguments.writers, self.arguments.pipeline, seconds, target);
        floor.close()?;
        std::fs::remove_file(self.dir.join("floor"))?;
        Ok(rate)
    }

    fn syncs_per_second(&self) -> io::Result<f64> {
        let path = self.dir.join("bare");
        let file: File = floor::prewritten(&path, 16 << 20)?;
        let (start, mut count) = (Instant::now(), 0_u64);
        while start.elapsed() < Duration::from_secs(1) {
            let offset = count * 4096 % (16 << 20);
            std::os::unix::fs::FileExt::write_all_at(&file, &[count as u8; 4096], offset)?;
            file.sync_data()?;
            count += 1;
        }
        std::fs::remove_file(path)?;
        Ok(count as f64 / start.elapsed().as_secs_f64())
    }

    /// Appends a second of so many writers in a closed loop.
    fn writers<T: Target>(
        &self,
        writers: u32,
        pipeline: usize,
        duration: Duration,
        target: impl Fn(u32) -> T,
    ) -> f64 {
        let payload = Bytes::from(vec![0x5a; self.arguments.entry_bytes]);
        let start = Instant::now();
        let count: u64 = std::thread::scope(|scope| {
            let spawn = |group| {
                let (target, payload) = (target(group), payload.clone());
                scope.spawn(move || append_until(target, &payload, pipeline, start + duration))
            };
            let threads: Vec<_> = (0..writers).map(spawn).collect();
            threads.into_iter().map(|thread| thread.join().expect("a writer panicked")).sum()
        });
        count as f64 / start.elapsed().as_secs_f64()
    }
}

struct OneReplica {
    log: ReplicaLog,
    next: u64,
}

impl Target for OneReplica {
    fn append(&mut self, payload: Bytes, synced: SyncSender<()>) {
        let entry = Entry { index: self.next, term: 1, payload };
        self.log.append(vec![entry], move |result| {
            result.expect("the append failed");
            // A writer that has gone does not want to know.
            let _ = synced.send(());
        });
        self.next += 1;
        if self.next.is_multiple_of(1000) {
            self.log.purge_to(self.next - 1000, Bytes::new(), |_| {});
        }
    }
}

/// Appends until the end, and counts what was synced.
fn append_until(mut target: impl Target, payload: &Bytes, pipeline: usize, end: Instant) -> u64 {
    let (send, receive) = sync_channel(pipeline);
    let (mut sent, mut synced) = (0, 0);
    while Instant::now() < end {
        target.append(payload.clone(), send.clone());
        sent += 1;
        while sent - synced >= pipeline as u64 {
            receive.recv().expect("the target is gone");
            synced += 1;
        }
    }
    while synced < sent {
        receive.recv().expect("the target is gone");
        synced += 1;
    }
    synced
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
