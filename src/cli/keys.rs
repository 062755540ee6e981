//! `vatic keys`: the public keys of a cluster's nodes, to pin; and the file that holds them.
//!
//! JSON: `format` (1), `cluster`, and `groups`: for each group, by number, the nodes that hold its
//! replicas with their Ed25519 keys in hexadecimal. Whoever verifies receipts with it trusts
//! whoever gave it out, and nobody else.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vatic_core::id::GroupId;
use vatic_core::sign::{PublicKey, TrustedKeys};

use crate::exit::Failed;
use crate::output;
use crate::settings::Settings;

const FORMAT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    format: u32,
    cluster: String,
    groups: BTreeMap<u32, BTreeMap<u64, String>>,
}

/// Prints the keys, always as JSON: it is a file to keep.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let cluster = settings.connect().await?.cluster(false).await?;
    let keys = cluster.trusted_keys();
    let missing = cluster.members.iter().find(|member| member.public_key.is_none());
    if let Some(member) = missing {
        let message = format!("node {} has not told its key yet", member.node_id);
        return Err(Failed::unavailable(message).into());
    }
    Ok(output::line(&text_of(&keys))?)
}

/// As they lie in a file.
pub(crate) fn text_of(keys: &TrustedKeys) -> String {
    serde_json::to_string_pretty(&KeysFile::of(keys)).expect("names and numbers are JSON")
}

/// Reads a file of pinned keys.
pub(crate) fn read(path: &Path) -> anyhow::Result<TrustedKeys> {
    let wrong = |what: String| Failed::usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(parse(&text).map_err(wrong)?)
}

pub(crate) fn parse(text: &str) -> Result<TrustedKeys, String> {
    let file: KeysFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.format != FORMAT {
        return Err(format!("format {} where {FORMAT} was expected", file.format));
    }
    let mut groups = BTreeMap::new();
    for (group, nodes) in file.groups {
        let mut keys = BTreeMap::new();
        for (node, text) in nodes {
            let mut key = [0; 32];
            hex::decode_to_slice(&text, &mut key)
                .map_err(|error| format!("group {group}, node {node}: {error}"))?;
            keys.insert(node, PublicKey(key));
        }
        groups.insert(GroupId(group), keys);
    }
    Ok(TrustedKeys { cluster: file.cluster, groups })
}

impl KeysFile {
    fn of(keys: &TrustedKeys) -> KeysFile {
        let groups = keys.groups.iter().map(|(group, nodes)| {
            let nodes = nodes.iter().map(|(node, key)| (*node, key.to_string()));
            (group.0, nodes.collect())
        });
        KeysFile { format: FORMAT, cluster: keys.cluster.clone(), groups: groups.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let nodes = BTreeMap::from([(1, PublicKey([1; 32])), (2, PublicKey([2; 32]))]);
        let groups = BTreeMap::from([(GroupId(3), nodes)]);
        let keys = TrustedKeys { cluster: "c".into(), groups };
        let text = serde_json::to_string(&KeysFile::of(&keys)).unwrap();
        assert_eq!(parse(&text).unwrap(), keys);
        assert!(parse(&text.replace("\"format\":1", "\"format\":9")).unwrap_err().contains('9'));
        let short = text.replace(&"01".repeat(32), "01");
        assert!(parse(&short).unwrap_err().contains("group 3, node 1"));
    }
}
