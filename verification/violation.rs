//! What a check found, and the names of the checks.

use std::fmt;

/// A check of the simulator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Check {
    /// Replicas that applied the same entries hold the same bytes.
    Replicas,
    /// The core's own invariants.
    CoreInvariants,
    /// No group halted, and no assertion of the core failed.
    NoHalt,
    /// Votes and decisions of all groups agree.
    Agreement,
    /// What clients were told is what happened.
    Answers,
    /// Transactions and strict reads have one order that respects real time.
    StrictSerializability,
    /// The commit timestamps are such an order for transactions.
    CommitOrder,
    /// Snapshot reads are cuts.
    Snapshots,
    /// What was committed is there in the end, and nothing else.
    Durability,
    /// What is forgotten is gone.
    Leaks,
    /// Receipts verify, and lie in the groups' chains.
    Receipts,
    /// A request is done once at most.
    Requests,
    /// A ticket happens, and happens once.
    Tickets,
    /// Transfers keep the sum.
    Money,
    /// Altered transitions are refused.
    Tampering,
    /// Verdicts are enforced and folded.
    Validation,
    /// A batch of the history counts once.
    History,
    /// After healing, everything is decided.
    Progress,
    /// A term has one leader.
    Elections,
    /// A node starts on what is on its disk, and believes nothing that was not written.
    Disks,
    /// A seed means one run, in whatever process.
    Repeats,
}

impl Check {
    /// Every one, for tests.
    pub const ALL: [Check; 21] = [
        Check::Replicas,
        Check::CoreInvariants,
        Check::NoHalt,
        Check::Agreement,
        Check::Answers,
        Check::StrictSerializability,
        Check::CommitOrder,
        Check::Snapshots,
        Check::Durability,
        Check::Leaks,
        Check::Receipts,
        Check::Requests,
        Check::Tickets,
        Check::Money,
        Check::Tampering,
        Check::Validation,
        Check::History,
        Check::Progress,
        Check::Elections,
        Check::Disks,
        Check::Repeats,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Check::Replicas => "replicas",
            Check::CoreInvariants => "core_invariants",
            Check::NoHalt => "no_halt",
            Check::Agreement => "agreement",
            Check::Answers => "answers",
            Check::StrictSerializability => "strict_serializability",
            Check::CommitOrder => "commit_order",
            Check::Snapshots => "snapshots",
            Check::Durability => "durability",
            Check::Leaks => "leaks",
            Check::Receipts => "receipts",
            Check::Requests => "requests",
            Check::Tickets => "tickets",
            Check::Money => "money",
            Check::Tampering => "tampering",
            Check::Validation => "validation",
            Check::History => "history",
            Check::Progress => "progress",
            Check::Elections => "elections",
            Check::Disks => "disks",
            Check::Repeats => "repeats",
        }
    }
}

/// One failed check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which check.
    pub check: Check,
    /// What it saw.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check.name(), self.detail)
    }
}
