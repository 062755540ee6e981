//! What one seed is made of: its own cluster, faults, limits and mix of work.
//!
//! Swarm testing (Groce et al., 2012): a run in which every fault is a little likely reaches fewer
//! corners than many runs that each leave most faults out and turn a few up high. So each kind of
//! fault is off in about half of the seeds.

use crate::rng::Rng;
use vatic_core::limits::Limits;

/// Chances are per mille, times in virtual microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) groups: u32,
    pub(crate) nodes: usize,
    pub(crate) replicas: usize,
    pub(crate) clients: usize,
    /// Clients beside these for whom records of several groups come and go together.
    pub(crate) together: usize,
    pub(crate) limits: Limits,
    pub(crate) network: Network,
    pub(crate) chaos: Chaos,
    pub(crate) log: Log,
    pub(crate) client: ClientHabits,
    pub(crate) keeping: Keeping,
    pub(crate) mix: Mix,
    /// Clocks of nodes are off by up to this, either way.
    pub(crate) skew_us: u64,
    /// A coordinator dies after an effect so often.
    pub(crate) coordinator_dies: u32,
}

/// What the network does to a message.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) delay_us: u64,
    pub(crate) jitter_us: u64,
    pub(crate) loss: u32,
    pub(crate) repeat: u32,
    /// A copy is kept back for very long.
    pub(crate) limbo: u32,
    pub(crate) limbo_us: u64,
}

/// What happens to nodes; weights of what each blow is.
#[derive(Clone, Debug)]
pub(crate) struct Chaos {
    pub(crate) every_us: u64,
    pub(crate) crash: u64,
    pub(crate) leader: u64,
    pub(crate) partition: u64,
    pub(crate) jump: u64,
    pub(crate) calm: u64,
    pub(crate) down_us: u64,
}

/// How a group's replicated log behaves.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) batch_us: u64,
    pub(crate) lag_us: u64,
    /// A replica saves its state at a sweep so often.
    pub(crate) save: u32,
    /// A replica that restarts takes another one's state so often.
    pub(crate) snapshot: u32,
}

/// What clients and gateways do, rightly or wrongly.
#[derive(Clone, Debug)]
pub(crate) struct ClientHabits {
    pub(crate) think_us: u64,
    pub(crate) accounts: u64,
    pub(crate) items: u64,
    pub(crate) staged: u32,
    /// Votes do not wait for their stages.
    pub(crate) impatient: u32,
    pub(crate) claims: u32,
    /// An attempt does not ask first whether its request was done.
    pub(crate) blind: u32,
    /// A request id is used for something else.
    pub(crate) misuse: u32,
    /// The outcome does not reach the client.
    pub(crate) deaf: u32,
    /// The gateway alters what it sends to a participant.
    pub(crate) tamper: u32,
    /// The gateway replaces transitions before it digests them.
    pub(crate) forge: u32,
    /// One transaction id is used for two bodies.
    pub(crate) twin: u32,
    /// The gateway does not know the group's limits.
    pub(crate) lax: u32,
    /// The gateway is late to ask one of the groups that it reads together.
    pub(crate) dawdle: u32,
}

/// How groups forget.
#[derive(Clone, Debug)]
pub(crate) struct Keeping {
    pub(crate) forget: u32,
    /// Forget without asking whether all is settled; must be refused.
    pub(crate) hasty: u32,
    pub(crate) retain_us: u64,
    pub(crate) collect: u32,
    pub(crate) versions_us: u64,
    /// What was seen is appended to the history, or once more what was before.
    pub(crate) notes: u32,
    pub(crate) notes_again: u32,
}

/// Weights of the kinds of operation.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) transfer: u64,
    pub(crate) skew: u64,
    pub(crate) phantom: u64,
    pub(crate) mixed: u64,
    pub(crate) get: u64,
    pub(crate) scan: u64,
    pub(crate) multi: u64,
    pub(crate) snapshot: u64,
}

impl Swarm {
    pub(crate) fn draw(rng: &mut Rng) -> Swarm {
        let nodes = rng.between(3, 5) as usize;
        Swarm {
            groups: rng.between(2, 5) as u32,
            nodes,
            replicas: rng.between(2, 3) as usize,
            clients: rng.between(3, 7) as usize,
            together: *rng.pick(&[0, 2, 4, 6]),
            limits: limits(rng),
            network: network(rng),
            chaos: chaos(rng),
            log: log(rng),
            client: client(rng),
            keeping: keeping(rng),
            mix: mix(rng),
            skew_us: maybe(rng, 20_000),
            coordinator_dies: maybe(rng, 60) as u32,
        }
    }
}

