//! SmallBank over vatic's records: customers with a checking and a savings account, and a ledger.
//!
//! Source of the workload: Alomari et al., "The Cost of Serializability on Platforms That Use
//! Snapshot Isolation", ICDE 2008. What is ours: each customer's `ledger` record counts, in the
//! same transaction, the money that came from or went outside (`flow`) and the transactions that
//! wrote (`writes`). So at every moment
//!
//! > sum of `checking.balance` + sum of `savings.balance` = sum of `ledger.flow`
//!
//! exactly, and every record is the sum of the additions that were acknowledged: lost or doubled
//! commits show even where they preserve the total.

use vatic_client::{ClientError, Transaction};
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_core::value::{Fields, Value};

use super::limits::{OPENING_CENTS, PENALTY_CENTS};

pub(crate) const CHECKING: &str = "checking";
pub(crate) const SAVINGS: &str = "savings";
pub(crate) const LEDGER: &str = "ledger";
pub(crate) const BALANCE: &str = "balance";
pub(crate) const FLOW: &str = "flow";
pub(crate) const WRITES: &str = "writes";

/// One transaction to run, its parties and its amount in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deal {
    Balance { of: u32 },
    DepositChecking { to: u32, cents: i64 },
    TransactSavings { of: u32, cents: i64 },
    Amalgamate { from: u32, to: u32 },
    WriteCheck { of: u32, cents: i64 },
    SendPayment { from: u32, to: u32, cents: i64 },
}

/// A customer's record in one of the collections. The customer is the partition, so what is one
/// customer's is in one group.
pub(crate) fn key(collection: &str, customer: u32) -> Key {
    Key {
        collection: collection.to_owned(),
        partition: format!("c{customer:05}"),
        sort: String::new(),
    }
}

/// Opens a customer's accounts; what they hold came from outside.
pub(crate) fn opening(customer: u32) -> Vec<Delta> {
    let put = |collection, fields: &[(&str, i64)]| Delta {
        key: key(collection, customer),
        op: Op::Put(fields.iter().map(|(name, n)| (name.to_string(), Value::from(*n))).collect()),
    };
    vec![
        put(CHECKING, &[(BALANCE, OPENING_CENTS)]),
        put(SAVINGS, &[(BALANCE, OPENING_CENTS)]),
        put(LEDGER, &[(FLOW, 2 * OPENING_CENTS), (WRITES, 0)]),
    ]
}

impl Deal {
    /// Whether it writes at all.
    pub(crate) fn writes(self) -> bool {
        !matches!(self, Deal::Balance { .. })
    }

    /// Runs it. Errors: what the cluster says, or that the money does not suffice.
    pub(crate) async fn play(self, txn: Transaction) -> Result<(), ClientError> {
        match self {
            Deal::Balance { of } => {
                balances(&txn, &[key(CHECKING, of), key(SAVINGS, of)]).await?;
                Ok(())
            }
            Deal::DepositChecking { to, cents } => {
                txn.add(&key(CHECKING, to), BALANCE, cents).await?;
                book(&txn, to, cents).await
            }
            Deal::TransactSavings { of, cents } => {
                let savings = key(SAVINGS, of);
                let held = balances(&txn, std::slice::from_ref(&savings)).await?[0];
                if held + cents < 0 {
                    return Err(insufficient());
                }
                txn.add(&savings, BALANCE, cents).await?;
                book(&txn, of, cents).await
            }
            Deal::Amalgamate { from, to } => amalgamate(&txn, from, to).await,
            Deal::WriteCheck { of, cents } => write_check(&txn, of, cents).await,
            Deal::SendPayment { from, to, cents } => send_payment(&txn, from, to, cents).await,
        }
    }
}

/// Moves all that one customer has into the other's checking account.
async fn amalgamate(txn: &Transaction, from: u32, to: u32) -> Result<(), ClientError> {
    let (savings, checking) = (key(SAVINGS, from), key(CHECKING, from));
    let held = balances(txn, &[savings.clone(), checking.clone()]).await?;
    let [saved, current] = held[..] else { unreachable!("two were asked for") };
    txn.add(&savings, BALANCE, -saved).await?;
    txn.add(&checking, BALANCE, -current).await?;
    txn.add(&key(CHECKING, to), BALANCE, saved + current).await?;
    book(txn, from, 0).await?;
    book(txn, to, 0).await
}

/// Cashes a check; an overdrawn one costs a penalty and may take the account below zero.
async fn write_check(txn: &Transaction, of: u32, cents: i64) -> Result<(), ClientError> {
    let checking = key(CHECKING, of);
    let held = balances(txn, &[checking.clone(), key(SAVINGS, of)]).await?;
    let penalty = if held.iter().sum::<i64>() < cents { PENALTY_CENTS } else { 0 };
    txn.add(&checking, BALANCE, -(cents + penalty)).await?;
    book(txn, of, -(cents + penalty)).await
}

async fn send_payment(
    txn: &Transaction,
    from: u32,
    to: u32,
    cents: i64,
) -> Result<(), ClientError> {
    let checking = key(CHECKING, from);
    if balances(txn, std::slice::from_ref(&checking)).await?[0] < cents {
        return Err(insufficient());
    }
    txn.add(&checking, BALANCE, -cents).await?;
    txn.add(&key(CHECKING, to), BALANCE, cents).await?;
    book(txn, from, 0).await?;
    book(txn, to, 0).await
}

async fn balances(txn: &Transaction, keys: &[Key]) -> Result<Vec<i64>, ClientError> {
    let records = txn.read_many(keys).await?;
    let balance = |(key, record): (&Key, Option<vatic_client::Record>)| {
        let fields = record.map(|record| record.fields);
        integer(fields.as_ref(), BALANCE)
            .ok_or_else(|| ClientError::caller(format!("{key} has no balance")))
    };
    keys.iter().zip(records).map(balance).collect()
}

/// Books a write with the customer, and what came from outside.
async fn book(txn: &Transaction, customer: u32, flow: i64) -> Result<(), ClientError> {
    let ledger = key(LEDGER, customer);
    if flow != 0 {
        txn.add(&ledger, FLOW, flow).await?;
    }
    txn.add(&ledger, WRITES, 1).await
}

fn insufficient() -> ClientError {
    ClientError::caller("insufficient funds")
}

/// An integer field of a record, if it is there.
pub(crate) fn integer(fields: Option<&Fields>, field: &str) -> Option<i64> {
    fields?.get(field)?.as_i64()
}
