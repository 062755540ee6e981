//! Every ticket that was put into a queue happens, and happens once.

use super::at;
use crate::{
    history::History,
    violation::{Check, Violation},
};
use std::collections::BTreeMap;
use vatic_core::{
    codec,
    delta::{Delta, Op},
    id::Tid,
    key::Key,
    ticket::{Entry, Resolved, Ticket},
};

/// Who put a ticket into its queue, and who resolved it.
#[derive(Default)]
struct Life {
    enqueued: Vec<Tid>,
    resolved: Vec<Tid>,
    /// What it stands for, and whether each who resolved it did that.
    deltas: Vec<Vec<u8>>,
    did_it: bool,
}

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut lives: BTreeMap<Ticket, Life> = BTreeMap::new();
    // In the order of their commits: a ticket is queued before it is resolved.
    for (_, attempt) in history.committed() {
        for delta in &attempt.deltas {
            let Ok(Delta { key, op: Op::Put(fields) }) = codec::decode::<Delta>(delta) else {
                continue;
            };
            let (ticket, tid) = (Ticket::at(&key), attempt.body.tid);
            if is(&key, &ticket.queued_key()) {
                let life = lives.entry(ticket).or_default();
                life.enqueued.push(tid);
                life.deltas = Entry::read(&fields).map(|entry| entry.deltas).unwrap_or_default();
                life.did_it = true;
            } else if is(&key, &ticket.resolved_key()) && Resolved::read(&fields).is_some() {
                let life = lives.entry(ticket).or_default();
                life.resolved.push(tid);
                life.did_it &= attempt.deltas.starts_with(&life.deltas);
            }
        }
    }
    let sound = |life: &Life| life.enqueued.len() == 1 && life.resolved.len() == 1 && life.did_it;
    let wrong = lives.iter().filter(|(_, life)| !sound(life));
    wrong
        .map(|(ticket, Life { enqueued, resolved, did_it, .. })| {
            let done = if *did_it { "" } else { ", not as it was meant" };
            let detail = format!("{ticket} was queued by {enqueued:?}, resolved by {resolved:?}");
            at(Check::Tickets, detail + done)
        })
        .collect()
}

fn is(key: &Key, of_a_ticket: &Key) -> bool {
    key == of_a_ticket && !key.sort.is_empty()
}
