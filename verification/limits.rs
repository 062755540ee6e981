//! The simulator's own numbers: how long things take in virtual time, and how much is tried.
//!
//! Virtual microseconds throughout; nothing here touches a real clock. They relate to each other
//! as a cluster's would: a retry is longer than a usual round trip, a block is recovered only
//! after several rounds, and what arrives from limbo is later than all of that.

/// Where virtual time starts, so that skewed clocks stay positive.
pub(crate) const EPOCH_US: u64 = 1_000_000;
/// How long faults and load go on, unless the command line says otherwise.
pub(crate) const LOAD_US: u64 = 100_000;
/// The same at level 2, where an election takes a good part of the former.
pub(crate) const LOAD_DEPLOYED_US: u64 = 220_000;
/// After healing, everything must be decided and every operation over within this.
pub(crate) const DRAIN_US: u64 = 60_000_000;
/// The same at level 2: a minute of the cluster's time.
pub(crate) const DRAIN_DEPLOYED_US: u64 = 60_000_000 / crate::deployment::SLOWNESS;
/// A question that was not answered is asked again after this.
pub(crate) const RETRY_US: u64 = 4_000;
/// At level 2 not before this, unless it came to nothing where it was asked: the time that a node
/// gives a proposal.
pub(crate) const ANSWER_DEPLOYED_US: u64 = 3_000_000 / crate::deployment::SLOWNESS;
/// A reader that was blocked for this long has the holder recovered.
pub(crate) const BLOCKED_US: u64 = 6_000;
/// A coordinator that misses votes for this long forces the rest.
pub(crate) const GIVE_UP_US: u64 = 15_000;
/// An operation whose effect is not in doubt is abandoned after this.
pub(crate) const OPERATION_US: u64 = 60_000;
/// A client that hears nothing of a submitted transaction for this long is in doubt.
pub(crate) const DOUBT_US: u64 = 25_000;
/// How often a leader looks at its own undecided votes.
pub(crate) const SWEEP_US: u64 = 8_000;
/// How old an undecided vote or an abandoned stage is when a sweep takes it up.
pub(crate) const SWEEP_AGE_US: u64 = 30_000;
/// How long a coordinator goes on asking before it leaves the rest to sweeps.
pub(crate) const COORDINATOR_RETRIES_MAX: u32 = 40;
/// How often an attempt of one request is followed by another.
pub(crate) const ATTEMPTS_MAX: usize = 5;
/// A clock that jumps ends up to this far ahead of the slowest.
pub(crate) const CLOCK_JUMP_US: u64 = 30_000;
/// How long a new leader takes to be found.
pub(crate) const ELECTION_US: u64 = 3_000;
/// At level 2: how soon a node is back whose supervisor starts it again at once.
pub(crate) const BRISK_US: u64 = 200;
/// At level 2: how soon after its election a leader falls that does not last.
pub(crate) const FALL_US: u64 = 300;
/// At level 2: how long a leader is cut off from the other members. An election takes a quarter.
pub(crate) const ISOLATION_US: u64 = 25_000;
/// The same where others look on meanwhile.
pub(crate) const LOOKED_ON_US: u64 = 40_000;
/// How far a snapshot read may lie beyond the wall clock of whoever advances for it.
pub(crate) const ADVANCE_AHEAD_US: u64 = 20_000;
/// Tries of a strict multi-group read before it votes.
pub(crate) const READ_TRIES_MAX: u32 = 3;
/// How often a batch must have met each kind of misfortune.
pub(crate) const FAULTS_MIN: u64 = 100;
/// How many transactions a batch must have committed for each of its seeds.
pub(crate) const COMMITS_PER_SEED_MIN: u64 = 50;
/// From so many seeds on a batch is held to these two, and to every rare path: the fixed batch of
/// level 1 is twice as many. Its rarest path is reached some five times in three hundred seeds.
pub(crate) const BATCH_SEEDS_MIN: u64 = 400;
/// The same at level 2: its rarest fault occurs some three times a seed, now more and now less.
pub(crate) const BATCH_SEEDS_DEPLOYED_MIN: u64 = 40;
/// Violations kept of one seed; the first is the one that matters.
pub(crate) const VIOLATIONS_MAX: usize = 20;
/// What each account holds at first.
pub(crate) const OPENING_BALANCE: i64 = 100;
