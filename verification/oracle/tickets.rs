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
    ticket::{Resolved, Ticket},
};

/// Who put a ticket into its queue, and who resolved it.
#[derive(Default)]
struct Life {
    enqueued: Vec<Tid>,
    resolved: Vec<Tid>,
}

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut lives: BTreeMap<Ticket, Life> = BTreeMap::new();
    for (_, attempt) in history.committed() {
        for delta in &attempt.deltas {
            let Ok(Delta { key, op: Op::Put(fields) }) = codec::decode::<Delta>(delta) else {
                continue;
            };
            let (ticket, tid) = (Ticket::at(&key), attempt.body.tid);
            if is(&key, &ticket.queued_key()) {
                lives.entry(ticket).or_default().enqueued.push(tid);
            } else if is(&key, &ticket.resolved_key()) && Resolved::read(&fields).is_some() {
                lives.entry(ticket).or_default().resolved.push(tid);
            }
        }
    }
    let sound = |life: &Life| life.enqueued.len() == 1 && life.resolved.len() == 1;
    let wrong = lives.iter().filter(|(_, life)| !sound(life));
    wrong
        .map(|(ticket, Life { enqueued, resolved })| {
            let detail = format!("{ticket} was queued by {enqueued:?}, resolved by {resolved:?}");
            at(Check::Tickets, detail)
        })
        .collect()
}

fn is(key: &Key, of_a_ticket: &Key) -> bool {
    key == of_a_ticket && !key.sort.is_empty()
}
