//! What must hold of every receipt, and what must be reachable.

use crate::{
    commit::client::place_of,
    digest::{
        model::{Scroll, sealed},
        stream::numbers,
        world::{Issued, Slot, World},
    },
    premise::Premise,
};
use stateright::Property;
use vatic_core::{
    command::{Decision, Standing},
    receipt::Proof,
};

/// To be violated, or the others could hold because nothing ever happens.
pub const NOTHING: &str = "no receipt is ever given out";
/// A receipt of what was sealed as it was sent convinces its client.
pub const ISSUED: &str = "every receipt of the stream as it was sent verifies";
/// A receipt that convinces the client says what became of what was sent.
pub const EXACT: &str =
    "what a verified receipt covers was applied: exactly what was sent, in order, once";
/// The positions that a receipt claims are those of the groups' own chains.
pub const PLACES: &str = "a receipt's positions lie on the groups' chains";
/// A receipt is of a commit.
pub const KEPT: &str = "no group rolls back what a receipt was given out for";
/// A receipt's reads were validated.
pub const FRESH: &str = "what was read still stood where a receipt says it was voted on";
/// Groups agree, the core's invariants and assertions hold.
pub const SOUND: &str = "groups agree and the core's invariants hold";

/// A kind of state that a scenario must reach.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// Its name.
    pub name: &'static str,
    /// Whether a state is one.
    pub shows: fn(&Scroll, &World) -> bool,
}

