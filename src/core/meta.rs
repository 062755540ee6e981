//! What group 0 keeps: the ring, the nodes, the collections' policies, shared models, and what
//! forecasters learn from.
//!
//! The ring is one value that only ever follows its own epoch; nodes and policies are replaced
//! whole. Data groups learn of a new ring by a `Configure` command of their own.

use crate::{
    command::{MetaCommand, Refusal, Reply},
    course, policy,
    ring::RingSpec,
    rules::{Rules, broken},
    shelf,
    sign::PublicKey,
    state::{Read, State},
    tables,
};
use alloc::{format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// A node as the registry knows it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The node's id.
    pub node: u64,
    /// Where clients reach it.
    pub client_addr: String,
    /// Where its peers reach it.
    pub peer_addr: String,
    /// What its signatures are verified with.
    pub public_key: PublicKey,
}

/// The ring in force, if one was set.
pub fn ring(state: &impl Read) -> Option<RingSpec> {
    tables::load(state, &tables::meta("ring"))
}

/// All registered nodes, by id.
pub fn nodes(state: &impl Read) -> Vec<NodeRecord> {
    let mut nodes = Vec::new();
    let (from, to) = (tables::meta("node/"), tables::meta("node0"));
    state.scan(&from, &to, &mut |_, value| {
        nodes.push(tables::stored(value));
        true
    });
    nodes
}

pub(crate) fn apply(state: &mut impl State, command: &MetaCommand, rules: Rules) -> Reply {
    match command {
        MetaCommand::PutNode { node, client_addr, peer_addr, public_key } => {
            let record = NodeRecord {
                node: *node,
                client_addr: client_addr.clone(),
                peer_addr: peer_addr.clone(),
                public_key: *public_key,
            };
            tables::save(state, tables::meta(&format!("node/{node:016x}")), &record);
        }
        MetaCommand::SetRing(spec) => {
            let present = ring(state).map_or(0, |ring| ring.epoch);
            if spec.epoch != present + 1 && !broken!(rules, EpochUnchecked) {
                return Reply::Refused(Refusal::Epoch { present });
            }
            tables::save(state, tables::meta("ring"), spec);
        }
        MetaCommand::SetPolicy { collection, change } => {
            return policy::set(state, collection, *change);
        }
        MetaCommand::PublishModel { node, labels, model } => {
            return shelf::publish(state, (*node, *labels), model);
        }
        MetaCommand::PinModel(version) => return shelf::pin(state, *version),
        MetaCommand::AppendCourses(batch) => return course::append(state, batch, rules),
    }
    Reply::Done
}
