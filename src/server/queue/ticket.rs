//! What a ticket is called, where it lies and what is in it.

use super::AGED_MS;
use std::{fmt, str::FromStr};
use vatic_core::{
    codec,
    delta::{Delta, Expect, Op},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    ring::Ring,
    value::{Fields, Scalar, Value},
};

const QUEUED: &str = "vatic-queue";
const RESOLVED: &str = "vatic-resolved";

const DELTAS: &str = "deltas";
const PRIORITY: &str = "priority";
const PRINCIPAL: &str = "principal";
const STATE: &str = "state";
const TRANSACTION: &str = "transaction_id";
const MESSAGE: &str = "message";
const PAUSED: &str = "paused";

/// Names a ticket: the partition that it lies in, when it was minted, and what tells it apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Ticket {
    partition: String,
    sort: String,
}

/// A transaction that waits.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    /// The encoded deltas, in their order.
    pub(super) deltas: Vec<Vec<u8>>,
    pub(super) priority: u8,
    pub(super) principal: String,
}

/// What became of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Resolved {
    Committed(Tid),
    RolledBack(String),
    Cancelled,
}

/// The partition of a group's tickets: the first of these names that the ring gives to the group.
pub(super) fn partition_of(ring: &Ring, group: GroupId) -> String {
    let names = (0u32..).map(|number| format!("q{number}"));
    let mut own = names.filter(|name| ring.group_of(name) == Some(group));
    own.next().expect("every group owns a part of the ring")
}

/// Where it is said that the queue is paused.
pub(super) fn control_key() -> Key {
    Key { collection: QUEUED.into(), partition: "control".into(), sort: String::new() }
}

pub(super) fn control_fields(paused: bool) -> Fields {
    Fields::from([(PAUSED.to_owned(), Value::One(Scalar::Bool(paused)))])
}

pub(super) fn is_paused(fields: Option<&Fields>) -> bool {
    let said = fields.and_then(|fields| fields.get(PAUSED));
    said == Some(&Value::One(Scalar::Bool(true)))
}

/// All that waits in a partition.
pub(super) fn queued_range(partition: &str) -> KeyRange {
    range(QUEUED, partition)
}

/// All that is resolved in a partition.
pub(super) fn resolved_range(partition: &str) -> KeyRange {
    range(RESOLVED, partition)
}

fn range(collection: &str, partition: &str) -> KeyRange {
    let (collection, partition) = (collection.to_owned(), partition.to_owned());
    KeyRange { collection, partition, from: String::new(), to: None }
}

impl Ticket {
    pub(super) fn new(partition: String, mint: Timestamp, nonce: u64) -> Ticket {
        Ticket { partition, sort: format!("{:016x}-{nonce:016x}", mint.0) }
    }

    /// The one that lies under a key of a range of tickets.
    pub(super) fn at(key: &Key) -> Ticket {
        Ticket { partition: key.partition.clone(), sort: key.sort.clone() }
    }

    pub(super) fn queued_key(&self) -> Key {
        self.key(QUEUED)
    }

    pub(super) fn resolved_key(&self) -> Key {
        self.key(RESOLVED)
    }

    /// Who goes first: the larger.
    pub(super) fn rank(&self, priority: u8, now: Timestamp) -> (bool, u8, std::cmp::Reverse<&str>) {
        let aged = self.mint().is_some_and(|mint| mint.plus_us(AGED_MS * 1_000) < now);
        (aged, if aged { 0 } else { priority }, std::cmp::Reverse(&self.sort))
    }

    fn mint(&self) -> Option<Timestamp> {
        let (mint, _) = self.sort.split_once('-')?;
        u64::from_str_radix(mint, 16).ok().map(Timestamp)
    }

    fn key(&self, collection: &str) -> Key {
        let (partition, sort) = (self.partition.clone(), self.sort.clone());
        Key { collection: collection.to_owned(), partition, sort }
    }

    /// What resolves it: the ticket as it was seen goes, the outcome comes.
    pub(super) fn resolving(&self, seen: Timestamp, outcome: &Resolved) -> [Delta; 3] {
        let at = |key, op| Delta { key, op };
        [
            at(self.queued_key(), Op::Expect(Expect::Version(seen))),
            at(self.queued_key(), Op::Delete),
            at(self.resolved_key(), Op::Put(outcome.fields())),
        ]
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.partition, self.sort)
    }
}

