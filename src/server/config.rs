//! What a node is told at its start: from TOML, the environment and flags, checked once.

use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One node's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What clients are told to connect to, `http://host:port`; the listening address if not set.
    #[serde(default)]
    pub client_endpoint: Option<String>,
    /// All nodes of the cluster, this one too. The same on every node.
    pub members: Vec<Member>,
    /// Number of data groups. The same on every node; it counts at the first start alone.
    #[serde(default = "default_groups")]
    pub groups: u32,
    /// Replicas of each group, at most the number of nodes. The same on every node.
    #[serde(default = "default_replicas")]
    pub replicas: u32,
    /// Bounds and times.
    #[serde(default)]
    pub limits: Limits,
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
            client_endpoint: None,
            members: vec![Member { node: 1, peer: peer_listen }],
            groups: default_groups(),
            replicas: default_replicas(),
            limits: Limits::production(),
        }
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
        let Limits { stream_age_max_ms, forget_after_ms, sweep_interval_ms, .. } = self.limits;
        for (name, value, holds, rule) in [
            ("node", u64::from(self.node), self.node > 0, "at least 1"),
            ("groups", u64::from(self.groups), (1..=1024).contains(&self.groups), "1 to 1024"),
            ("replicas", u64::from(self.replicas), self.replicas > 0, "at least 1"),
            ("sweep_interval_ms", sweep_interval_ms, sweep_interval_ms > 0, "at least 1"),
            (
                "forget_after_ms",
                forget_after_ms,
                forget_after_ms > stream_age_max_ms,
                "above stream_age_max_ms",
            ),
        ] {
            if !holds {
                return Err(ConfigError::Range { name, value, rule });
            }
        }
        Ok(())
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
