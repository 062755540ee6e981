//! The crash-disk drill for as long as one likes: power cuts at every write and sync of seeded
//! scripts, and flipped bits, against a reference model of the log.
//!
//! `cargo run --release -p vatic-log --example crash_drill -- --seeds 1000 --seconds 60`
//!
//! Ends with 5 where something is violated. `--stub-sync` makes the disk's sync do nothing: the
//! drill must end with 5 then.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use vatic_log::{Drill, Summary};

const EXIT_VIOLATED: u8 = 5;

#[derive(Parser)]
struct Arguments {
    /// Scripts to run; each is cut at every operation that it makes.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Begin no new seed after this time.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// The disk answers a sync and does nothing.
    #[arg(long)]
    stub_sync: bool,
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let summary = drill(&arguments, start + Duration::from_secs(arguments.seconds));
    let elapsed = start.elapsed();
    if arguments.output == Output::Table {
        print_table(&summary, elapsed);
    } else {
        println!("{}", json(&summary, elapsed));
    }
    for example in &summary.examples {
        let cut = example.cut.map_or("whole".to_owned(), |cut| format!("cut at {cut}"));
        let what: String = example.what.chars().take(400).collect();
        eprintln!("seed {}, {cut}: {what}", example.seed);
        let stub = if arguments.stub_sync { " --stub-sync" } else { "" };
        eprintln!("  again with: crash_drill --first-seed {} --seeds 1{stub}", example.seed);
    }
    if summary.violations > 0 { ExitCode::from(EXIT_VIOLATED) } else { ExitCode::SUCCESS }
}

fn drill(arguments: &Arguments, end: Instant) -> Summary {
    let drill = Drill { sync_is_stubbed: arguments.stub_sync, ..Drill::long() };
    let next = AtomicU64::new(arguments.first_seed);
    let last = arguments.first_seed + arguments.seeds;
    let work = || {
        let mut summary = Summary::default();
        while Instant::now() < end {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                break;
            }
            drill.run(seed, &mut summary);
        }
        summary
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut total = Summary::default();
        for thread in threads {
            total.add(thread.join().expect("the drill panicked"));
        }
        total
    })
}

fn print_table(summary: &Summary, elapsed: Duration) {
    println!("scripts              {:>10}", summary.seeds);
    println!("crash points tried   {:>10}", summary.operations);
    println!("segments opened      {:>10}", summary.segments);
    println!("crashes              {:>10}", summary.crashes);
    println!("states compared      {:>10}", summary.states_compared);
    println!("bits flipped         {:>10}", summary.damages);
    println!("  refused, by place  {:>10}", summary.damages_refused);
    println!("  like a torn tail   {:>10}", summary.damages_like_a_tear);
    println!("violations           {:>10}", summary.violations);
    println!("seconds              {:>10.1}", elapsed.as_secs_f64());
}

fn json(summary: &Summary, elapsed: Duration) -> serde_json::Value {
    serde_json::json!({
        "seeds": summary.seeds,
        "crash_points": summary.operations,
        "segments": summary.segments,
        "crashes": summary.crashes,
        "states_compared": summary.states_compared,
        "damages": summary.damages,
        "damages_refused": summary.damages_refused,
        "damages_like_a_tear": summary.damages_like_a_tear,
        "violations": summary.violations,
        "seconds": elapsed.as_secs_f64(),
    })
}