impl FromStr for Ticket {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Ticket, &'static str> {
        let parse = || {
            let (partition, sort) = text.split_once('-')?;
            let (mint, nonce) = sort.split_once('-')?;
            let number = |text: &str| u64::from_str_radix(text, 16).ok();
            let mint = Timestamp(number(mint)?);
            let ticket = Ticket::new(partition.to_owned(), mint, number(nonce)?);
            let numbered = partition.strip_prefix('q')?.parse::<u32>().is_ok();
            (numbered && ticket.sort == sort).then_some(ticket)
        };
        parse().ok_or("a ticket is as Enqueue named it: qN-MINT-NONCE")
    }
}

impl Entry {
    pub(super) fn fields(&self) -> Fields {
        Fields::from([
            (DELTAS.to_owned(), Value::One(Scalar::Bytes(codec::encode(&self.deltas)))),
            (PRIORITY.to_owned(), Value::One(Scalar::I64(i64::from(self.priority)))),
            (PRINCIPAL.to_owned(), Value::One(Scalar::String(self.principal.clone()))),
        ])
    }

    /// `None`: somebody else wrote it.
    pub(super) fn read(fields: &Fields) -> Option<Entry> {
        let Value::One(Scalar::Bytes(deltas)) = fields.get(DELTAS)? else { return None };
        let Value::One(Scalar::I64(priority)) = fields.get(PRIORITY)? else { return None };
        let Value::One(Scalar::String(principal)) = fields.get(PRINCIPAL)? else { return None };
        Some(Entry {
            deltas: codec::decode(deltas).ok()?,
            priority: u8::try_from(*priority).ok()?,
            principal: principal.clone(),
        })
    }
}

impl Resolved {
    fn fields(&self) -> Fields {
        let text = |text: &str| Value::One(Scalar::String(text.to_owned()));
        match self {
            Resolved::Committed(tid) => Fields::from([
                (STATE.to_owned(), text("committed")),
                (TRANSACTION.to_owned(), text(&tid.to_string())),
            ]),
            Resolved::RolledBack(message) => Fields::from([
                (STATE.to_owned(), text("rolled_back")),
                (MESSAGE.to_owned(), text(message)),
            ]),
            Resolved::Cancelled => Fields::from([(STATE.to_owned(), text("cancelled"))]),
        }
    }

    /// `None`: somebody else wrote it.
    pub(super) fn read(fields: &Fields) -> Option<Resolved> {
        let text = |name| match fields.get(name) {
            Some(Value::One(Scalar::String(text))) => Some(text.as_str()),
            _ => None,
        };
        match text(STATE)? {
            "committed" => Some(Resolved::Committed(text(TRANSACTION)?.parse().ok()?)),
            "rolled_back" => Some(Resolved::RolledBack(text(MESSAGE)?.to_owned())),
            "cancelled" => Some(Resolved::Cancelled),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(mint: u64, nonce: u64) -> Ticket {
        Ticket::new("q3".to_owned(), Timestamp(mint), nonce)
    }

    #[test]
    fn ticket_is_read_as_it_is_written_and_nothing_else_is() {
        let one = ticket(77, 5);
        assert_eq!(one.to_string().parse(), Ok(one.clone()));
        assert_eq!(Ticket::at(&one.queued_key()), one);
        for text in ["", "q3", "q3-1-2", "x3-000000000000004d-0000000000000005", "q3-4d-zz"] {
            assert!(text.parse::<Ticket>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_lies_in_a_ticket_is_read_as_it_was_written() {
        let entry = Entry { deltas: vec![vec![1, 2], vec![]], priority: 9, principal: "me".into() };
        assert_eq!(Entry::read(&entry.fields()), Some(entry));
        assert_eq!(Entry::read(&Fields::new()), None);
        let tid = Tid { mint: Timestamp(4), home: GroupId(2), nonce: 8 };
        let all =
            [Resolved::Committed(tid), Resolved::RolledBack("no".into()), Resolved::Cancelled];
        for resolved in all {
            assert_eq!(Resolved::read(&resolved.fields()), Some(resolved));
        }
    }

    #[test]
    fn higher_priority_goes_first_and_what_waited_long_before_all() {
        let now = Timestamp(AGED_MS * 1_000 + 100);
        let (old, young, younger) = (ticket(1, 1), ticket(500, 2), ticket(600, 3));
        assert!(young.rank(1, now) > younger.rank(1, now), "the older of one class");
        assert!(younger.rank(2, now) > young.rank(1, now));
        assert!(old.rank(0, now) > younger.rank(255, now));
    }
}
