//! What tickets do: each raises a counter of its own, and some touch records that others touch.

use crate::dispatch::model::Desk;
use std::collections::{BTreeMap, BTreeSet};
use vatic_core::{
    codec,
    delta::{Delta, Expect, Op},
    dispatch::Touched,
    key::Key,
    ticket::{Entry, Ticket},
};

impl Desk {
    pub(super) fn deltas(&self, at: usize, doomed: bool) -> Vec<Vec<u8>> {
        let raise = Op::Add { field: "value".to_owned(), by: 1 };
        let expect = doomed.then_some(Op::Expect(Expect::Present));
        let ops = expect.into_iter().chain([raise]);
        let own = ops.map(|op| codec::encode(&Delta { key: counter(at), op }));
        let shared = self.scenario.tickets[at].shared.iter().map(|name| {
            let key = Key::new("shared", name, "").expect("a plain key");
            codec::encode(&Delta { key, op: Op::Add { field: "value".to_owned(), by: 1 } })
        });
        own.chain(shared).collect()
    }

    /// The records that a ticket touches.
    pub(crate) fn records(&self, ticket: &Ticket) -> BTreeSet<Key> {
        let at = self.number(ticket);
        let deltas = self.deltas(at, self.scenario.tickets[at].doomed);
        Entry { deltas, priority: 0, principal: String::new() }.records()
    }

    /// The records on which a ticket that is under way would be met.
    pub(crate) fn held(&self, at: usize) -> BTreeSet<Key> {
        if self.scenario.at_home { BTreeSet::new() } else { self.records(&self.tickets[at]) }
    }

    /// What tickets touch, as if others of their records were of other groups, unless they are all
    /// at home.
    pub(crate) fn touched<'t>(
        &self,
        tickets: impl Iterator<Item = &'t Ticket>,
    ) -> BTreeMap<Ticket, Touched> {
        let at_home = self.scenario.at_home;
        let touched = |ticket: &Ticket| Touched { records: self.records(ticket), at_home };
        tickets.map(|ticket| (ticket.clone(), touched(ticket))).collect()
    }
}

pub(super) fn counter(at: usize) -> Key {
    Key::new("counted", &format!("t{at}"), "").expect("a plain key")
}
