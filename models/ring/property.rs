//! What must hold of rings in every state, and what must be reachable.

use crate::{
    premise::Premise,
    ring::model::{Drive, Orbit, World},
};
use stateright::Property;
use std::collections::BTreeSet;
use vatic_core::{
    command::{Decision, Standing},
    coordinator::Answer,
};

/// To be violated, or the others could hold because nothing ever happens.
pub const NOTHING: &str = "the ring never changes";
/// Group 0 sets one ring after the other.
pub const EPOCHS: &str = "epochs rise by one, and each names one ring";
/// A group that has learnt of a ring never acts on an older one.
pub const FORWARD: &str = "no group's ring goes back";
/// No group makes a ring up.
pub const PUBLISHED: &str = "a group's ring is one that group 0 has set";
/// What a group takes is its own.
pub const OWNED: &str = "a group votes Yes only on what its ring gives it";
/// A change of the ring splits no transaction, and no group halts.
pub const WHOLE: &str = "all participants agree on every outcome";
/// The core's own invariants and assertions hold.
pub const INVARIANTS: &str = "the core's invariants hold";

/// A kind of state that a scenario must reach.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// Its name.
    pub name: &'static str,
    /// Whether a state is one.
    pub shows: fn(&Orbit, &World) -> bool,
}

macro_rules! witnesses {
    ($($(#[$doc:meta])* $id:ident = $name:literal: $shows:expr;)*) => {
        $($(#[$doc])* pub const $id: Witness = Witness { name: $name, shows: $shows };)*
    };
}

witnesses! {
    /// The ring changes more than once.
    CHANGED = "the ring changes twice": |_, world| world.rings.len() > 2;
    /// All groups learn of it.
    SPREAD = "both groups reach the latest of three rings": |_, world| {
        let latest = world.rings.len() as u64;
        latest > 2 && world.sites.iter().all(|site| epoch(site) == latest)
    };
    /// Two proposers meant the same epoch.
    OUTRUN = "a proposed ring is refused because another one came first": |_, world| {
        let latest = world.rings.len() as u64;
        let mut proposed = world.proposed.values();
        proposed.any(|spec| spec.epoch <= latest && !world.rings.contains(spec))
    };
    /// A late draft meets a group that knows better.
    REFUSED = "a transaction rolls back because a key is no longer its group's": |_, world| {
        world.refused && world.drives.iter().flatten().any(|drive| {
            matches!(drive.answer, Some(Answer::Fault(_)))
        })
    };
    /// A transaction need not be of the newest ring.
    ACROSS = "a transaction of an older ring has committed and a group knows a newer one":
        |_, world| world.drives.iter().flatten().any(|drive| {
            let commits =
                matches!(drive.answer, Some(Answer::Decided(Decision::Committed { .. })));
            commits && world.sites.iter().any(|site| epoch(site) > drive.epoch)
        });
    /// Why the ring does not change in a running cluster: records stay where they are.
    TWO_OWNERS = "a record has been written by two owners, since records do not move yet":
        |_, world| world.owners.iter().any(|owners| owners.len() > 1);
}

/// The properties that every scenario has.
pub fn always() -> Vec<Property<Orbit>> {
    vec![
        Property::always(NOTHING, |orbit: &Orbit, world: &World| {
            world.rings.len() < 2 || orbit.noted_a_change()
        }),
        Property::always(EPOCHS, |_, world: &World| {
            let epochs = world.rings.iter().map(|spec| spec.epoch);
            epochs.eq(1..=world.rings.len() as u64)
        }),
        Property::always(FORWARD, |_, world: &World| {
            let mut groups = world.sites.iter().zip(&world.highest);
            groups.all(|(site, highest)| epoch(site) == *highest)
        }),
        Property::always(PUBLISHED, |_, world: &World| {
            world.sites.iter().all(|site| {
                let ring = site.group.ring().map(|ring| ring.spec());
                ring.is_some_and(|spec| world.rings.iter().any(|known| **known == *spec))
            })
        }),
        Property::always(OWNED, |_, world: &World| !world.trespassed),
        Property::always(WHOLE, |_, world| whole(world)),
        Property::always(INVARIANTS, |_, world: &World| {
            let sites = world.sites.iter().chain([&world.meta]);
            let drives = world.drives.iter().flatten();
            !sites.into_iter().any(|site| site.is_broken_inside())
                && drives.into_iter().all(|drive| drive.broken.is_none())
        }),
    ]
}

/// What these are about; the last of them is asked of every state.
pub const PREMISES: &[Premise<Orbit>] = &[
    Premise { of: EPOCHS, name: "the ring changes", occurs: |_, world| world.rings.len() > 1 },
    Premise {
        of: FORWARD,
        name: "a group has learnt of two rings",
        occurs: |_, world| world.highest.iter().any(|highest| *highest > 1),
    },
    Premise {
        of: PUBLISHED,
        name: "a group knows of a ring that was set",
        occurs: |_, world| world.sites.iter().any(|site| epoch(site) > 1),
    },
    Premise {
        of: OWNED,
        name: "a group is asked for what is not its own",
        occurs: |_, world| world.refused,
    },
    Premise {
        of: WHOLE,
        name: "an outcome is known in two places",
        occurs: |_, world| {
            world.drives.iter().flatten().any(|drive| {
                let told = usize::from(drive.answer.is_some());
                decided(world, drive).count() + told > 1
            })
        },
    },
];

/// How groups have decided a transaction: whether it commits.
fn decided(world: &World, drive: &Drive) -> impl Iterator<Item = bool> {
    let tid = drive.coordinator.tid();
    world.sites.iter().filter_map(move |site| match &*site.standing(tid) {
        Standing::Decided(decision) => Some(matches!(decision, Decision::Committed { .. })),
        _ => None,
    })
}

/// Whether something happened after which nothing means anything any more.
pub(crate) fn is_broken(world: &World) -> bool {
    let sites = world.sites.iter().chain([&world.meta]);
    let broken = sites.into_iter().any(|site| site.is_halted() || site.is_broken_inside());
    broken || world.drives.iter().flatten().any(|drive| drive.broken.is_some())
}

fn whole(world: &World) -> bool {
    let halted = world.sites.iter().any(|site| site.is_halted());
    !halted
        && world.drives.iter().flatten().all(|drive| {
            let decided: BTreeSet<bool> = decided(world, drive).collect();
            let told = match &drive.answer {
                Some(Answer::Decided(Decision::Committed { .. })) => Some(true),
                Some(_) => Some(false),
                None => None,
            };
            decided.len() < 2 && told.is_none_or(|told| !decided.contains(&!told))
        })
}

fn epoch(site: &crate::commit::site::Site) -> u64 {
    site.group.ring().map_or(0, |ring| ring.spec().epoch)
}
