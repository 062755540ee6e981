//! `vatic bench streams`: contended transactions that take their time, foreseen or not, in turns.
//!
//! Each client streams one transaction after the other. A step reads a record, thinks, and adds to
//! it; before that it reads `--looks` records of another collection, which nobody writes. Under
//! `off` nobody asks for anything; under `told` forecasts and warnings are asked for, and only
//! counted; under `early` an attempt ends as soon as it is doomed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vatic_client::{
    Client, ClientError, Foresight, Notice, Observer, Options, Rollback, Transaction,
};
use vatic_core::key::Key;
use vatic_core::strategy::Strategy;

use super::cpu::Processes;
use super::limits::{ERROR_PAUSE_MS, LATENCY_US_MAX, WARM_UP_MS, client_limits};
use super::report::{quantile_ms, round};
use super::run::spent;
use super::turns::{self, in_turns, over, ratio};
use crate::exit::Failed;
use crate::settings::Settings;

/// What is compared where nothing else is asked for.
const FORESEEN: [Mode; 3] = [Mode::Off, Mode::Told, Mode::Early];

#[derive(Debug, Args)]
pub(crate) struct BenchStreamsArgs {
    /// Streams at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) clients: u32,
    /// Records that they fight over
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keys: u32,
    /// Records that each reads and adds to
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) steps: u32,
    /// Records of another collection that each step reads as well, and nobody writes
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=64))]
    pub(crate) looks: u32,
    /// How long a client thinks between reading a record and adding to it
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub(crate) think_ms: u64,
    /// How long to measure, all turns together
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Turns of each mode
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// What to ask for, or which strategy; the mode that the others are compared with first
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = FORESEEN)]
    pub(crate) modes: Vec<Mode>,
    /// Seed of the workload [default: random, printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// What a stream asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Nothing
    Off,
    /// Forecasts and warnings, which are counted
    Told,
    /// The same, and to be ended as soon as it is doomed
    Early,
    /// Nothing, under strategy `rebase`
    Rebase,
    /// Nothing, under strategy `snapshot`
    Snapshot,
    /// Nothing, under strategy `lock`
    Lock,
    /// Nothing, under strategy `adaptive`
    Adaptive,
}

/// One attempt, while it runs.
struct Attempt {
    began: Instant,
    /// A read was overwritten, and the stream knew before its last step.
    warned: bool,
    /// All steps were taken.
    sealed: bool,
}

/// What came of a turn.
#[derive(Clone)]
pub(super) struct Tally {
    committed: u64,
    aborted: u64,
    /// Aborted attempts that were warned, and all that were.
    aborted_warned: u64,
    warned: u64,
    /// In attempts that were aborted.
    wasted: Duration,
    errors: u64,
    /// Of all servers, where they are on this machine.
    server_cpu: Option<Duration>,
    whole_us: Histogram<u64>,
    /// Each read, and of each transaction that committed what its reads took in all attempts.
    read_us: Histogram<u64>,
    reads_us: Histogram<u64>,
}

/// What one transaction touches: each step reads the first ones and writes the last one.
struct Script {
    steps: Vec<(Vec<Key>, Key)>,
    think: Duration,
}

/// One client's side of a turn.
struct Diary {
    mode: Mode,
    attempt: Mutex<Attempt>,
    tally: Arc<Mutex<Tally>>,
    reads: Mutex<Duration>,
}

