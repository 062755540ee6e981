//! What a disk or a bug could do to a node's state while the node is down.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vatic_core::state::{Read, State};
use vatic_store::{Limits, ReplicaId, Store};

/// Flips one bit in every copy of the bytes in LMDB's file; there must be one. Their checksum does
/// not fit any more.
pub fn flip(data_dir: &Path, bytes: &[u8]) {
    let file = data_dir.join("state/data.mdb");
    let mut content = fs::read(&file).expect("the state can be read");
    let starts: Vec<usize> = (0..content.len() - bytes.len())
        .filter(|&at| content[at] == bytes[0] && content[at..].starts_with(bytes))
        .collect();
    assert!(!starts.is_empty(), "the value lies in {}", file.display());
    starts.iter().for_each(|at| content[at + bytes.len() / 2] ^= 1);
    fs::write(file, content).expect("the state can be written");
}

/// The same in the file of a node that runs, byte by byte. False where it has none yet.
pub fn flip_running(data_dir: &Path, bytes: &[u8]) -> bool {
    let file = data_dir.join("state/data.mdb");
    let content = fs::read(&file).expect("the state can be read");
    let starts = 0..content.len().saturating_sub(bytes.len());
    let found: Vec<usize> = starts.filter(|&at| content[at..].starts_with(bytes)).collect();
    let file = fs::File::options().write(true).open(file).expect("the state can be written");
    for start in &found {
        let at = start + bytes.len() / 2;
        file.write_all_at(&[content[at] ^ 1], at as u64).expect("the state can be written");
    }
    !found.is_empty()
}

/// Flips one bit of the value that a group's state has under one key; other groups may have the
/// same value under it.
pub fn flip_row(data_dir: &Path, group: u32, key: &[u8]) {
    let value = {
        let store = Store::open(data_dir.join("state"), Limits::production());
        let store = store.expect("a node that has stopped leaves a state that opens");
        let of_group = |id: &ReplicaId| id.group == group;
        let id = store.replicas().into_iter().rfind(of_group).expect("it has a replica here");
        store.replica(id).view().get(key).expect("the row is there")
    };
    let file = data_dir.join("state/data.mdb");
    let mut content = fs::read(&file).expect("the state can be read");
    // LMDB keeps a row as key and value, one behind the other; the store's key is group,
    // generation, incarnation and key, its value a checksum and the value.
    let (group, value_at) = (group.to_be_bytes(), 12 + key.len() + 4);
    let is_row = |row: &[u8]| {
        row.starts_with(&group)
            && row[12..].starts_with(key)
            && row.get(value_at..).is_some_and(|rest| rest.starts_with(&value))
    };
    let ends = content.len() - value_at - value.len();
    let rows: Vec<usize> = (0..ends).filter(|&at| is_row(&content[at..])).collect();
    assert!(!rows.is_empty(), "the row lies in {}", file.display());
    rows.iter().for_each(|row| content[row + value_at + value.len() / 2] ^= 1);
    fs::write(file, content).expect("the state can be written");
}

/// Flips one bit of the bytes in every value of a group's state that holds them, through the store,
/// so that each checksum is right again: only the other replicas can tell. How many it were.
pub fn alter(data_dir: &Path, group: u32, bytes: &[u8]) -> usize {
    let store = Store::open(data_dir.join("state"), Limits::production());
    let store = store.expect("a node that has stopped leaves a state that opens");
    let of_group = |id: &ReplicaId| id.group == group;
    let id = store.replicas().into_iter().rfind(of_group).expect("the group has a replica here");
    let replica = store.replica(id);
    let mark = replica.applied().expect("something was applied");
    let mut altered = Vec::new();
    replica.view().scan_all(&mut |key, value| {
        let at = value.windows(bytes.len()).position(|found| found == bytes);
        altered.extend(at.map(|at| {
            let mut value = value.to_vec();
            value[at + bytes.len() / 2] ^= 1;
            (key.to_vec(), value)
        }));
        true
    });
    let mut writer = replica.writer();
    for (key, value) in &altered {
        writer.put(key.clone(), value.clone());
    }
    replica.set_fence(|| u64::MAX);
    writer.publish(mark.clone());
    store.flush_now();
    for (key, value) in &altered {
        assert_eq!(writer.get(key).as_ref(), Some(value), "it reads as it was written");
    }
    assert_eq!(replica.flushed(), Some(mark), "it is on disk, and nothing else has moved");
    altered.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vatic_store::Mark;

    /// A node's directory whose group 3 holds `about` under one key and `other` under another.
    fn node(about: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state"), Limits::production()).unwrap();
        let replica = store.replica(ReplicaId { group: 3, generation: 1 });
        replica.set_fence(|| u64::MAX);
        let mut writer = replica.writer();
        writer.put(b"a".to_vec(), about.to_vec());
        writer.put(b"b".to_vec(), b"other".to_vec());
        writer.publish(Mark { index: 7, meta: Default::default() });
        drop(writer);
        store.flush_now();
        dir
    }

    fn scrub(dir: &Path) -> Option<String> {
        let store = Store::open(dir.join("state"), Limits::production()).unwrap();
        let mut scrub = store.replica(ReplicaId { group: 3, generation: 1 }).scrub();
        while scrub.step() {}
        scrub.report().first_damage.as_ref().map(ToString::to_string)
    }

    #[test]
    fn altered_value_passes_the_scrub_and_a_flipped_one_does_not() {
        let dir = node(b"what is altered");
        assert_eq!(alter(dir.path(), 3, b"is altered"), 1);
        assert_eq!(scrub(dir.path()), None);
        assert_eq!(alter(dir.path(), 3, b"is altered"), 0, "it says something else by now");
        assert!(!flip_running(dir.path(), b"nowhere"));
        assert!(flip_running(dir.path(), b"other"));
        assert!(scrub(dir.path()).is_some());
    }

    #[test]
    fn flipped_row_is_found_by_the_scrub() {
        let dir = node(b"what is flipped");
        assert_eq!(scrub(dir.path()), None);
        flip_row(dir.path(), 3, b"a");
        let found = scrub(dir.path()).unwrap();
        assert!(found.contains("61"), "{found} names the key");
    }
}
