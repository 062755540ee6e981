//! Tickets: transactions that wait in the state, and happen once.
//!
//! A ticket is a record in the home group of its transaction. The transaction that resolves it
//! expects the ticket as it was seen and deletes it, beside its own deltas, and says what became of
//! it in another record. So it happens once, whoever leads and however often it is tried: a second
//! attempt loses its vote to the first.

use crate::{
    codec,
    delta::{Delta, Expect, Op},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    ring::Ring,
    rules::{Rules, broken},
    value::{Fields, Scalar, Value},
};
use alloc::{
    borrow::ToOwned,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

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
pub struct Ticket {
    partition: String,
    sort: String,
}

/// A transaction that waits.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The encoded deltas, in their order.
    pub deltas: Vec<Vec<u8>>,
    /// 0 to 255: the higher goes first.
    pub priority: u8,
    /// Whose it is.
    pub principal: String,
}

/// What became of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolved {
    /// It happened.
    Committed(Tid),
    /// It cannot happen, and why.
    RolledBack(String),
    /// It was taken back.
    Cancelled,
}

/// The partition of a group's tickets: the first of these names that the ring gives to the group.
pub fn partition_of(ring: &Ring, group: GroupId) -> String {
    let names = (0u32..).map(|number| format!("q{number}"));
    let mut own = names.filter(|name| ring.group_of(name) == Some(group));
    own.next().expect("every group owns a part of the ring")
}

/// Where it is said that the queue is paused.
pub fn control_key() -> Key {
    Key { collection: QUEUED.into(), partition: "control".into(), sort: String::new() }
}

/// What is said there.
pub fn control_fields(paused: bool) -> Fields {
    Fields::from([(PAUSED.to_owned(), Value::One(Scalar::Bool(paused)))])
}

/// Whether that says that it is.
pub fn is_paused(fields: Option<&Fields>) -> bool {
    let said = fields.and_then(|fields| fields.get(PAUSED));
    said == Some(&Value::One(Scalar::Bool(true)))
}

/// All that waits in a partition.
pub fn queued_range(partition: &str) -> KeyRange {
    range(QUEUED, partition)
}

/// All that is resolved in a partition.
pub fn resolved_range(partition: &str) -> KeyRange {
    range(RESOLVED, partition)
}

/// Whether a record is one of the queue's own.
pub fn is_own(key: &Key) -> bool {
    [QUEUED, RESOLVED].contains(&key.collection.as_str())
}

fn range(collection: &str, partition: &str) -> KeyRange {
    let (collection, partition) = (collection.to_owned(), partition.to_owned());
    KeyRange { collection, partition, from: String::new(), to: None }
}

impl Ticket {
    /// The ticket of this name.
    pub fn new(partition: String, mint: Timestamp, nonce: u64) -> Ticket {
        Ticket { partition, sort: format!("{:016x}-{nonce:016x}", mint.0) }
    }

    /// The one that lies under a key of a range of tickets.
    pub fn at(key: &Key) -> Ticket {
        Ticket { partition: key.partition.clone(), sort: key.sort.clone() }
    }

    /// Where it waits.
    pub fn queued_key(&self) -> Key {
        self.key(QUEUED)
    }

    /// Where it says what became of it.
    pub fn resolved_key(&self) -> Key {
        self.key(RESOLVED)
    }

    /// When it was minted.
    pub fn mint(&self) -> Option<Timestamp> {
        let (mint, _) = self.sort.split_once('-')?;
        u64::from_str_radix(mint, 16).ok().map(Timestamp)
    }

    fn key(&self, collection: &str) -> Key {
        let (partition, sort) = (self.partition.clone(), self.sort.clone());
        Key { collection: collection.to_owned(), partition, sort }
    }

    /// What resolves it, encoded: its own deltas happen, if they do, the ticket as it was seen
    /// goes, and the outcome comes. Its own first: a refusal numbers them as they were sent.
    pub fn resolving(
        &self,
        seen: Timestamp,
        deltas: &[Vec<u8>],
        outcome: &Resolved,
        rules: Rules,
    ) -> Vec<Vec<u8>> {
        let at = |key, op| codec::encode(&Delta { key, op });
        let expect = at(self.queued_key(), Op::Expect(Expect::Version(seen)));
        let expect = (!broken!(rules, TicketUnexpected)).then_some(expect);
        let delete = at(self.queued_key(), Op::Delete);
        let put = at(self.resolved_key(), Op::Put(outcome.fields()));
        deltas.iter().cloned().chain(expect).chain([delete, put]).collect()
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
    /// The records that it touches. What cannot be read is left out: its vote will say so.
    pub fn records(&self) -> BTreeSet<Key> {
        let deltas = self.deltas.iter().filter_map(|bytes| codec::decode::<Delta>(bytes).ok());
        deltas.map(|delta| delta.key).collect()
    }

    /// As a record.
    pub fn fields(&self) -> Fields {
        Fields::from([
            (DELTAS.to_owned(), Value::One(Scalar::Bytes(codec::encode(&self.deltas)))),
            (PRIORITY.to_owned(), Value::One(Scalar::I64(i64::from(self.priority)))),
            (PRINCIPAL.to_owned(), Value::One(Scalar::String(self.principal.clone()))),
        ])
    }

    /// `None`: somebody else wrote it.
    pub fn read(fields: &Fields) -> Option<Entry> {
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
    pub(crate) fn fields(&self) -> Fields {
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
    pub fn read(fields: &Fields) -> Option<Resolved> {
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