/// Measures each mode in each round, and prints how they compare with the first.
pub(crate) async fn streams(args: &BenchStreamsArgs, settings: &Settings) -> anyhow::Result<()> {
    if args.keys < args.steps {
        let said = format!("--keys is {}, fewer than --steps, {}", args.keys, args.steps);
        bail!(Failed::usage(said));
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let span = Duration::from_secs(args.seconds) / (args.rounds * args.modes.len() as u32);
    let options = Options { limits: client_limits(), ..Options::default() };
    let client = Client::connect(&settings.endpoints, options).await?;
    let turn = async |mode: Mode, seed| {
        let tally = turn(args, mode, &client, span, seed).await;
        eprintln!("{}: {:.1} tps", mode.name(), tally.tps(span));
        if tally.committed == 0 {
            bail!(Failed::unavailable("no stream committed inside a turn"));
        }
        Ok(tally)
    };
    let turns = in_turns(&args.modes, args.rounds, seed, turn).await?;
    let rows = args.modes.iter().zip(&turns);
    let rows: Vec<Json> = rows.map(|(mode, own)| row(*mode, own, &turns[0], span)).collect();
    let all = json!({
        "clients": args.clients, "keys": args.keys, "steps": args.steps, "looks": args.looks,
        "think_ms": args.think_ms, "seconds": args.seconds, "rounds": args.rounds, "seed": seed,
        "modes": rows,
    });
    Ok(turns::print(&all, "modes", settings.output)?)
}

/// Streams of one mode, for a while that counts.
pub(super) async fn turn(
    args: &BenchStreamsArgs,
    mode: Mode,
    client: &Client,
    span: Duration,
    seed: u64,
) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::new()));
    let servers = Processes::listening(&client.endpoints());
    let from = Instant::now() + Duration::from_millis(WARM_UP_MS);
    let to = from + span;
    let mut clients = JoinSet::new();
    for number in 0..args.clients {
        let mut random = SmallRng::seed_from_u64(seed ^ (u64::from(number) << 32));
        let (client, tally) = (client.clone(), tally.clone());
        let draw = Draw::of(args);
        clients.spawn(async move {
            let unseen = Arc::new(Mutex::new(Tally::new()));
            while Instant::now() < to {
                let script = draw.script(&mut random);
                let counts = Instant::now() >= from;
                let into = if counts { &tally } else { &unseen };
                if one(&client, mode, &script, into).await.is_err() {
                    let pause = random.random_range(0..ERROR_PAUSE_MS);
                    sleep(Duration::from_millis(pause)).await;
                }
            }
        });
    }
    let spent = spent(servers, from, to).await;
    while clients.join_next().await.is_some() {}
    let tally = Arc::into_inner(tally).expect("all clients ended").into_inner();
    Tally { server_cpu: spent.servers, ..tally.expect("no holder panics") }
}

/// What scripts are drawn from.
#[derive(Clone, Copy)]
struct Draw {
    keys: usize,
    steps: usize,
    looks: usize,
    think: Duration,
}

impl Draw {
    fn of(args: &BenchStreamsArgs) -> Draw {
        let count = |number: u32| number as usize;
        let think = Duration::from_millis(args.think_ms);
        Draw { keys: count(args.keys), steps: count(args.steps), looks: count(args.looks), think }
    }

    fn script(self, random: &mut SmallRng) -> Script {
        let written = index::sample(random, self.keys, self.steps);
        let mut look = || record("shown", random.random_range(0..self.keys));
        let steps = written.iter().map(|number| {
            let looks = (0..self.looks).map(|_| look()).collect();
            (looks, record("stream", number))
        });
        Script { steps: steps.collect(), think: self.think }
    }
}

fn record(collection: &str, number: usize) -> Key {
    Key::new(collection, &format!("s{number}"), "").expect("it is plain")
}

/// One transaction, until it commits.
async fn one(
    client: &Client,
    mode: Mode,
    script: &Script,
    tally: &Arc<Mutex<Tally>>,
) -> Result<(), ClientError> {
    let began = Instant::now();
    let attempt = Mutex::new(Attempt::begin());
    let diary = &Diary { mode, attempt, tally: tally.clone(), reads: Mutex::default() };
    let run = client.transaction().foresee(mode.foresight()).observe(diary);
    let run = run.strategy(mode.strategy());
    let done = run.run(|txn| async move { diary.play(&txn, script).await }).await;
    let mut tally = tally.lock().expect("no holder panics");
    match &done {
        Ok(_) => {
            let warned = diary.attempt.lock().expect("no holder panics").warned;
            tally.committed += 1;
            tally.warned += u64::from(warned);
            tally.whole_us.saturating_record(began.elapsed().as_micros() as u64);
            let reads = *diary.reads.lock().expect("no holder panics");
            tally.reads_us.saturating_record(reads.as_micros() as u64);
        }
        Err(_) => tally.errors += 1,
    }
    done.map(drop)
}

impl Attempt {
    fn begin() -> Attempt {
        Attempt { began: Instant::now(), warned: false, sealed: false }
    }
}

impl Diary {
    async fn play(&self, txn: &Transaction, script: &Script) -> Result<(), ClientError> {
        *self.attempt.lock().expect("no holder panics") = Attempt::begin();
        for (looks, key) in &script.steps {
            for look in looks {
                self.read(txn, look).await?;
            }
            self.read(txn, key).await?;
            self.think(txn, script.think).await?;
            txn.add(key, "n", 1).await?;
        }
        self.attempt.lock().expect("no holder panics").sealed = true;
        Ok(())
    }

    /// What it takes is time in which the stream stands still, its turn included.
    async fn read(&self, txn: &Transaction, key: &Key) -> Result<(), ClientError> {
        let began = Instant::now();
        let read = txn.read(key).await;
        let took = began.elapsed();
        *self.reads.lock().expect("no holder panics") += took;
        let mut tally = self.tally.lock().expect("no holder panics");
        tally.read_us.saturating_record(took.as_micros() as u64);
        read.map(drop)
    }

