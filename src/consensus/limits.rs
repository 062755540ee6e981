//! Every number with a meaning in this crate, with its unit in its name.
//!
//! Why two settings: production numbers suit a real network; the simulation ones are tiny, so that
//! tests reach the corners (a purge after few entries, a batch of few commands) in little time.
//!
//! Invariants ([`Limits::check`] refuses what breaks them): an entry always fits a message, an
//! append window always fits the receiver's queue, a heartbeat always precedes an election.

use serde::{Deserialize, Serialize};

/// How far this crate goes. Time in milliseconds, sizes in bytes, depths in items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub heartbeat_ms: u64,
    /// A follower that replicated within this time needs no heartbeat.
    pub heartbeat_min_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,

    /// A command larger than this is refused.
    pub command_bytes_max: usize,
    /// A batch closes when its commands reach this size (a single command may be larger).
    pub batch_bytes_max: usize,
    pub batch_commands_max: usize,
    /// Batches of one group that may be in flight at once, where an append takes at least as many
    /// of `batch_interval_ms`; where it takes less, fewer, down to one.
    pub batches_in_flight_max: usize,
    /// How far apart batches of one group go at the least, on average, while several are in flight.
    pub batch_interval_ms: u64,
    pub propose_queue_depth_max: usize,
    pub read_queue_depth_max: usize,

    /// Entries in one append message; also bounded by `append_bytes_max`.
    pub append_entries_max: u64,
    pub append_bytes_max: usize,
    /// Appends of one group to one follower that may be unanswered.
    pub append_window: usize,
    pub append_deadline_ms: u64,
    /// How long followers may go without being told that an entry is committed, while no other
    /// entries follow it.
    pub commit_hold_ms: u64,
    pub lane_queue_depth_max: usize,
    /// Envelopes that are ready together share a message up to this size.
    pub message_bytes_max: usize,
    /// The largest message that a stream takes: one entry of the largest size must fit.
    pub decode_bytes_max: usize,
    /// Messages of a lane, of up to 256 requests each, that a node works on at once.
    pub messages_in_service_max: usize,
    pub connect_deadline_ms: u64,
    pub reconnect_min_ms: u64,
    pub reconnect_max_ms: u64,
    pub keepalive_ms: u64,

    pub snapshot_chunk_bytes: usize,
    pub snapshot_chunk_deadline_ms: u64,
    pub snapshot_install_deadline_ms: u64,
    /// A snapshot is due after so many entries; it lets the log be purged.
    pub snapshot_every_entries: u64,
    /// Entries kept in the log behind a snapshot, so that a follower which was away for a moment
    /// catches up from the log.
    pub entries_kept_behind_snapshot: u64,
    /// What may live in the node's log, of all its replicas. Above it those with more than an even
    /// share purge, whatever the two limits before say. The log's files take up to twice as much,
    /// and `segments_target` segments.
    pub log_live_bytes_max: u64,
    /// How often that is looked at.
    pub log_look_interval_ms: u64,

    /// A replica that is to become a voter may lack so many entries.
    pub catch_up_entries_max: u64,
    /// How often a replica that is not a voter yet asks to be taken in.
    pub join_interval_ms: u64,
    /// How long one replacement of a replica may take; it can be asked for again.
    pub change_deadline_ms: u64,

    pub read_deadline_ms: u64,
    pub transfer_deadline_ms: u64,
    /// How long a shutdown may spend on handing leaderships over.
    pub handover_deadline_ms: u64,
}

impl Limits {
    pub fn production() -> Self {
        Self {
            heartbeat_ms: 300,
            heartbeat_min_ms: 200,
            election_min_ms: 1_000,
            election_max_ms: 2_000,
            command_bytes_max: 16 << 20,
            batch_bytes_max: 1 << 20,
            batch_commands_max: 4_096,
            batches_in_flight_max: 8,
            batch_interval_ms: 5,
            propose_queue_depth_max: 16_384,
            read_queue_depth_max: 16_384,
            append_entries_max: 256,
            append_bytes_max: 1 << 20,
            append_window: 32,
            append_deadline_ms: 2_000,
            commit_hold_ms: 5,
            lane_queue_depth_max: 4_096,
            message_bytes_max: 1 << 20,
            decode_bytes_max: 32 << 20,
            messages_in_service_max: 256,
            connect_deadline_ms: 1_000,
            reconnect_min_ms: 50,
            reconnect_max_ms: 1_000,
            keepalive_ms: 2_000,
            snapshot_chunk_bytes: 256 << 10,
            snapshot_chunk_deadline_ms: 10_000,
            snapshot_install_deadline_ms: 600_000,
            snapshot_every_entries: 5_000,
            entries_kept_behind_snapshot: 10_000,
            log_live_bytes_max: 4 << 30,
            log_look_interval_ms: 1_000,
            catch_up_entries_max: 1_000,
            join_interval_ms: 1_000,
            change_deadline_ms: 600_000,
            read_deadline_ms: 2_000,
            transfer_deadline_ms: 3_000,
            handover_deadline_ms: 5_000,
        }
    }

