//! A few groups without a cluster around them, for tests of what happens between groups.

use crate::{
    codec,
    command::{Applied, Command, Vote},
    delta::{Delta, Op},
    draft::Draft,
    group::Group,
    hash::Hash,
    id::{GroupId, Timestamp},
    key::Key,
    limits::Limits,
    memory::MemoryState,
    ring::{Ring, RingSpec},
    rules::Rules,
    value::Fields,
};
use alloc::{collections::BTreeMap, format, vec::Vec};

#[derive(Clone)]
pub(crate) struct Groups {
    pub(crate) ring: Ring,
    pub(crate) groups: BTreeMap<GroupId, (Group, MemoryState)>,
}

impl Groups {
    pub(crate) fn new(count: u32) -> Groups {
        Groups::with_rules(count, Rules::default())
    }

    pub(crate) fn with_rules(count: u32, rules: Rules) -> Groups {
        let groups: Vec<GroupId> = (1..=count).map(GroupId).collect();
        let open = |&id: &GroupId| {
            let state = MemoryState::default();
            (id, (Group::open(id, &state, rules), state))
        };
        let opened = groups.iter().map(open).collect();
        let ring = Ring::new(RingSpec { epoch: 1, virtual_nodes: 16, groups });
        Groups { ring, groups: opened }
    }

    /// A key that the group owns.
    pub(crate) fn key_in(&self, group: GroupId) -> Key {
        (0..)
            .map(|n| Key::new("account", &format!("p{n}"), "").expect("valid"))
            .find(|key| self.ring.group_of(&key.partition) == Some(group))
            .expect("the ring covers all groups")
    }

    pub(crate) fn draft(&self, nonce: u64) -> Draft {
        let seed = Hash([nonce as u8; 32]);
        Draft::begin(self.ring.clone(), Limits::simulation(), Timestamp(nonce), nonce, seed)
    }

    /// Commits each delta of the group as a transaction of its own, in one entry.
    pub(crate) fn commit(&mut self, group: GroupId, first: u64, deltas: &[Vec<u8>]) {
        let votes = (first..).zip(deltas).map(|(nonce, delta)| {
            let mut draft = self.draft(nonce);
            draft.push(delta.clone(), None, None).expect("a sound delta");
            let (body, mut parts) = draft.finish().expect("it has a delta");
            Command::Vote(Vote { body, part: parts.remove(0), hint: Timestamp::ZERO }.into())
        });
        let votes: Vec<Command> = votes.collect();
        self.apply(group, &votes);
    }

    /// Applies one entry with these commands.
    pub(crate) fn apply(&mut self, group: GroupId, commands: &[Command]) -> Vec<Applied> {
        let (machine, state) = self.groups.get_mut(&group).expect("a known group");
        let bytes: Vec<Vec<u8>> = commands.iter().map(codec::encode).collect();
        let index = machine.chain().index + 1;
        let (mut follower, mut followed) = (machine.clone(), state.clone());
        let applied = machine.apply_entry(state, index, bytes.iter().map(Vec::as_slice));
        let applied = applied.expect("no contradiction");
        let follows = follower.follow_entry(&mut followed, index, bytes.iter().map(Vec::as_slice));
        follows.expect("no contradiction");
        assert!((&follower, &followed) == (machine, state), "a follower does what the leader does");
        crate::invariant::check(machine, state).expect("invariants hold");
        applied
    }
}

pub(crate) fn put(key: &Key, n: i64) -> Vec<u8> {
    let op = Op::Put(Fields::from([("n".into(), n.into())]));
    codec::encode(&Delta { key: key.clone(), op })
}
