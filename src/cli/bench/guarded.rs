//! Optimistic transactions: read, compute, and commit only if what was read still stands.
//!
//! Why not a stream: reads and the commit are one message each way. The `expect` of each version
//! makes the vote refuse what was read and has changed, which is all that a stream's reads do.

use vatic_client::{Claim, ClientError, Intent, Peeked, Pipeline};
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Timestamp;
use vatic_core::key::Key;
use vatic_core::value::{Fields, Value};

use super::limits::WAIT_MS;
use crate::demo::{self, Deal};

/// What a transaction read.
pub(crate) struct Seen {
    pub(crate) keys: Vec<Key>,
    pub(crate) found: Vec<Peeked>,
}

impl Seen {
    /// Reads, whoever else does.
    pub(crate) async fn at_once(pipeline: &Pipeline, keys: Vec<Key>) -> Result<Seen, ClientError> {
        let peeks = keys.iter().map(|key| pipeline.peek(key));
        let found = futures::future::try_join_all(peeks).await?;
        Ok(Seen { keys, found })
    }

    /// Reads if nobody else means to write any of it; `None`, and nothing taken, where somebody
    /// does.
    pub(crate) async fn if_free(
        pipeline: &Pipeline,
        keys: Vec<Key>,
        intent: Intent,
    ) -> Result<Option<Seen>, ClientError> {
        let peeks = keys.iter().map(|key| pipeline.peek_for(key, intent));
        let seen = Seen { found: futures::future::try_join_all(peeks).await?, keys };
        if seen.found.iter().all(|peeked| !peeked.pending) {
            return Ok(Some(seen));
        }
        seen.give_back(pipeline, intent).await;
        Ok(None)
    }

    /// Reads for a transaction that will write some of it, all in its turn: one record after the
    /// other, in the order of their keys, so that no two wait for each other.
    pub(crate) async fn in_turn(
        pipeline: &Pipeline,
        keys: Vec<Key>,
        intent: Intent,
    ) -> Result<Seen, ClientError> {
        let all = (0..keys.len()).collect();
        let unread = Peeked { record: None, pending: true, advice: None };
        let found = vec![unread; keys.len()];
        Seen { keys, found }.take_turns(pipeline, all, intent).await
    }

    /// Reads all at once, and again in its turn what the leaders advise to.
    pub(crate) async fn as_advised(
        pipeline: &Pipeline,
        keys: Vec<Key>,
        intent: Intent,
        by_hotness: bool,
    ) -> Result<Seen, ClientError> {
        let claim = Claim { token: intent.token, by_hotness };
        let peeks = keys.iter().map(|key| pipeline.peek_claiming(key, claim));
        let found = futures::future::try_join_all(peeks).await?;
        let advised = |at: &usize| found[*at].advice.is_some_and(|advice| advice.in_turn);
        let advised = (0..keys.len()).filter(advised).collect();
        Seen { keys, found }.take_turns(pipeline, advised, intent).await
    }

    async fn take_turns(
        mut self,
        pipeline: &Pipeline,
        mut places: Vec<usize>,
        intent: Intent,
    ) -> Result<Seen, ClientError> {
        places.sort_by_key(|&at| &self.keys[at]);
        for (turns, at) in (0..).zip(places) {
            let intent = Intent { turns, ..intent };
            // Pending after the wait: it goes on all the same, and its vote tells.
            self.found[at] = pipeline.peek_in_turn(&self.keys[at], intent, WAIT_MS).await?;
        }
        Ok(self)
    }

    /// Reads once nobody is about to write any of it.
    pub(crate) async fn when_free(
        pipeline: &Pipeline,
        keys: Vec<Key>,
    ) -> Result<Seen, ClientError> {
        let peeks = keys.iter().map(|key| pipeline.peek_when_free(key, WAIT_MS));
        let found = futures::future::try_join_all(peeks).await?;
        Ok(Seen { keys, found })
    }

    /// Gives back the turns that were taken. One that is lost on the way ends by itself.
    async fn give_back(&self, pipeline: &Pipeline, intent: Intent) {
        let back = Intent { hold_ms: 0, ..intent };
        let taken = self.keys.iter().zip(&self.found).filter(|(_, peeked)| !peeked.pending);
        futures::future::join_all(taken.map(|(key, _)| pipeline.peek_for(key, back))).await;
    }

