//! How near the log comes to its disk: appends a second of many writers, each waiting for its
//! fsync, beside the bare `fdatasync` rate of one prewritten file in the same folder.
//!
//! `cargo run --release -p vatic-log --example append_rate -- --writers 64 --seconds 3`

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use vatic_log::{Entry, FileDisk, Limits, Log, ReplicaId, ReplicaLog};

#[derive(Parser)]
struct Arguments {
    /// Writers, each a replica of its own.
    #[arg(long, default_value_t = 64)]
    writers: u32,
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    #[arg(long, default_value_t = 256)]
    entry_bytes: usize,
    /// Appends that a writer has in flight.
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Folder on the disk to measure; a new one in it is used and removed.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let dir = tempfile::tempdir_in(&arguments.dir)?;
    let duration = Duration::from_secs(arguments.seconds);
    let before = bare_syncs_per_second(dir.path(), duration / 2)?;
    let appends = appends_per_second(dir.path(), &arguments, duration)?;
    let after = bare_syncs_per_second(dir.path(), duration / 2)?;
    let syncs = (before + after) / 2.0;
    println!("appends/s          {appends:>10.0}  ({} writers)", arguments.writers);
    println!(
        "bare fdatasync/s   {syncs:>10.0}  (4 KiB each; {before:.0} before, {after:.0} after)"
    );
    println!("appends per sync   {:>10.1}", appends / syncs);
    Ok(())
}

fn bare_syncs_per_second(dir: &Path, duration: Duration) -> io::Result<f64> {
    const FILE_BYTES: usize = 16 << 20;
    let path = dir.join("bare");
    let file: File =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < duration {
        let offset = count * 4096 % FILE_BYTES as u64;
        file.write_all_at(&[count as u8; 4096], offset)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

fn appends_per_second(dir: &Path, arguments: &Arguments, duration: Duration) -> io::Result<f64> {
    let disk = Arc::new(FileDisk::open(dir.join("log"))?);
    let log = Log::open(disk, Limits::production()).map_err(io::Error::other)?;
    let payload = Bytes::from(vec![0x5a; arguments.entry_bytes]);
    let warm_up = log.replica(ReplicaId { group: u32::MAX, generation: 0 });
    append_until(&warm_up, &payload, 1, Instant::now());
    let start = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..arguments.writers)
            .map(|group| {
                let replica = log.replica(ReplicaId { group, generation: 0 });
                let payload = &payload;
                scope.spawn(move || {
                    append_until(&replica, payload, arguments.pipeline, start + duration)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer panicked")).sum()
    });
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Appends, at least once, until the end, and counts what was fsynced.
fn append_until(replica: &ReplicaLog, payload: &Bytes, pipeline: usize, end: Instant) -> u64 {
    let (send, receive) = sync_channel(pipeline);
    let (mut sent, mut synced) = (0, 0);
    while sent == 0 || Instant::now() < end {
        let entry = Entry { index: sent, term: 1, payload: payload.clone() };
        let send = send.clone();
        replica.append(vec![entry], move |result| send.send(result).expect("a writer is gone"));
        sent += 1;
        while sent - synced >= pipeline as u64 {
            receive.recv().expect("the log is gone").expect("the append failed");
            synced += 1;
        }
        if sent % 1000 == 0 {
            replica.purge_to(sent - 1000, Bytes::new(), |_| {});
        }
    }
    while synced < sent {
        receive.recv().expect("the log is gone").expect("the append failed");
        synced += 1;
    }
    synced
}
