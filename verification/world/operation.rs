//! Operations: what clients have under way, each at one gateway, step by step.
//!
//! An operation asks, waits, and asks again when a timer finds it where it was. Whatever only reads
//! may be abandoned; a transaction that was submitted may not, since its effect is in doubt.

use super::{
    World,
    onlooking::is_onlooker,
    reading::{Look, Multi, Snapshot},
    transaction::Transaction,
};
use crate::{
    event::{Event, Found, Message, Query, Token},
    limits,
};
use std::rc::Rc;
use vatic_core::{
    command::Applied,
    coordinator::Answer,
    id::{GroupId, Tid},
    receipt::Receipt,
};

pub(super) struct Operation {
    pub(super) id: u64,
    pub(super) client: usize,
    /// The gateway.
    pub(super) node: usize,
    pub(super) invoked_us: u64,
    /// Rises with each question; older timers and answers are void.
    pub(super) step: u32,
    pub(super) blocked_since: Option<u64>,
    pub(super) task: Task,
}

pub(super) enum Task {
    Transaction(Box<Transaction>),
    Look(Look),
    Multi(Box<Multi>),
    Snapshot(Box<Snapshot>),
}

/// What becomes of an operation after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// It waits for an answer or its timer.
    Waits,
    /// It has moved: ask what comes next at once.
    Moved,
    /// It is over.
    Over,
}

impl World {
    pub(super) fn next_operation(&mut self, client: usize) {
        if self.healed {
            return;
        }
        if is_onlooker(client) {
            return self.next_onlooking(client);
        }
        let Some(node) = self.gateway() else {
            return self.after(limits::RETRY_US, Event::NextOperation { client });
        };
        let id = self.fresh_id();
        let task = self.draw_task(client, node);
        self.begin_operation(id, client, node, task);
    }

    pub(super) fn begin_operation(&mut self, id: u64, client: usize, node: usize, task: Task) {
        let invoked_us = self.now;
        let operation =
            Operation { id, client, node, invoked_us, step: 0, blocked_since: None, task };
        self.conclude_step(operation, Flow::Moved);
    }

    /// A node that is up and not left out, for a client to turn to.
    pub(super) fn gateway(&mut self) -> Option<usize> {
        let first = self.rng.index(self.nodes.len());
        let nodes = self.nodes.len();
        let fit = |node: &usize| self.nodes[*node].up && !self.core.leaves_out(*node);
        (0..nodes).map(|at| (first + at) % nodes).find(fit)
    }

    pub(super) fn operation_timer(&mut self, id: u64, step: u32) {
        let Some(operation) = self.operations.get(&id).filter(|held| held.step == step) else {
            return;
        };
        let late = self.now - operation.invoked_us > limits::OPERATION_US && !self.healed;
        let harmless = match &operation.task {
            Task::Transaction(transaction) => !transaction.is_submitted(),
            _ => true,
        };
        let operation = self.operations.remove(&id).expect("just seen");
        let flow = if late && harmless { Flow::Over } else { Flow::Moved };
        self.conclude_step(operation, flow);
    }

    /// A replica answered a query.
    pub(super) fn found(&mut self, reply: Token, found: &Found) {
        let Token::Operation { operation, group, tag } = reply else { return };
        self.step_operation(operation, |world, operation| match &operation.task {
            Task::Transaction(_) => world.transaction_found(operation, tag, found),
            Task::Look(_) => world.look_found(operation, group, tag, found),
            Task::Multi(_) => world.multi_found(operation, group, tag, found),
            Task::Snapshot(_) => world.snapshot_found(operation, group, found),
        });
    }

    /// A proposal was applied.
    pub(super) fn applied(&mut self, reply: Token, applied: &Applied) {
        match reply {
            Token::Nobody => {}
            Token::Standing { coordinator, group, round } => {
                self.participant_answered(coordinator, group, round, applied);
            }
            Token::Decision { coordinator, group } => {
                self.participant_decided(coordinator, group, applied);
            }
            Token::Operation { operation, group, .. } => {
                self.step_operation(operation, |world, operation| {
                    world.transaction_staged(operation, group, applied)
                });
            }
        }
    }

