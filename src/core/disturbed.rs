//! Which of a running stream's reads do not hold any more, or may soon not.
//!
//! A look at applied state, for a warning. It decides nothing: whether the stream can commit is
//! its votes' to say, and what was only locked may yet be let go.

use crate::{
    body::KeyRead,
    draft::Draft,
    group::Group,
    id::{Tid, Timestamp},
    key::Key,
    read,
    rules::{Rules, broken},
    state::Read,
    strategy::Basis,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A read that a vote would refuse as things are.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Disturbed {
    /// The record.
    pub key: Key,
    /// The version that was read; 0 where it was absent.
    pub read: Timestamp,
    /// Its version now; 0 where it is absent.
    pub found: Timestamp,
    /// Whose undecided vote is about to write it.
    pub writer: Option<Tid>,
}

impl Disturbed {
    /// Whether another version is there, rather than one that may come.
    pub fn is_overwritten(&self) -> bool {
        self.read != self.found
    }

    /// Whether the stream that read it is ended for this, where its client asked for that. Its vote
    /// would be a No: it rests on its reads, and no version comes back. And none was asked for: of
    /// what is sealed (its draft is gone) the votes alone may speak, and what overwrote the record
    /// may be the transaction itself.
    pub fn ends(&self, draft: Option<&Draft>, rules: Rules) -> bool {
        let open = match draft {
            Some(draft) => draft.basis() == Basis::Reads,
            None => broken!(rules, EndsAfterSeal),
        };
        open && (self.is_overwritten() || broken!(rules, EndsForLock))
    }
}

impl Group {
    /// Those of some reads whose record has another version, or an undecided writer, in order.
    /// Fields stay unread.
    pub fn disturbed(&self, state: &impl Read, reads: &[KeyRead]) -> Vec<Disturbed> {
        let looked = reads.iter().map(|KeyRead { key, version }| Disturbed {
            key: key.clone(),
            read: *version,
            found: read::version(state, key),
            writer: read::writer(state, key),
        });
        looked.filter(|found| found.is_overwritten() || found.writer.is_some()).collect()
    }
}
