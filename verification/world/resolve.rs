//! Clients in doubt: a submitted transaction whose outcome did not arrive.
//!
//! A lost reply is unknown, not failed. With a request id the client may simply try again through
//! another gateway; without one it asks the home group, which knows, or can be made to know.

use super::{
    World,
    operation::{Flow, Operation, Task},
    transaction::Phase,
};
use crate::{
    event::{Learned, Query, Token},
    probe::Probe,
    sabotage::Sabotage,
};
use vatic_core::{
    aggregate::OutcomeRead,
    command::{Command, Standing},
    hash::Hash,
    id::Timestamp,
    receipt::Receipt,
};

impl World {
    pub(super) fn fall_in_doubt(&mut self, operation: &mut Operation) -> Flow {
        let Task::Transaction(held) = &mut operation.task else { return Flow::Over };
        let again = held.plan.request.is_some();
        held.phase = Phase::Doubting;
        self.hit(Probe::InDoubt);
        if let Some(node) = self.gateway() {
            operation.node = node;
        }
        if again && !self.healed && self.rng.chance(600) {
            return self.try_request_again(operation);
        }
        Flow::Moved
    }

    pub(super) fn ask_for_outcome(&mut self, operation: &mut Operation) -> Flow {
        let Task::Transaction(held) = &operation.task else { return Flow::Over };
        let tid = held.sealed.as_ref().expect("only what was sealed is in doubt").body.tid;
        self.query_leader(operation, tid.home, operation.step, Query::Outcome(tid));
        Flow::Waits
    }

    /// What the home group knows; where that is not an outcome, it is made to become one.
    pub(super) fn outcome_found(
        &mut self,
        operation: &mut Operation,
        OutcomeRead { standing, receipt, .. }: &OutcomeRead,
    ) -> Flow {
        let Task::Transaction(held) = &operation.task else { return Flow::Over };
        let sealed = held.sealed.clone().expect("only what was sealed is in doubt");
        let tid = sealed.body.tid;
        match standing {
            Standing::Decided(decision) | Standing::Stale(Some(decision)) => {
                let other =
                    receipt.as_ref().is_some_and(|kept| kept.body.digest() != sealed.digest);
                let unsure = held.plan.twin.is_some() && receipt.is_none();
                let learned = if other { Learned::RolledBack } else { Learned::of(decision) };
                if unsure && matches!(learned, Learned::Committed(_)) {
                    return Flow::Over;
                }
                self.doubt_ends(operation, learned, receipt.as_ref().filter(|_| !other))
            }
            Standing::No(_) => self.doubt_ends(operation, Learned::RolledBack, None),
            Standing::Stale(None) => Flow::Over,
            Standing::Yes { .. } => {
                self.have_recovered(operation.node, tid.home, tid);
                Flow::Waits
            }
            Standing::None => {
                let (body, participants) = (Some(sealed.digest), sealed.body.groups());
                let command = Command::Force { tid, body, participants };
                self.ask(operation.node, tid.home, command, Token::Nobody);
                Flow::Waits
            }
        }
    }

    fn doubt_ends(
        &mut self,
        operation: &mut Operation,
        learned: Learned,
        receipt: Option<&Receipt>,
    ) -> Flow {
        let committed = matches!(learned, Learned::Committed(_));
        self.hit(if committed { Probe::DoubtCommitted } else { Probe::DoubtRolledBack });
        self.learn(operation, learned);
        if let Some(receipt) = receipt {
            self.hit(Probe::ReceiptByOutcome);
            self.keep_receipt(operation, receipt.clone());
        }
        if committed { Flow::Over } else { self.try_request_again(operation) }
    }

    /// The client is told an outcome; what it was told first stands.
    pub(super) fn learn(&mut self, operation: &Operation, learned: Learned) {
        let Task::Transaction(held) = &operation.task else { return };
        let Some(sealed) = &held.sealed else { return };
        let now = self.now;
        let attempt = self.history.attempts.get_mut(&sealed.digest).expect("recorded when sealed");
        if let Learned::Committed(ts) = learned {
            self.trace.note(&[attempt.body.tid.nonce, ts.0]);
        }
        match &attempt.learned {
            None => attempt.learned = Some((now, learned)),
            Some((_, known)) if *known != learned => {
                let detail = format!("{:?} was told {known:?}, then {learned:?}", attempt.body.tid);
                self.violate(crate::violation::Check::Answers, detail);
            }
            Some(_) => {}
        }
    }

    pub(super) fn keep_receipt(&mut self, operation: &Operation, mut receipt: Receipt) {
        let Task::Transaction(held) = &operation.task else { return };
        let Some(sealed) = &held.sealed else { return };
        if self.sabotaged(Sabotage::AlteredReceipt) {
            receipt.body.seal.head = Hash::ZERO;
        }
        if self.sabotaged(Sabotage::MisplacedReceipt) {
            receipt.proofs[0].images = Hash::ZERO;
            receipt.ts =
                receipt.proofs.iter().map(|proof| proof.ts).max().unwrap_or(Timestamp::ZERO);
        }
        let attempt = self.history.attempts.get_mut(&sealed.digest).expect("recorded when sealed");
        attempt.receipts.push(receipt);
    }
}