    /// Thinks, and listens meanwhile.
    async fn think(&self, txn: &Transaction, think: Duration) -> Result<(), ClientError> {
        if !self.mode.asks() {
            sleep(think).await;
            return Ok(());
        }
        let ends = Instant::now() + think;
        loop {
            let left = ends.saturating_duration_since(Instant::now());
            match txn.next_notice(left).await? {
                Some(notice) => self.note(&notice),
                None => return Ok(()),
            }
        }
    }

    fn note(&self, notice: &Notice) {
        if let Notice::Warning(warning) = notice
            && warning.what == vatic_client::Disturbance::Overwritten
        {
            self.attempt.lock().expect("no holder panics").warned = true;
        }
    }
}

impl Observer for Diary {
    fn rolled_back(&self, _rollback: &Rollback) {
        let attempt = self.attempt.lock().expect("no holder panics");
        // One that was ended before its seal was, of course, told before its last step.
        let warned = u64::from(attempt.warned || !attempt.sealed);
        let mut tally = self.tally.lock().expect("no holder panics");
        tally.aborted += 1;
        tally.aborted_warned += warned;
        tally.warned += warned;
        tally.wasted += attempt.began.elapsed();
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Told => "told",
            Mode::Early => "early",
            Mode::Rebase => "rebase",
            Mode::Snapshot => "snapshot",
            Mode::Lock => "lock",
            Mode::Adaptive => "adaptive",
        }
    }

    fn asks(self) -> bool {
        matches!(self, Mode::Told | Mode::Early)
    }

    fn strategy(self) -> Strategy {
        match self {
            Mode::Off | Mode::Told | Mode::Early => Strategy::Optimistic,
            Mode::Rebase => Strategy::Rebase,
            Mode::Snapshot => Strategy::Snapshot,
            Mode::Lock => Strategy::Lock,
            Mode::Adaptive => Strategy::Adaptive,
        }
    }

    fn foresight(self) -> Foresight {
        let asks = self.asks();
        let abort_early = self == Mode::Early;
        Foresight { forecasts: asks, warnings: asks, abort_early, ..Foresight::default() }
    }
}

impl Tally {
    fn new() -> Tally {
        let empty = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds are valid");
        Tally {
            committed: 0,
            aborted: 0,
            aborted_warned: 0,
            warned: 0,
            wasted: Duration::ZERO,
            errors: 0,
            server_cpu: None,
            whole_us: empty(),
            read_us: empty(),
            reads_us: empty(),
        }
    }

    /// Of so many commits, and nothing else.
    #[cfg(test)]
    pub(super) fn of(committed: u64) -> Tally {
        Tally { committed, ..Tally::new() }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    pub(super) fn tps(&self, span: Duration) -> f64 {
        self.committed as f64 / span.as_secs_f64()
    }
}

/// One mode: medians over its turns. A ratio is taken in each round, against the first mode.
pub(super) fn row(mode: Mode, own: &[Tally], first: &[Tally], span: Duration) -> Json {
    let over = |each: &dyn Fn(&Tally) -> f64| over(own, each);
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let cpu_us = |turn: &Tally| match turn.server_cpu {
        Some(spent) => spent.as_secs_f64() * 1e6 / turn.committed as f64,
        None => f64::NAN,
    };
    json!({
        "mode": mode.name(),
        "committed_tps": round(over(&|turn| turn.tps(span)), 1),
        "ratio": round(ratio(own, first, |turn| turn.tps(span)), 3),
        "abort_rate": round(over(&|t| share(t.aborted, t.aborted + t.committed)), 4),
        "warned_of_aborted": round(over(&|t| share(t.aborted_warned, t.aborted)), 4),
        "precision": round(over(&|t| share(t.aborted_warned, t.warned)), 4),
        "wasted_ms_per_commit": round(
            over(&|t| t.wasted.as_secs_f64() * 1_000.0 / t.committed as f64), 2
        ),
        "server_cpu_us_per_commit": round(over(&cpu_us), 1),
        "e2e_p50_ms": over(&|turn| quantile_ms(&turn.whole_us, 0.5)),
        "e2e_p99_ms": over(&|turn| quantile_ms(&turn.whole_us, 0.99)),
        "read_p50_ms": over(&|turn| quantile_ms(&turn.read_us, 0.5)),
        "read_p99_ms": over(&|turn| quantile_ms(&turn.read_us, 0.99)),
        "read_ms_per_commit": round(over(&|turn| turn.reads_us.mean() / 1_000.0), 2),
        "errors": own.iter().map(|turn| turn.errors).sum::<u64>(),
    })
}
