//! What a node is told at its start: from TOML, the environment and flags, checked once.

use crate::{limits::Limits, mechanisms::Mechanism};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use vatic_consensus::Limits as ConsensusLimits;
use vatic_core::limits::Limits as GroupLimits;
use vatic_log::Limits as LogLimits;
use vatic_store::Limits as StoreLimits;

/// What a command has beside its body and part, and an entry beside its commands.
const FRAMING_BYTES: u64 = 4 << 10;

/// An event may take about half of it.
const HISTORY_BATCH_BYTES_MIN: u64 = 4 << 10;

/// A page of a scan has up to `scan_bytes_max` and one record more, beside what those take.
const READS_HELD_BYTES_MIN: u64 = 8 << 20;

/// Below it outcomes would be gone before anybody could ask.
const OUTCOME_TTL_US_MIN: u64 = 1_000_000;

/// One node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The cluster's name: nodes of different clusters refuse each other.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// This node's number, from 1; never given to another node.
    pub node: u32,
    /// Where log and state live.
    pub data_dir: PathBuf,
    /// Where clients connect, `host:port`.
    pub client_listen: String,
    /// Where peers connect, `host:port`.
    pub peer_listen: String,
    /// Where `/metrics`, `/healthz` and `/readyz` are, `host:port`; nowhere if not set.
    #[serde(default)]
    pub admin_listen: Option<String>,
    /// What clients are told to connect to, `http://host:port`; the listening address if not set.
    #[serde(default)]
    pub client_endpoint: Option<String>,
    /// Where this node writes down all that it applies, for `vatic-verification conform --recorded`
    /// to play it again; nowhere if not set.
    #[serde(default)]
    pub record_events: Option<PathBuf>,
    /// Mechanisms of the queue that this node does without, to measure what they are good for.
    #[serde(default)]
    pub without: Vec<Mechanism>,
    /// All nodes of the cluster, this one too. The same on every node.
    pub members: Vec<Member>,
    /// Number of data groups. The same on every node and at every start.
    #[serde(default = "default_groups")]
    pub groups: u32,
    /// Replicas of each group, at most the number of nodes. The same on every node and at every
    /// start.
    #[serde(default = "default_replicas")]
    pub replicas: u32,
    /// Bounds and times of gateway and drivers.
    #[serde(default)]
    pub limits: Limits,
    /// Bounds of votes. Replicated: what a group's leader is told becomes the group's.
    #[serde(default)]
    pub group_limits: GroupLimits,
    /// Times, batches and windows of Raft.
    #[serde(default)]
    pub consensus_limits: ConsensusLimits,
    /// Sizes of the log.
    #[serde(default)]
    pub log_limits: LogLimits,
    /// Sizes and intervals of the state.
    #[serde(default)]
    pub store_limits: StoreLimits,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its number.
    pub node: u32,
    /// Where its peers reach it, `host:port`.
    pub peer: String,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// This node is not among the members.
    #[error("node {node} is not among the members {members:?}")]
    NotMember {
        /// This node.
        node: u32,
        /// The members.
        members: Vec<u32>,
    },
    /// A number is out of its range.
    #[error("{name} is {value}, it must be {rule}")]
    Range {
        /// Which setting.
        name: &'static str,
        /// What it is.
        value: u64,
        /// What it must be.
        rule: &'static str,
    },
    /// The limits of a layer do not hold together.
    #[error("{layer}: {rule}")]
    Layer {
        /// Which table.
        layer: &'static str,
        /// What must hold.
        rule: String,
    },
    /// Two members have one number.
    #[error("node {node} is listed twice")]
    Twice {
        /// The number.
        node: u32,
    },
}

impl Config {
    /// A node on its own, with one replica a group: for trying things out.
    pub fn single(data_dir: PathBuf, client_listen: String, peer_listen: String) -> Config {
        Config {
            cluster: default_cluster(),
            node: 1,
            data_dir,
            client_listen,
            peer_listen: peer_listen.clone(),
            admin_listen: None,
            client_endpoint: None,
            record_events: None,
            without: Vec::new(),
            members: vec![Member { node: 1, peer: peer_listen }],
            groups: default_groups(),
            replicas: default_replicas(),
            limits: Limits::production(),
            group_limits: GroupLimits::production(),
            consensus_limits: ConsensusLimits::production(),
            log_limits: LogLimits::production(),
            store_limits: StoreLimits::production(),
        }
    }

    /// Whether the node works with it.
    pub(crate) fn has(&self, mechanism: Mechanism) -> bool {
        !self.without.contains(&mechanism)
    }

