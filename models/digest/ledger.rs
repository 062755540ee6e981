//! A group with its log, as this model runs it: entries go through the core's `apply_entry`, which
//! moves the group's digest chain.

use crate::{check::catching, commit::client::group_id, digest::world::Issued, shared::Shared};
use vatic_core::{
    codec,
    command::{Applied, Command, Config, Halt, Standing},
    group::Group,
    hash::Hash,
    id::Tid,
    invariant,
    limits::Limits,
    memory::MemoryState,
    ring::RingSpec,
    rules::Rules,
};

/// One group, what it has applied, and what an observer of its log notes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ledger {
    /// The core's state machine.
    pub group: Group,
    /// What it stores.
    pub state: MemoryState,
    /// The chain before the first entry and after each.
    pub heads: Vec<Hash>,
    /// Where the client's transaction stands here.
    pub standing: Standing,
    /// The receipt that its record of the transaction yields, where it is the home group.
    pub kept: Option<Shared<Issued>>,
    /// Whether it voted Yes though what the client had read here was overwritten.
    pub stale_yes: bool,
    /// What must never happen, if it did.
    pub broken: Option<String>,
}

impl Ledger {
    /// An empty group that knows the ring.
    pub fn open(place: usize, ring: RingSpec, rules: Rules) -> Ledger {
        let mut state = MemoryState::default();
        let mut group = Group::open(group_id(place), &state, rules);
        let config = Config::new(Limits::production(), Some(ring));
        group.apply(&mut state, &Command::Configure(config)).expect("nothing to contradict");
        group.save(&mut state);
        let heads = vec![group.chain().digest];
        Ledger {
            group,
            state,
            heads,
            standing: Standing::None,
            kept: None,
            stale_yes: false,
            broken: None,
        }
    }

    /// How many entries it has applied.
    pub fn entries(&self) -> usize {
        self.heads.len() - 1
    }

    /// Applies an entry; no answers where the group broke.
    pub fn append(&self, entry: &[Shared<Command>], tid: Option<Tid>) -> (Ledger, Vec<Applied>) {
        let bytes: Vec<Vec<u8>> = entry.iter().map(|command| codec::encode(&**command)).collect();
        let mut next = self.clone();
        let index = next.heads.len() as u64;
        let applied = catching(|| {
            let commands = bytes.iter().map(Vec::as_slice);
            let applied = next.group.apply_entry(&mut next.state, index, commands)?;
            Ok::<_, Box<Halt>>((applied, invariant::check(&next.group, &next.state)))
        });
        let (applied, fault) = match applied {
            Ok(Ok((applied, Ok(())))) => (applied, None),
            Ok(Ok((applied, Err(fault)))) => (applied, Some(fault)),
            Ok(Err(halt)) => (Vec::new(), Some(halt.to_string())),
            Err(panic) => (Vec::new(), Some(panic)),
        };
        next.broken = next.broken.or(fault);
        next.heads.push(next.group.chain().digest);
        if let Some(tid) = tid {
            next.standing = next.group.standing(&next.state, tid);
        }
        (next, applied)
    }

    /// The group opened anew: nothing but its state outlives a crash.
    pub fn reopen(&self, rules: Rules) -> Ledger {
        let group = Group::open(self.group.id(), &self.state, rules);
        Ledger { group, ..self.clone() }
    }
}
