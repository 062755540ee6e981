//! What the client sends, and the gateway's draft of it.

use crate::{
    commit::client::group_id,
    digest::{
        forge::{Forgery, forge},
        scenarios::Scenario,
        world::{Issued, Sealed},
    },
    shared::Shared,
};
use std::sync::Arc;
use vatic_core::{
    body::{Body, Part},
    chain::{self, Seal},
    codec,
    command::{Command, Vote},
    delta::{Delta, Op},
    draft::Draft,
    hash::Hash,
    id::Timestamp,
    key::Key,
    limits::Limits,
    read::Record,
    receipt::Receipt,
    ring::{Ring, RingSpec},
    value::{Fields, Scalar},
};

/// The field that each transition extends by its number, so that a record tells its own history.
pub const FIELD: &str = "sent";

/// What the client sends.
#[derive(Debug)]
pub struct Stream {
    /// The ring.
    pub ring: Arc<Ring>,
    /// The record that the client writes in each group, by place.
    pub keys: Vec<Key>,
    /// The record in the last group that the client reads first and the rival overwrites.
    pub watched: Key,
    /// The deltas' bytes, in order.
    pub deltas: Vec<Vec<u8>>,
    /// The chain after each.
    pub digests: Vec<Hash>,
    /// How the client ends it.
    pub seal: Seal,
    places: Vec<usize>,
}

impl Stream {
    /// The stream of a scenario.
    pub fn new(scenario: &Scenario) -> Stream {
        let ring = Arc::new(Ring::new(spec(scenario.groups)));
        let keys: Vec<Key> = (0..scenario.groups).map(|at| key_in(&ring, at, "a")).collect();
        let watched = key_in(&ring, scenario.groups - 1, "watched");
        let places = scenario.transitions.clone();
        let numbered = (1..).zip(&places);
        let deltas: Vec<_> = numbered.map(|(n, &at)| append(&keys[at], n)).collect();
        let seed = Hash([7; 32]);
        let mut digests = Vec::new();
        let mut head = seed;
        for (seq, delta) in (1..).zip(&deltas) {
            head = chain::link(&head, seq, delta);
            digests.push(head);
        }
        let seal = Seal { seed, count: deltas.len() as u64, head };
        Stream { ring, keys, watched, deltas, digests, seal, places }
    }

    /// A stream that has shown the client one record and taken nothing yet.
    pub fn begin(&self) -> Draft {
        let (limits, mint) = (Limits::production(), Timestamp(1));
        let mut draft = Draft::begin(self.ring.clone(), limits, mint, 1, self.seal.seed);
        draft.touch(&self.keys[self.places[0]]).expect("a plain key");
        let absent = Record { key: self.watched.clone(), version: Timestamp::ZERO, fields: None };
        draft.note_read(&absent).expect("read once");
        draft
    }

    /// A transition's bytes as they arrive.
    pub fn delta(&self, at: usize, damaged: bool) -> Vec<u8> {
        match damaged {
            false => self.deltas[at].clone(),
            true => append(&self.keys[self.places[at]], 9),
        }
    }

    /// What the sealed draft, or who pretends to be it, hands to the driver.
    pub fn seal(&self, draft: &Draft, forgery: Option<Forgery>) -> Option<Sealed> {
        let (mut body, mut parts) = draft.clone().finish().ok()?;
        if let Some(forgery) = forgery {
            forge(self, &mut body, &mut parts, forgery)?;
        }
        let vote = |part: Part| {
            let at = crate::commit::client::place_of(part.group);
            let vote = Vote { body: body.clone(), part, hint: Timestamp::ZERO };
            (at, Shared::new(Command::Vote(vote.into())))
        };
        let votes = parts.into_iter().map(vote).collect();
        Some(Sealed { body, votes, forgery })
    }

    /// The vote of a transaction of one group that overwrites what the client has read.
    pub fn rival(&self) -> Command {
        let (limits, mint) = (Limits::production(), Timestamp(2));
        let mut draft = Draft::begin(self.ring.clone(), limits, mint, 2, Hash([8; 32]));
        draft.push(append(&self.watched, 1), None, None).expect("a plain delta");
        let (body, mut parts): (Body, Vec<Part>) = draft.finish().expect("touched");
        let part = parts.remove(0);
        Command::Vote(Vote { body, part, hint: Timestamp::ZERO }.into())
    }

    /// A receipt with what the client's verification makes of it.
    pub fn issued(&self, receipt: Receipt) -> Shared<Issued> {
        let accepted = receipt.verify(self.deltas.iter().map(Vec::as_slice)).is_ok();
        let positions = receipt.positions().ok();
        Shared::new(Issued { receipt, accepted, positions })
    }

    /// The numbers that a group's record must hold once what was sent has committed there.
    pub fn history(&self, place: usize) -> Vec<i64> {
        let numbered = (1..).zip(&self.places);
        numbered.filter(|&(_, &at)| at == place).map(|(n, _)| n).collect()
    }
}

/// The ring of this many groups.
pub fn spec(groups: usize) -> RingSpec {
    RingSpec { epoch: 1, virtual_nodes: 16, groups: (0..groups).map(group_id).collect() }
}

/// A delta that extends a record's history by a number.
pub fn append(key: &Key, number: i64) -> Vec<u8> {
    let op = Op::Append { field: FIELD.into(), values: vec![Scalar::I64(number)] };
    codec::encode(&Delta { key: key.clone(), op })
}

/// The numbers in a record's history.
pub fn numbers(fields: Option<&Fields>) -> Vec<i64> {
    use vatic_core::value::Value;
    let Some(Value::List(values)) = fields.and_then(|fields| fields.get(FIELD)) else {
        return Vec::new();
    };
    let number = |scalar: &Scalar| match scalar {
        Scalar::I64(number) => *number,
        _ => -1,
    };
    values.iter().map(number).collect()
}

fn key_in(ring: &Ring, place: usize, sort: &str) -> Key {
    (0..)
        .map(|n| Key::new("account", &format!("p{n}"), sort).expect("a plain key"))
        .find(|key| ring.group_of(&key.partition) == Some(group_id(place)))
        .expect("the ring covers all groups")
}
