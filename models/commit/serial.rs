//! The oracle: whether some serial order explains what clients saw.
//!
//! It knows nothing of votes, locks or clocks. It has its own three-line idea of a record, an
//! optional integer, and tries the orders that respect what must come before what. With the few
//! operations of a scenario trying all of them is cheap and leaves no room for cleverness.

/// A record, by its place in the scenario's list.
pub type KeyId = usize;

/// What was seen in some records; none is absence.
pub type Seen = Vec<(KeyId, Option<i64>)>;

/// What a transaction does to a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Write {
    /// Set it.
    Put(i64),
    /// Add to it; absent counts as 0.
    Add(i64),
    /// Remove it.
    Delete,
}

impl Write {
    fn on(self, value: Option<i64>) -> Option<i64> {
        match self {
            Write::Put(value) => Some(value),
            Write::Add(by) => Some(value.unwrap_or(0) + by),
            Write::Delete => None,
        }
    }
}

/// One operation of a history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Op {
    /// Operations that must come earlier, by bit.
    pub after: u32,
    /// Whether it took effect for certain; otherwise it may or may not have.
    pub required: bool,
    /// What it saw.
    pub reads: Seen,
    /// What it does.
    pub writes: Vec<(KeyId, Write)>,
}

/// Whether there is an order of all required and some other operations in which each sees what it
/// saw. An operation may only come after those that it must come after, as far as they are
/// required.
pub fn explains(ops: &[Op], keys: usize) -> bool {
    let required = mask(ops, |op| op.required);
    place(ops, required, 0, &vec![None; keys])
}

fn place(ops: &[Op], required: u32, placed: u32, records: &[Option<i64>]) -> bool {
    if placed & required == required {
        return true;
    }
    ops.iter().enumerate().any(|(at, op)| {
        let free = placed & (1 << at) == 0 && op.after & required & !placed == 0;
        let sees = || op.reads.iter().all(|&(key, value)| records[key] == value);
        free && sees() && {
            let mut records = records.to_vec();
            for &(key, write) in &op.writes {
                records[key] = write.on(records[key]);
            }
            place(ops, required, placed | (1 << at), &records)
        }
    })
}

fn mask(ops: &[Op], is: impl Fn(&Op) -> bool) -> u32 {
    ops.iter().enumerate().filter(|(_, op)| is(op)).map(|(at, _)| 1 << at).sum()
}