    /// A coordinator's answer reached the gateway.
    pub(super) fn outcome(
        &mut self,
        operation: u64,
        tid: Tid,
        answer: &Answer,
        receipt: Option<&Receipt>,
    ) {
        self.step_operation(operation, |world, operation| {
            world.transaction_outcome(operation, tid, answer, receipt)
        });
    }

    /// A gateway died: what was submitted through it is in doubt, the rest never happened.
    pub(super) fn gateway_crashed(&mut self, node: usize) {
        let hit: Vec<u64> = self
            .operations
            .values()
            .filter(|operation| operation.node == node)
            .map(|operation| operation.id)
            .collect();
        self.forget_dispatchers(node);
        for id in hit {
            let attempt = self.is_attempt(id);
            self.step_operation(id, |world, operation| match &operation.task {
                Task::Transaction(transaction) if transaction.is_submitted() && !attempt => {
                    world.fall_in_doubt(operation)
                }
                _ => Flow::Over,
            });
        }
    }

    fn step_operation(&mut self, id: u64, step: impl FnOnce(&mut World, &mut Operation) -> Flow) {
        let Some(mut operation) = self.operations.remove(&id) else { return };
        let flow = step(self, &mut operation);
        self.conclude_step(operation, flow);
    }

    fn conclude_step(&mut self, mut operation: Operation, mut flow: Flow) {
        while flow == Flow::Moved {
            operation.step += 1;
            flow = self.pursue(&mut operation);
            if flow == Flow::Waits {
                let (operation, step) = (operation.id, operation.step);
                self.after(limits::RETRY_US, Event::OperationTimer { operation, step });
            }
        }
        match flow {
            Flow::Over if self.attempt_ended(operation.id) => {}
            Flow::Over => {
                let delay = self.rng.below(self.swarm.client.think_us + 1);
                self.after(delay, Event::NextOperation { client: operation.client });
            }
            _ => drop(self.operations.insert(operation.id, operation)),
        }
    }

    /// Asks whatever this operation needs next.
    fn pursue(&mut self, operation: &mut Operation) -> Flow {
        match operation.task {
            Task::Transaction(_) => self.pursue_transaction(operation),
            Task::Look(_) => self.pursue_look(operation),
            Task::Multi(_) => self.pursue_multi(operation),
            Task::Snapshot(_) => self.pursue_snapshot(operation),
        }
    }

    /// Sends a query for an operation to the group's leader.
    pub(super) fn query_leader(
        &mut self,
        operation: &Operation,
        group: GroupId,
        tag: u32,
        query: Query,
    ) {
        let at = self.group_at(group);
        let to = match is_onlooker(operation.client) && self.leads_at_home(operation.node, at) {
            true => operation.node,
            false => self.believed_leader(at),
        };
        self.query_node(operation, group, to, tag, query);
    }

    pub(super) fn query_node(
        &mut self,
        operation: &Operation,
        group: GroupId,
        to: usize,
        tag: u32,
        query: Query,
    ) {
        let reply = Token::Operation { operation: operation.id, group, tag };
        let (group, query) = (self.group_at(group), Rc::new(query));
        self.send(operation.node, to, Message::Query { group, query, reply });
    }

    /// An undecided write stands in the way: wait, and past the deadline have it recovered.
    pub(super) fn blocked(&mut self, operation: &mut Operation, group: GroupId, by: Tid) -> Flow {
        let since = *operation.blocked_since.get_or_insert(self.now);
        if self.now - since >= limits::BLOCKED_US {
            self.have_recovered(operation.node, group, by);
        }
        Flow::Waits
    }

    pub(super) fn have_recovered(&mut self, node: usize, group: GroupId, tid: Tid) {
        let group = self.group_at(group);
        let to = self.believed_leader(group);
        self.send(node, to, Message::Recover { group, tid });
    }
}