    /// Rolls back unless all of it still stands.
    pub(crate) fn guards(&self) -> Vec<Delta> {
        let guard = |(key, found): (&Key, &Peeked)| {
            let version = found.record.as_ref().map_or(Timestamp::ZERO, |record| record.version);
            Delta { key: key.clone(), op: Op::Expect(Expect::Version(version)) }
        };
        self.keys.iter().zip(&self.found).map(guard).collect()
    }

    /// A field of the record at a place; 0 where there is none.
    pub(crate) fn integer(&self, at: usize, field: &str) -> i64 {
        let fields: Option<&Fields> = self.found[at].record.as_ref().map(|record| &record.fields);
        demo::integer(fields, field).unwrap_or(0)
    }

    fn balance(&self, at: usize) -> i64 {
        self.integer(at, demo::BALANCE)
    }
}

/// What a bank transaction reads.
pub(crate) fn reads(deal: Deal) -> Vec<Key> {
    let (checking, savings) = (|c| demo::key(demo::CHECKING, c), |c| demo::key(demo::SAVINGS, c));
    match deal {
        Deal::Balance { of } | Deal::WriteCheck { of, .. } => vec![checking(of), savings(of)],
        Deal::DepositChecking { .. } => vec![],
        Deal::TransactSavings { of, .. } => vec![savings(of)],
        Deal::Amalgamate { from, .. } => vec![savings(from), checking(from)],
        Deal::SendPayment { from, .. } => vec![checking(from)],
    }
}

/// All that a bank transaction reads or may write.
pub(crate) fn touched(deal: Deal) -> Vec<Key> {
    let accounts = |customer| {
        [demo::CHECKING, demo::SAVINGS, demo::LEDGER].map(|kind| demo::key(kind, customer))
    };
    match deal {
        Deal::Balance { of }
        | Deal::DepositChecking { to: of, .. }
        | Deal::TransactSavings { of, .. }
        | Deal::WriteCheck { of, .. } => accounts(of).to_vec(),
        Deal::Amalgamate { from, to } | Deal::SendPayment { from, to, .. } => {
            [accounts(from), accounts(to)].concat()
        }
    }
}

/// What a bank transaction writes, beside its guards; `None` where the money does not suffice.
pub(crate) fn writes(deal: Deal, seen: &Seen) -> Option<Vec<Delta>> {
    Some(match deal {
        Deal::Balance { .. } => vec![],
        Deal::DepositChecking { to, cents } => booked(&[(demo::CHECKING, to, cents)], to, cents),
        Deal::TransactSavings { of, cents } => {
            if seen.balance(0) + cents < 0 {
                return None;
            }
            booked(&[(demo::SAVINGS, of, cents)], of, cents)
        }
        Deal::Amalgamate { from, to } => {
            let (savings, checking) = (seen.balance(0), seen.balance(1));
            let moved = [
                (demo::SAVINGS, from, -savings),
                (demo::CHECKING, from, -checking),
                (demo::CHECKING, to, savings + checking),
            ];
            [booked(&moved, from, 0), booked(&[], to, 0)].concat()
        }
        Deal::WriteCheck { of, cents } => {
            let covered = seen.balance(0) + seen.balance(1) >= cents;
            let taken = if covered { cents } else { cents + demo::PENALTY_CENTS };
            booked(&[(demo::CHECKING, of, -taken)], of, -taken)
        }
        Deal::SendPayment { from, to, cents } => {
            if seen.balance(0) < cents {
                return None;
            }
            let moved = [(demo::CHECKING, from, -cents), (demo::CHECKING, to, cents)];
            [booked(&moved, from, 0), booked(&[], to, 0)].concat()
        }
    })
}

/// Additions to balances, and the customer's ledger.
fn booked(moved: &[(&str, u32, i64)], customer: u32, flow: i64) -> Vec<Delta> {
    let add = |key, field: &str, by| Delta { key, op: Op::Add { field: field.to_owned(), by } };
    let ledger = demo::key(demo::LEDGER, customer);
    let moves = moved.iter().map(|&(collection, customer, cents)| {
        add(demo::key(collection, customer), demo::BALANCE, cents)
    });
    let mut deltas: Vec<Delta> = moves.collect();
    if flow != 0 {
        deltas.push(add(ledger.clone(), demo::FLOW, flow));
    }
    deltas.push(add(ledger, demo::WRITES, 1));
    deltas
}

/// The write of one record.
pub(crate) fn put(key: Key, fields: Fields) -> Delta {
    Delta { key, op: Op::Put(fields) }
}

/// The write of one field.
pub(crate) fn merge(key: Key, (name, value): (String, Value)) -> Delta {
    Delta { key, op: Op::Merge(Fields::from([(name, value)])) }
}
