//! Where each node listens for its peers.
//!
//! Why not the membership alone: it says where a node was when it joined. A node that comes back
//! elsewhere is known by the registry first, and Raft could not commit the change of address
//! without reaching it. What was set by hand stands above what the membership says.

use std::collections::BTreeMap;
use std::sync::RwLock;

#[derive(Default)]
pub(crate) struct Addresses {
    known: RwLock<BTreeMap<u32, Known>>,
}

struct Known {
    address: String,
    set: bool,
}

impl Addresses {
    /// What the registry or the configuration says.
    pub(crate) fn set(&self, node: u32, address: String) {
        self.write(|known| {
            known.insert(node, Known { address, set: true });
        });
    }

    /// What a membership says.
    pub(crate) fn learn(&self, node: u32, address: &str) {
        self.write(|known| {
            if known.get(&node).is_none_or(|entry| !entry.set && entry.address != address) {
                known.insert(node, Known { address: address.to_owned(), set: false });
            }
        });
    }

    pub(crate) fn of(&self, node: u32) -> Option<String> {
        let known = self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.get(&node).map(|entry| entry.address.clone())
    }

    fn write(&self, change: impl FnOnce(&mut BTreeMap<u32, Known>)) {
        change(&mut self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    #[test]
    fn address_that_was_set_stands_above_a_learned_one() {
        let addresses = Addresses::default();
        addresses.learn(1, "a:1");
        addresses.learn(1, "a:2");
        assert_eq!(addresses.of(1).as_deref(), Some("a:2"));
        addresses.set(1, "b:1".into());
        addresses.learn(1, "a:3");
        assert_eq!(addresses.of(1).as_deref(), Some("b:1"));
        assert_eq!(addresses.of(2), None);
    }
}
