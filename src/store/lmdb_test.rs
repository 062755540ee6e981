//! How the environment is opened.

use super::*;
use heed::EnvFlags;

#[test]
fn environment_syncs_each_commit_and_writes_no_page_that_its_map_shows() {
    let dir = tempfile::tempdir().unwrap();
    let lmdb = Lmdb::open(dir.path(), &Limits::default()).unwrap();
    // No tests of processes that die can tell: what is not synced outlives them.
    let flags = lmdb.env.flags().unwrap().expect("heed knows them all");
    let weaker = EnvFlags::NO_SYNC
        | EnvFlags::NO_META_SYNC
        | EnvFlags::MAP_ASYNC
        | EnvFlags::WRITE_MAP
        | EnvFlags::NO_LOCK;
    assert_eq!(flags & weaker, EnvFlags::empty());
}
