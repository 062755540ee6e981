//! What is collected in several steps.

use crate::{
    codec,
    command::Command,
    delta::{Delta, Op},
    fixture_test::{Groups, put},
    id::{GroupId, Timestamp},
    key::Key,
    state::Read,
    tables,
};
use alloc::{format, vec::Vec};

const ONE: GroupId = GroupId(1);
/// So many that one entry makes several rows of garbage.
const RECORDS: u64 = 100;

/// A tombstone went before the version that it hid, and a snapshot showed that one.
#[test]
fn no_version_outlives_the_tombstone_that_hides_it() {
    let mut groups = Groups::new(1);
    let named = |n| Key::new("account", "p", &format!("{n:04}")).unwrap();
    let overwritten = Key::new("account", "p", "overwritten").unwrap();
    let mut puts: Vec<Vec<u8>> = (0..RECORDS).map(|n| put(&named(n), 1)).collect();
    puts.push(put(&overwritten, 1));
    groups.commit(ONE, 1, &puts);
    let delete = |n| codec::encode(&Delta { key: named(n), op: Op::Delete });
    let deletes = (0..RECORDS).rev().map(delete);
    let second: Vec<Vec<u8>> = [put(&overwritten, 2)].into_iter().chain(deletes).collect();
    groups.commit(ONE, 1_000, &second);
    let horizon = groups.groups[&ONE].0.clock();
    let mut steps = 0;
    while groups.groups[&ONE].0.has_due(&groups.groups[&ONE].1, horizon) {
        groups.apply(ONE, &[Command::Collect { horizon, items_max: 1 }]);
        steps += 1;
        let state = &groups.groups[&ONE].1;
        for key in (0..RECORDS).map(named) {
            let (from, to) = tables::history_at(&key, Timestamp(u64::MAX));
            let mut older = 0;
            state.scan(&from, &to, &mut |_, _| {
                older += 1;
                true
            });
            assert!(older == 0 || state.get(&tables::latest(&key)).is_some(), "{key}");
        }
    }
    assert!(steps > 2, "all of it went in {steps} steps");
}