    /// Tiny: for tests and simulation.
    pub fn simulation() -> Self {
        Self {
            heartbeat_ms: 50,
            heartbeat_min_ms: 20,
            election_min_ms: 250,
            election_max_ms: 500,
            command_bytes_max: 4 << 10,
            batch_bytes_max: 8 << 10,
            batch_commands_max: 16,
            batches_in_flight_max: 2,
            propose_queue_depth_max: 64,
            read_queue_depth_max: 64,
            append_entries_max: 4,
            append_bytes_max: 16 << 10,
            append_window: 4,
            append_deadline_ms: 500,
            commit_hold_ms: 5,
            lane_queue_depth_max: 64,
            message_bytes_max: 32 << 10,
            decode_bytes_max: 256 << 10,
            messages_in_service_max: 64,
            connect_deadline_ms: 300,
            reconnect_min_ms: 10,
            reconnect_max_ms: 100,
            keepalive_ms: 500,
            snapshot_chunk_bytes: 1 << 10,
            snapshot_chunk_deadline_ms: 2_000,
            snapshot_install_deadline_ms: 10_000,
            snapshot_every_entries: 20,
            entries_kept_behind_snapshot: 5,
            log_live_bytes_max: 1 << 20,
            log_look_interval_ms: 100,
            catch_up_entries_max: 10,
            join_interval_ms: 50,
            change_deadline_ms: 20_000,
            read_deadline_ms: 1_000,
            transfer_deadline_ms: 2_000,
            handover_deadline_ms: 2_000,
            ..Self::production()
        }
    }

    /// `Err` names the first rule broken.
    pub fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (
                self.heartbeat_ms + self.heartbeat_min_ms + self.heartbeat_ms / 4
                    < self.election_min_ms,
                "heartbeat_ms and heartbeat_min_ms must fit well into election_min_ms",
            ),
            (self.election_min_ms < self.election_max_ms, "election_min_ms < election_max_ms"),
            (self.commit_hold_ms < self.heartbeat_ms, "commit_hold_ms < heartbeat_ms"),
            (
                self.batch_bytes_max + self.command_bytes_max + MESSAGE_SLACK_BYTES
                    <= self.decode_bytes_max,
                "one entry (batch_bytes_max + command_bytes_max) must fit decode_bytes_max",
            ),
            (
                self.append_bytes_max + self.message_bytes_max + MESSAGE_SLACK_BYTES
                    <= self.decode_bytes_max,
                "append_bytes_max + message_bytes_max must fit decode_bytes_max",
            ),
            (
                self.snapshot_chunk_bytes + self.message_bytes_max + MESSAGE_SLACK_BYTES
                    <= self.decode_bytes_max,
                "snapshot_chunk_bytes + message_bytes_max must fit decode_bytes_max",
            ),
            (
                self.log_live_bytes_max / (self.batch_bytes_max + self.command_bytes_max) as u64
                    > self.batches_in_flight_max as u64,
                "one entry (batch_bytes_max + command_bytes_max) more than batches_in_flight_max \
                 must fit log_live_bytes_max",
            ),
            (self.log_look_interval_ms > 0, "log_look_interval_ms must be greater than 0"),
            (self.batch_interval_ms > 0, "batch_interval_ms must be greater than 0"),
            (self.append_window <= APPEND_WINDOW_MAX, "append_window is at most 48"),
            (
                [self.append_window, self.batches_in_flight_max, self.batch_commands_max]
                    .iter()
                    .all(|depth| *depth > 0),
                "windows and counts must be at least 1",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(*rule))
    }
}

/// Room for the framing around a body.
const MESSAGE_SLACK_BYTES: usize = 16 << 10;

/// openraft queues up to 64 unanswered appends of a pipeline; staying below keeps one group that
/// stalls from blocking the lane it shares.
const APPEND_WINDOW_MAX: usize = 48;

impl Default for Limits {
    fn default() -> Limits {
        Limits::production()
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn both_settings_hold_their_own_rules() {
        assert_eq!(Limits::production().check(), Ok(()));
        assert_eq!(Limits::simulation().check(), Ok(()));
    }

    #[test]
    fn entry_that_could_not_be_sent_is_refused_as_a_setting() {
        let limits = Limits { command_bytes_max: 32 << 20, ..Limits::production() };
        assert!(limits.check().is_err());
    }
}
