//! `vatic bench tickets`: what work that can wait does to work that cannot, in turns.
//!
//! Clients load the cluster as in `bench run`; beside them so many enqueuers have one ticket each,
//! which adds to two of the records that the clients fight over. Under `none` there are no tickets;
//! under `urgent` each is sent at once; under `shadow` it is tried out first, and waits where
//! somebody is in its way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vatic_client::{Client, ClientError, Options, TicketState};
use vatic_core::delta::{Delta, Op};

use super::data;
use super::limits::{ERROR_PAUSE_MS, HOT_KEYS, LAST_MS, LATENCY_US_MAX, WARM_UP_MS, client_limits};
use super::policy::Policy;
use super::report::{Measured, quantile_ms, round};
use super::run::{Course, Stand, measure, prepare};
use super::turns::{self, in_turns, over, ratio};
use crate::args::LoadArgs;
use crate::exit::Failed;
use crate::settings::Settings;

/// Longest that an enqueuer waits for one ticket.
const TICKET_WAIT_MS: u32 = 5_000;
/// A priority that no node takes for low.
const URGENT: u8 = 255;
/// One that is tried out before it is sent.
pub(crate) const LOW: u8 = 0;

#[derive(Debug, Args)]
pub(crate) struct BenchTicketsArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// What the clients do about each other
    #[arg(long, value_enum, default_value_t = Policy::Fifo)]
    pub(crate) policy: Policy,
    /// Tickets at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) enqueuers: u32,
    /// How long to measure, all turns together
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Turns of each mode
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
}

/// Which tickets there are beside the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    None,
    Urgent,
    Shadow,
}

/// Who works beside the clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    /// Of their tickets; not set: nobody.
    pub(crate) priority: Option<u8>,
    pub(crate) enqueuers: u32,
}

/// What came of the tickets of a turn.
pub(crate) struct Resolved {
    committed: u64,
    /// Not resolved while their enqueuer waited, or refused.
    late: u64,
    took_us: Histogram<u64>,
}

pub(crate) type Turn = (Measured, Resolved);

/// Measures each mode in each round, and prints how they compare with no tickets.
pub(crate) async fn tickets(args: &BenchTicketsArgs, settings: &Settings) -> anyhow::Result<()> {
    if args.load.keys < HOT_KEYS {
        let said = format!("--keys is {}, fewer than the {HOT_KEYS} hot ones", args.load.keys);
        bail!(Failed::usage(said));
    }
    let seed = args.load.seed.unwrap_or_else(rand::random);
    let stand = prepare(&args.load, seed, settings).await?;
    let options = Options { limits: client_limits(), ..Options::default() };
    let client = Client::connect(&settings.endpoints, options).await?;
    let span = Duration::from_secs(args.seconds) / (args.rounds * Mode::ALL.len() as u32);
    let turn = async |mode: Mode, seed| {
        let course = Course { policy: args.policy, seed, span };
        let beside = Beside { priority: mode.priority(), enqueuers: args.enqueuers };
        let (measured, resolved) = turn(&args.load, course, beside, (&stand, &client)).await?;
        let (tps, tickets) = (measured.throughput_tps(), resolved.committed);
        eprintln!("{}: {tps:.1} tps beside {tickets} tickets", mode.name());
        if measured.tally.done == 0 {
            bail!(Failed::unavailable("no operation ended inside a turn"));
        }
        Ok((measured, resolved))
    };
    let turns = in_turns(&Mode::ALL, args.rounds, seed, turn).await?;
    let rows = Mode::ALL.iter().zip(&turns);
    let rows: Vec<Json> = rows.map(|(mode, own)| row(*mode, own, &turns[0])).collect();
    let all = json!({
        "workload": args.load.workload.name(), "policy": args.policy.name(),
        "clients": args.load.clients, "enqueuers": args.enqueuers, "seconds": args.seconds,
        "rounds": args.rounds, "seed": seed, "modes": rows,
    });
    turns::print(&all, "modes", settings.output)?;
    stand.check(&args.load).await
}