macro_rules! witnesses {
    ($($(#[$doc:meta])* $id:ident = $name:literal: $shows:expr;)*) => {
        $($(#[$doc])* pub const $id: Witness = Witness { name: $name, shows: $shows };)*
    };
}

witnesses! {
    /// The driver saw every proof.
    BY_DRIVER = "the driver gives out a receipt": |_, world| !world.receipts.is_empty();
    /// The record has every proof.
    BY_RECORD = "the home group's record yields a receipt":
        |_, world| world.ledgers.iter().any(|ledger| ledger.kept.is_some());
    /// The driver is gone and the record has every proof.
    RECOVERED = "a recoverer completes the record of what its driver left": |_, world| {
        let driver = world.machines[0].machine();
        let recoverer = world.machines[1].machine();
        let decided = |m: Option<&crate::shared::Shared<vatic_core::coordinator::Coordinator>>| {
            m.is_some_and(|machine| machine.decision().is_some())
        };
        let kept = world.ledgers.iter().any(|ledger| ledger.kept.is_some());
        kept && decided(recoverer) && !decided(driver)
    };
    /// No receipt comes of a rollback.
    ROLLED_BACK = "the transaction rolls back after a group voted Yes": |_, world| {
        let voted = |standing: &Standing| matches!(standing, Standing::Yes { .. });
        let ledgers = &world.ledgers;
        ledgers.iter().any(|ledger| rolled_back(&ledger.standing))
            && ledgers.iter().any(|ledger| voted(&ledger.standing))
    };
    /// A vote is in the log twice.
    REPEATED = "a group applies again what it has voted on": |_, world| {
        world.ledgers.iter().any(|ledger| {
            ledger.entries() > 1 && matches!(ledger.standing, Standing::Yes { .. })
        })
    };
    /// Transitions came ahead of their vote.
    STAGED = "a vote finds in the log what was staged": |_, world| {
        let carried = sealed(world).is_some_and(|sealed| {
            sealed.votes.values().any(|vote| match &**vote {
                vatic_core::command::Command::Vote(vote) => vote.part.transitions.is_empty(),
                _ => false,
            })
        });
        carried && !world.receipts.is_empty()
    };
    /// A vote or its bytes are not what they claim to be.
    REFUSED = "a group refuses to vote": |_, world| {
        let driver = world.machines[0].machine();
        let rolls_back = driver.and_then(|driver| driver.decision()).is_some_and(|decision| {
            matches!(decision, Decision::RolledBack(_))
        });
        let forged = sealed(world).is_some_and(|sealed| sealed.forgery.is_some());
        let damaged = world.requests.iter().any(|request| {
            request.from == crate::digest::world::Sender::Forger
        });
        rolls_back && (forged || damaged)
    };
    /// What was given out is of another stream, and the client sees it.
    FOREIGN = "a receipt of something else than what was sent does not verify":
        |_, world| issued(world).any(|issued| !issued.accepted);
    /// Another transaction shares the vote's entry.
    SHARED_ENTRY = "a receipt's path leads through an entry of several commands": |_, world| {
        issued(world).any(|issued| {
            issued.receipt.proofs.iter().any(|proof| proof.path.siblings.len() > 1)
        })
    };
    /// What was read was overwritten.
    OVERTAKEN = "the transaction rolls back because its read was overwritten": |_, world| {
        world.ledgers.iter().any(|ledger| match &ledger.standing {
            Standing::No(cause) => {
                matches!(cause.why, vatic_core::command::Why::ReadChanged { .. })
            }
            _ => false,
        })
    };
}

/// The properties that every scenario has.
pub fn always() -> Vec<Property<Scroll>> {
    vec![
        Property::always(NOTHING, |scroll: &Scroll, world: &World| {
            issued(world).next().is_none() || scroll.noted_a_receipt()
        }),
        Property::always(ISSUED, |scroll, world| {
            issued(world)
                .all(|issued| issued.accepted || issued.receipt.body.seal != scroll.stream.seal)
        }),
        Property::always(EXACT, applied_as_sent),
        Property::always(PLACES, |_, world| {
            issued(world).all(|issued| on_the_chains(world, issued))
        }),
        Property::always(KEPT, |_, world: &World| {
            let back = world.ledgers.iter().any(|ledger| is_back(&ledger.standing));
            !back || issued(world).next().is_none()
        }),
        Property::always(FRESH, |_, world: &World| {
            let stale = world.ledgers.iter().any(|ledger| ledger.stale_yes);
            !stale || issued(world).next().is_none()
        }),
        Property::always(SOUND, |_, world: &World| {
            let broken = world.ledgers.iter().any(|ledger| ledger.broken.is_some());
            let failed = world.machines.iter().any(|slot| matches!(slot, Slot::Failed(_)));
            let back = world.ledgers.iter().any(|ledger| rolled_back(&ledger.standing));
            let kept = world.ledgers.iter().any(|ledger| committed(&ledger.standing));
            !(broken || failed || back && kept)
        }),
    ]
}

/// What these are about; the last of them is asked of every state.
pub const PREMISES: &[Premise<Scroll>] = &[
    Premise {
        of: ISSUED,
        name: "a receipt of the stream as it was sent is given out",
        occurs: |scroll, world| {
            issued(world).any(|issued| issued.receipt.body.seal == scroll.stream.seal)
        },
    },
    Premise {
        of: EXACT,
        name: "a group has committed what a verified receipt covers",
        occurs: |_, world| {
            let done = world.ledgers.iter().any(|ledger| committed(&ledger.standing));
            done && issued(world).any(|issued| issued.accepted)
        },
    },
    Premise {
        of: PLACES,
        name: "a receipt is given out",
        occurs: |_, world| issued(world).next().is_some(),
    },
    Premise {
        of: KEPT,
        name: "a group refuses or rolls back",
        occurs: |_, world| world.ledgers.iter().any(|ledger| is_back(&ledger.standing)),
    },
    Premise {
        of: FRESH,
        name: "what was read is overwritten before it is voted on",
        occurs: OVERTAKEN.shows,
    },
];

/// All receipts that anybody can have by now.
pub fn issued(world: &World) -> impl Iterator<Item = &Issued> {
    let kept = world.ledgers.iter().filter_map(|ledger| ledger.kept.as_deref());
    world.receipts.iter().map(|issued| &**issued).chain(kept)
}

fn applied_as_sent(scroll: &Scroll, world: &World) -> bool {
    if !issued(world).any(|issued| issued.accepted) {
        return true;
    }
    world.ledgers.iter().enumerate().all(|(at, ledger)| {
        let key = &scroll.stream.keys[at];
        let record = ledger.group.peek(&ledger.state, key).0;
        !committed(&ledger.standing) || numbers(record.fields.as_ref()) == scroll.stream.history(at)
    })
}

fn on_the_chains(world: &World, issued: &Issued) -> bool {
    let Some(positions) = &issued.positions else { return false };
    let mut proofs = issued.receipt.proofs.iter().zip(positions);
    proofs.all(|(Proof { group, index, before, .. }, position)| {
        let heads = &world.ledgers[place_of(*group)].heads;
        let at = *index as usize;
        heads.get(at) == Some(&position.digest) && heads.get(at - 1) == Some(before)
    })
}

fn committed(standing: &Standing) -> bool {
    matches!(standing, Standing::Decided(Decision::Committed { .. }))
}

fn is_back(standing: &Standing) -> bool {
    rolled_back(standing) || matches!(standing, Standing::No(_))
}

fn rolled_back(standing: &Standing) -> bool {
    matches!(standing, Standing::Decided(Decision::RolledBack(_)))
}
