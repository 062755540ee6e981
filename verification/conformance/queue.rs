//! A leader's part in its group's queue, as a machine of events and effects.

use super::play::Machine;
use std::collections::{BTreeMap, VecDeque};
use vatic_core::{
    dispatch::{Dispatch, DispatchLimits, Ended, Now, Touched},
    rules::Rules,
    ticket::Ticket,
};

/// What a leader knows of tickets, and those that it is to try.
pub(crate) struct Queue {
    dispatch: Dispatch,
    begun: VecDeque<Ticket>,
}

/// What a leader learns of tickets.
#[derive(Clone, Debug)]
pub(crate) enum QueueEvent {
    /// It has looked at all that waits, with priorities, and what each would touch.
    Looked { queued: Vec<(Ticket, u8)>, touched: BTreeMap<Ticket, Touched>, now: Now },
    /// An attempt has ended.
    Ended { ticket: Ticket, how: Ended, now: Now, drawn: u64 },
    /// It leads no more.
    Deposed,
}

impl Machine for Queue {
    type Beginning = DispatchLimits;
    type Event = QueueEvent;
    type Effect = Ticket;

    fn begin(limits: &DispatchLimits, rules: Rules) -> Queue {
        Queue { dispatch: Dispatch::new(*limits, rules), begun: VecDeque::new() }
    }

    fn handle(&mut self, event: QueueEvent) {
        match event {
            QueueEvent::Looked { queued, touched, now } => {
                self.dispatch.seen(queued.iter().map(|(ticket, _)| ticket), false);
                let begun = self.dispatch.begin(&queued, |ticket| &touched[ticket], false, now);
                self.begun.extend(begun);
            }
            QueueEvent::Ended { ticket, how, now, drawn } => {
                self.dispatch.ended(ticket, how, now, drawn);
            }
            QueueEvent::Deposed => self.dispatch.deposed(),
        }
    }

    fn poll(&mut self) -> Option<Ticket> {
        self.begun.pop_front()
    }
}