impl Swarm {
    /// As `draw`, for real groups: enough nodes that no group is on all of them, and no fewer
    /// replicas than a crash leaves a majority of.
    pub(crate) fn draw_deployed(rng: &mut Rng) -> Swarm {
        let nodes = rng.between(5, 7) as usize;
        let groups = rng.between(3, 4) as u32;
        let replicas = *rng.pick(&[3, 3, 3, 5]);
        let drawn = Swarm::draw(rng);
        // More of it: an election takes a good part of a run.
        let every_us = rng.between(1_500, 6_000);
        let crash = drawn.chaos.crash.max(maybe(rng, 8));
        let chaos = Chaos { every_us, crash, ..drawn.chaos.clone() };
        Swarm { nodes, groups, replicas, chaos, ..drawn }
    }
}

/// Zero in half of the seeds, else up to `most`.
fn maybe(rng: &mut Rng, most: u64) -> u64 {
    if rng.chance(500) { rng.between(1, most) } else { 0 }
}

fn maybe32(rng: &mut Rng, most: u64) -> u32 {
    maybe(rng, most) as u32
}

/// Tiny limits whose times fit the simulated clock.
fn limits(rng: &mut Rng) -> Limits {
    let tiny = Limits::simulation();
    Limits {
        record_bytes_max: *rng.pick(&[64, tiny.record_bytes_max, 1024]),
        transitions_max: *rng.pick(&[6, tiny.transitions_max, 16]),
        reads_max: *rng.pick(&[4, tiny.reads_max, 16]),
        participants_max: *rng.pick(&[2, tiny.participants_max, 5]),
        range_records_max: *rng.pick(&[4, tiny.range_records_max]),
        request_ttl_us: *rng.pick(&[15_000, 60_000, 10_000_000]),
        outcome_ttl_us: *rng.pick(&[20_000, 10_000_000]),
        records_bytes_max: *rng.pick(&[320, 400, u64::MAX, u64::MAX]),
        ..tiny
    }
}

fn network(rng: &mut Rng) -> Network {
    Network {
        delay_us: rng.between(30, 300),
        jitter_us: *rng.pick(&[50, 400, 2_500]),
        loss: maybe32(rng, 80),
        repeat: maybe32(rng, 120),
        limbo: maybe32(rng, 40),
        limbo_us: *rng.pick(&[20_000, 80_000]),
    }
}

fn chaos(rng: &mut Rng) -> Chaos {
    Chaos {
        every_us: rng.between(3_000, 30_000),
        crash: maybe(rng, 10),
        leader: maybe(rng, 10),
        partition: maybe(rng, 10),
        jump: maybe(rng, 10),
        calm: rng.between(1, 10),
        down_us: *rng.pick(&[4_000, 25_000]),
    }
}

fn log(rng: &mut Rng) -> Log {
    Log {
        batch_us: *rng.pick(&[20, 200, 1_000]),
        lag_us: *rng.pick(&[50, 1_000, 8_000]),
        save: rng.between(20, 400) as u32,
        snapshot: maybe32(rng, 500),
    }
}

fn client(rng: &mut Rng) -> ClientHabits {
    ClientHabits {
        think_us: *rng.pick(&[100, 1_000, 4_000]),
        accounts: rng.between(2, 8),
        items: rng.between(2, 10),
        staged: maybe32(rng, 400),
        impatient: maybe32(rng, 500),
        claims: maybe32(rng, 600),
        blind: maybe32(rng, 950),
        misuse: maybe32(rng, 400),
        deaf: maybe32(rng, 150),
        tamper: maybe32(rng, 100),
        forge: maybe32(rng, 60),
        twin: maybe32(rng, 100),
        lax: maybe32(rng, 300),
        dawdle: if rng.chance(500) { rng.between(200, 500) as u32 } else { 0 },
    }
}

fn keeping(rng: &mut Rng) -> Keeping {
    Keeping {
        forget: maybe32(rng, 900),
        hasty: maybe32(rng, 700),
        retain_us: *rng.pick(&[1_000, 8_000, 30_000]),
        collect: maybe32(rng, 600),
        versions_us: *rng.pick(&[1_000, 10_000, 50_000]),
        notes: maybe32(rng, 900),
        notes_again: rng.between(100, 500) as u32,
    }
}

fn mix(rng: &mut Rng) -> Mix {
    Mix {
        transfer: rng.between(1, 10),
        skew: maybe(rng, 10),
        phantom: maybe(rng, 8),
        mixed: rng.between(1, 10),
        get: maybe(rng, 6),
        scan: maybe(rng, 4),
        multi: maybe(rng, 8),
        snapshot: maybe(rng, 8),
    }
}
