//! Whose data directory it is, and the key that the node signs with.
//!
//! Both are written once, at the first start. A directory belongs to one node for good: another
//! node's votes and log must not be taken for its own, and its signatures must stay its own. So do
//! the counts that say which groups have a replica here: with others, some would stay closed.

use crate::{config::Config, node::ServerError};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use vatic_core::sign::NodeKey;

const IDENTITY: &str = "identity";
const KEY: &str = "node.key";
const KEY_BYTES: usize = 32;

/// Checks that the directory is this node's, or makes it so.
pub(crate) fn check(config: &Config) -> Result<(), ServerError> {
    let dir = &config.data_dir;
    let path = dir.join(IDENTITY);
    let Config { cluster, node, groups, replicas, .. } = config;
    let identity =
        format!("vatic 1\ncluster {cluster}\nnode {node}\ngroups {groups}\nreplicas {replicas}\n");
    match fs::read_to_string(&path) {
        Ok(found) if found == identity => Ok(()),
        Ok(found) => {
            let (path, differences) = (path.display().to_string(), differences(&found, &identity));
            Err(ServerError::Identity { path, differences })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_new(dir, IDENTITY, identity.as_bytes()).map_err(|error| failed(&path, error))
        }
        Err(error) => Err(failed(&path, error)),
    }
}

/// The settings of which the file says something else, in one line.
fn differences(found: &str, own: &str) -> String {
    let (there, here) = (settings(found), settings(own));
    let differ = here.iter().filter(|(name, value)| there.get(*name) != Some(value));
    let told = differ.map(|(name, value)| {
        let found = there.get(name).unwrap_or(&"not told");
        format!("{name} is {found} there and {value} here")
    });
    let more = there.iter().filter(|(name, _)| !here.contains_key(*name));
    let more = more.map(|(name, value)| format!("{name} is {value} there and unknown here"));
    told.chain(more).collect::<Vec<_>>().join(", ")
}

fn settings(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(' ')).collect()
}

/// The node's key: 32 random bytes in hexadecimal that only the node's user can read.
pub(crate) fn key(dir: &Path) -> Result<NodeKey, ServerError> {
    let path = dir.join(KEY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = hex::encode(rand::random::<[u8; KEY_BYTES]>());
            write_new(dir, KEY, text.as_bytes()).map_err(|error| failed(&path, error))?;
            text
        }
        Err(error) => return Err(failed(&path, error)),
    };
    let mut seed = [0; KEY_BYTES];
    hex::decode_to_slice(text.trim(), &mut seed)
        .map_err(|error| failed(&path, io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(NodeKey::from_seed(&seed))
}

/// Whole and durable, or not there.
fn write_new(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = dir.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(name))?;
    File::open(dir)?.sync_all()
}

fn failed(path: &Path, source: io::Error) -> ServerError {
    ServerError::Io { what: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_kept_and_readable_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let first = key(dir.path()).unwrap().public();
        assert_eq!(key(dir.path()).unwrap().public(), first);
        let mode = fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(key(other.path()).unwrap().public(), first);
    }

    #[test]
    fn broken_key_and_foreign_directory_are_refused_by_path() {
        let dir = tempfile::tempdir().unwrap();
        let own = Config::single(dir.path().to_owned(), "h:1".to_owned(), "h:2".to_owned());
        let own = Config { cluster: "a".to_owned(), groups: 8, replicas: 3, ..own };
        check(&own).unwrap();
        check(&own).unwrap();
        let others = [
            (Config { cluster: "b".to_owned(), ..own.clone() }, "cluster is a there and b here"),
            (Config { node: 2, ..own.clone() }, "node is 1 there and 2 here"),
            (
                Config { groups: 4, replicas: 1, ..own.clone() },
                "groups is 8 there and 4 here, replicas is 3 there and 1 here",
            ),
        ];
        let path = dir.path().join(IDENTITY);
        for (other, differences) in others {
            let refused = check(&other).unwrap_err().to_string();
            assert_eq!(refused, format!("{} is another's: {differences}", path.display()));
        }
        fs::write(dir.path().join(KEY), "not a key").unwrap();
        let broken = key(dir.path()).unwrap_err().to_string();
        assert!(broken.contains(KEY), "{broken}");
    }
}