/// Clients, with enqueuers beside them.
pub(crate) async fn turn(
    load: &LoadArgs,
    course: Course,
    beside: Beside,
    (stand, client): (&Stand, &Client),
) -> anyhow::Result<Turn> {
    let from = Instant::now() + Duration::from_millis(WARM_UP_MS);
    let window = (from, from + course.span);
    let took_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds are valid");
    let resolved = Arc::new(Mutex::new(Resolved { committed: 0, late: 0, took_us }));
    let mut enqueuers = JoinSet::new();
    if let Some(priority) = beside.priority {
        for number in 0..beside.enqueuers {
            let random = SmallRng::seed_from_u64(course.seed ^ (u64::from(number) << 32));
            let (client, resolved) = (client.clone(), resolved.clone());
            enqueuers.spawn(enqueue(client, priority, random, window, resolved));
        }
    }
    let measured = measure(load, course, stand).await?;
    while enqueuers.join_next().await.is_some() {}
    drained(client).await?;
    let resolved = Arc::into_inner(resolved).expect("all enqueuers ended");
    Ok((measured, resolved.into_inner().expect("no holder panics")))
}

/// Waits for those that their enqueuers did not wait for: the next turn is without them.
async fn drained(client: &Client) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_millis(LAST_MS);
    while client.queue().await?.groups.iter().any(|(_, queued)| *queued > 0) {
        if Instant::now() >= end {
            bail!(Failed::unavailable("tickets are left of a turn"));
        }
        sleep(Duration::from_millis(ERROR_PAUSE_MS)).await;
    }
    Ok(())
}

/// One ticket after the other; what is resolved inside the window counts.
async fn enqueue(
    client: Client,
    priority: u8,
    mut random: SmallRng,
    (from, to): (Instant, Instant),
    resolved: Arc<Mutex<Resolved>>,
) {
    while Instant::now() < to {
        let drawn = index::sample(&mut random, HOT_KEYS as usize, 2);
        let add = |record: usize| Delta {
            key: data::key(record as u32),
            op: Op::Add { field: "tickets".to_owned(), by: 1 },
        };
        let deltas: Vec<Delta> = drawn.iter().map(add).collect();
        let began = Instant::now();
        let ended = one(&client, priority, &deltas).await;
        let now = Instant::now();
        if (from..to).contains(&now) {
            resolved.lock().expect("no holder panics").count(&ended, began.elapsed());
        }
        if ended.is_err() {
            sleep(Duration::from_millis(random.random_range(0..ERROR_PAUSE_MS))).await;
        }
    }
}

async fn one(client: &Client, priority: u8, deltas: &[Delta]) -> Result<bool, ClientError> {
    let ticket = client.enqueue(None, priority, deltas).await?;
    let state = client.ticket(&ticket, TICKET_WAIT_MS).await?;
    Ok(matches!(state, TicketState::Committed { .. }))
}

pub(crate) fn tickets_per_s((measured, resolved): &Turn) -> f64 {
    resolved.committed as f64 / measured.span.as_secs_f64()
}

/// Medians over the turns of one mode; a ratio is taken in each round.
fn row(mode: Mode, own: &[Turn], first: &[Turn]) -> Json {
    let over = |each: &dyn Fn(&Turn) -> f64| over(own, each);
    json!({
        "mode": mode.name(),
        "throughput_tps": round(over(&|turn| turn.0.throughput_tps()), 1),
        "ratio": round(ratio(own, first, |turn| turn.0.throughput_tps()), 3),
        "abort_rate": round(over(&|turn| turn.0.abort_rate()), 4),
        "e2e_p99_ms": over(&|turn| quantile_ms(&turn.0.tally.whole_us, 0.99)),
        "tickets_per_s": round(over(&tickets_per_s), 1),
        "ticket_p50_ms": over(&|turn| quantile_ms(&turn.1.took_us, 0.5)),
        "ticket_p99_ms": over(&|turn| quantile_ms(&turn.1.took_us, 0.99)),
        "tickets_late": own.iter().map(|turn| turn.1.late).sum::<u64>(),
    })
}

impl Mode {
    /// The one to compare with first.
    const ALL: [Mode; 3] = [Mode::None, Mode::Urgent, Mode::Shadow];

    fn name(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Urgent => "urgent",
            Mode::Shadow => "shadow",
        }
    }

    /// Of its tickets, if it has any.
    fn priority(self) -> Option<u8> {
        match self {
            Mode::None => None,
            Mode::Urgent => Some(URGENT),
            Mode::Shadow => Some(LOW),
        }
    }
}

impl Resolved {
    fn count(&mut self, ended: &Result<bool, ClientError>, took: Duration) {
        match ended {
            Ok(true) => {
                self.committed += 1;
                self.took_us.saturating_record(took.as_micros() as u64);
            }
            Ok(false) | Err(_) => self.late += 1,
        }
    }
}