    /// Checks what holds between the settings.
    pub fn check(&self) -> Result<(), ConfigError> {
        let members: Vec<u32> = self.members.iter().map(|member| member.node).collect();
        if !members.contains(&self.node) {
            return Err(ConfigError::NotMember { node: self.node, members });
        }
        let twice = members.iter().enumerate().find(|(at, node)| members[..*at].contains(node));
        if let Some((_, &node)) = twice {
            return Err(ConfigError::Twice { node });
        }
        let layer = |layer, rule| Err(ConfigError::Layer { layer, rule });
        if let Err(rule) = self.consensus_limits.check() {
            return layer("consensus_limits", rule.into());
        }
        if let Some(rule) = self.log_limits.objection() {
            return layer("log_limits", rule);
        }
        if let Some((name, value)) = self.floors().into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Range { name, value, rule: "at least 1" });
        }
        for (name, value, holds, rule) in self.rules() {
            if !holds {
                return Err(ConfigError::Range { name, value, rule });
            }
        }
        Ok(())
    }

    /// Name and value of settings that nothing works without.
    fn floors(&self) -> [(&'static str, u64); 30] {
        let (gateway, group) = (&self.limits, &self.group_limits);
        let (consensus, log, store) =
            (&self.consensus_limits, &self.log_limits, &self.store_limits);
        [
            ("propose_queue_depth_max", consensus.propose_queue_depth_max as u64),
            ("read_queue_depth_max", consensus.read_queue_depth_max as u64),
            ("append_entries_max", consensus.append_entries_max),
            ("append_bytes_max", consensus.append_bytes_max as u64),
            ("meta_bytes_max", log.meta_bytes_max as u64),
            ("overlay_max_bytes", store.overlay_max_bytes as u64),
            ("readers_max", store.readers_max as u64),
            ("map_bytes", store.map_bytes as u64),
            ("flush_interval_ms", store.flush_interval_ms),
            ("propose_deadline_ms", gateway.propose_deadline_ms),
            ("drive_retry_ms", gateway.drive_retry_ms),
            ("attest_interval_ms", gateway.attest_interval_ms),
            ("compare_interval_ms", gateway.compare_interval_ms),
            ("scrub_interval_ms", gateway.scrub_interval_ms),
            ("pipeline_operations_max", gateway.pipeline_operations_max),
            ("message_bytes_max", gateway.message_bytes_max),
            ("delta_bytes_max", gateway.delta_bytes_max),
            ("gateway_bytes_max", gateway.gateway_bytes_max),
            ("record_bytes_max", group.record_bytes_max),
            ("transitions_max", group.transitions_max),
            ("participants_max", group.participants_max),
            ("learn_queue_max", gateway.learn_queue_max),
            ("forecast_queue_max", gateway.forecast_queue_max),
            ("forecast_steps_max", gateway.forecast_steps_max),
            ("warning_look_ms", gateway.warning_look_ms),
            ("anomalies_max", gateway.anomalies_max),
            ("history_interval_ms", gateway.history_interval_ms),
            ("history_buffer_max", gateway.history_buffer_max),
            ("history_rows_max", group.history_rows_max),
            ("history_batch_max", group.history_batch_max),
        ]
    }

    /// Name and value of a setting, whether it is as it must be, and how that is.
    fn rules(&self) -> [(&'static str, u64, bool, &'static str); 14] {
        let Limits { stream_age_max_ms, forget_after_ms, sweep_interval_ms, .. } = self.limits;
        let Limits { stage_chunk_bytes, delta_bytes_max, scan_records_max, .. } = self.limits;
        let reads_held_bytes_max = self.limits.reads_held_bytes_max;
        let command_bytes_max = self.consensus_limits.command_bytes_max as u64;
        let batch_bytes_max = self.consensus_limits.batch_bytes_max as u64;
        let entry_bytes_max = u64::from(self.log_limits.entry_bytes_max);
        let collect_items_max = u64::from(self.limits.collect_items_max);
        let learn_share_percent = self.limits.learn_share_percent;
        let vatic_core::limits::Limits { range_records_max, outcome_ttl_us, .. } =
            self.group_limits;
        let history_batch_bytes_max = self.group_limits.history_batch_bytes_max;
        let framed = |a: u64, b: u64| a.saturating_add(b).saturating_add(FRAMING_BYTES);
        let chunk_bytes = framed(stage_chunk_bytes, delta_bytes_max);
        let entry_bytes = framed(command_bytes_max, batch_bytes_max);
        [
            ("node", u64::from(self.node), self.node > 0, "at least 1"),
            ("groups", u64::from(self.groups), (1..=1024).contains(&self.groups), "1 to 1024"),
            ("replicas", u64::from(self.replicas), self.replicas > 0, "at least 1"),
            ("sweep_interval_ms", sweep_interval_ms, sweep_interval_ms > 0, "at least 1"),
            ("stage_chunk_bytes", stage_chunk_bytes, stage_chunk_bytes > 0, "at least 1"),
            ("collect_items_max", collect_items_max, collect_items_max > 0, "at least 1"),
            ("learn_share_percent", learn_share_percent, learn_share_percent <= 100, "0 to 100"),
            (
                "outcome_ttl_us",
                outcome_ttl_us,
                outcome_ttl_us >= OUTCOME_TTL_US_MIN,
                "at least a second",
            ),
            (
                "forget_after_ms",
                forget_after_ms,
                forget_after_ms > stream_age_max_ms,
                "above stream_age_max_ms",
            ),
            (
                "scan_records_max",
                scan_records_max,
                scan_records_max <= range_records_max,
                "at most range_records_max, or no vote could validate the scan",
            ),
            (
                "reads_held_bytes_max",
                reads_held_bytes_max,
                reads_held_bytes_max >= READS_HELD_BYTES_MIN,
                "at least 8 MiB, or pages of scans would find no room",
            ),
            (
                "stage_chunk_bytes",
                stage_chunk_bytes,
                chunk_bytes <= command_bytes_max,
                "so small that with delta_bytes_max it fits command_bytes_max",
            ),
            (
                "history_batch_bytes_max",
                history_batch_bytes_max,
                history_batch_bytes_max >= HISTORY_BATCH_BYTES_MIN
                    && framed(history_batch_bytes_max, 0) <= command_bytes_max,
                "at least 4096, and so small that it fits command_bytes_max",
            ),
            (
                "entry_bytes_max",
                entry_bytes_max,
                entry_bytes <= entry_bytes_max,
                "above command_bytes_max and batch_bytes_max together",
            ),
        ]
    }
}

fn default_cluster() -> String {
    "vatic".into()
}

fn default_groups() -> u32 {
    4
}

fn default_replicas() -> u32 {
    3
}
