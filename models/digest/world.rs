//! A state of the model.

use crate::{digest::forge::Forgery, digest::ledger::Ledger, shared::Shared};
use std::collections::{BTreeMap, BTreeSet};
use vatic_core::{
    body::Body,
    command::Command,
    coordinator::Coordinator,
    draft::Draft,
    receipt::{Position, Receipt},
};

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// The client's stream at its gateway.
    pub gateway: Gateway,
    /// The groups with their logs.
    pub ledgers: Vec<Shared<Ledger>>,
    /// The driver, then the recoverer.
    pub machines: [Slot; 2],
    /// Every command that was ever sent to a group: each may be proposed late, repeatedly or never.
    pub requests: Shared<BTreeSet<Request>>,
    /// Receipts that drivers gave out.
    pub receipts: BTreeSet<Shared<Issued>>,
}

/// The client's stream at its gateway.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Gateway {
    /// It takes transitions.
    Streaming(Shared<Draft>),
    /// It has sealed, or something that pretends to be it has.
    Sealed(Shared<Sealed>),
}

/// What went to the driver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sealed {
    /// The body.
    pub body: Body,
    /// The vote that each participant is asked for, by place.
    pub votes: BTreeMap<usize, Shared<Command>>,
    /// In what it differs from what the draft yields.
    pub forgery: Option<Forgery>,
}

/// A place for a coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    /// Not started.
    Idle,
    /// At work.
    Working(Shared<Coordinator>),
    /// An assertion failed in it.
    Failed(String),
}

/// Who sent a command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sender {
    /// The gateway, which stages.
    Gateway,
    /// Somebody who damages what the gateway stages.
    Forger,
    /// The transaction's driver or its recoverer, by place.
    Machine(usize),
    /// The other transaction.
    Rival,
}

/// A command on its way to a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Request {
    /// Who sent it.
    pub from: Sender,
    /// The group, by place.
    pub group: usize,
    /// The round of the question; none for what asks nothing.
    pub round: Option<u32>,
    /// The command.
    pub command: Shared<Command>,
}

/// A receipt that was given out, with what the client's verification makes of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Issued {
    /// The receipt.
    pub receipt: Receipt,
    /// Whether it verifies against what the client sent.
    pub accepted: bool,
    /// The chain positions that it claims; none where it has no shape.
    pub positions: Option<Vec<Position>>,
}

impl Slot {
    /// The coordinator, if it is at work.
    pub fn machine(&self) -> Option<&Shared<Coordinator>> {
        match self {
            Slot::Working(machine) => Some(machine),
            Slot::Idle | Slot::Failed(_) => None,
        }
    }
}
