//! The second pass of a strict read over several groups.

use crate::{
    body::KeyRead,
    codec,
    command::Command,
    delta::{Delta, Op},
    fixture_test::{Groups, put},
    id::{GroupId, Timestamp},
    key::Key,
};

const ONE: GroupId = GroupId(1);

fn stands(groups: &Groups, key: &Key, since: Timestamp) -> bool {
    let (group, state) = &groups.groups[&ONE];
    let absent = KeyRead { key: key.clone(), version: Timestamp::ZERO };
    group.still_stands(state, &[absent], &[], since).unwrap()
}

/// Once the tombstone was collected, what had come and gone stood.
#[test]
fn record_that_came_and_went_is_noticed_even_when_nothing_is_left_of_it() {
    let mut groups = Groups::new(1);
    let key = groups.key_in(ONE);
    let since = groups.groups[&ONE].0.clock();
    assert!(stands(&groups, &key, since));
    groups.commit(ONE, 1, &[put(&key, 1)]);
    let deleted = Delta { key: key.clone(), op: Op::Delete };
    groups.commit(ONE, 2, &[codec::encode(&deleted)]);
    assert!(!stands(&groups, &key, since), "its tombstone tells");
    let horizon = groups.groups[&ONE].0.clock();
    groups.apply(ONE, &[Command::Collect { horizon, items_max: 100 }]);
    assert!(!stands(&groups, &key, since), "there may have been one");
    assert!(stands(&groups, &key, horizon), "of what was read since, all is known");
}
