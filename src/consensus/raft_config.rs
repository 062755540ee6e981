//! This crate's limits as openraft's configuration, and the choices that are not numbers.
//!
//! Why each choice: pre-vote, so that a replica which comes back from a partition does not unseat
//! a leader that its peers hear. No restored leadership: a leader that restarts has applied less
//! than it once answered for, and only an election tells it how far the group was. No log
//! reversion: a replica that lost its log must come back under a new Raft id.

use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};

use crate::limits::Limits;

pub(crate) fn raft_config(limits: &Limits, group: u32) -> Result<Arc<Config>, String> {
    let config = Config {
        cluster_name: format!("group-{group}"),
        heartbeat_interval: limits.heartbeat_ms,
        heartbeat_min_interval: Some(limits.heartbeat_min_ms),
        election_timeout_min: limits.election_min_ms,
        election_timeout_max: limits.election_max_ms,
        install_snapshot_timeout: limits.snapshot_install_deadline_ms,
        max_payload_entries: limits.append_entries_max,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(limits.snapshot_every_entries),
        replication_lag_threshold: limits.snapshot_every_entries + 1,
        max_in_snapshot_log_to_keep: limits.entries_kept_behind_snapshot,
        purge_batch_size: 1.max(limits.entries_kept_behind_snapshot / 10),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        backoff: format!("{}ms ..{}ms", limits.reconnect_min_ms, limits.reconnect_max_ms),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::raft_config;
    use crate::limits::Limits;

    #[test]
    fn both_settings_are_taken() {
        for limits in [Limits::production(), Limits::simulation()] {
            raft_config(&limits, 1).unwrap();
        }
    }
}
