//! How often a running case would be said to stray. Nothing was tampered with, so that whatever
//! strays is a false alarm.

use std::collections::BTreeMap;

/// What came of the test cases.
#[derive(Default)]
pub(crate) struct Looks {
    /// Whether each look found a case astray, by how many steps had come.
    pub(crate) by_steps: BTreeMap<usize, Vec<bool>>,
    /// Of each case, whether any look did.
    pub(crate) cases: Vec<bool>,
}

impl Looks {
    /// Counts those at one case.
    pub(crate) fn count(&mut self, looks: &[(usize, bool)]) {
        self.cases.push(looks.iter().any(|(_, strayed)| *strayed));
        for (steps, strayed) in looks {
            self.by_steps.entry(*steps).or_default().push(*strayed);
        }
    }

    /// All looks, in no order that means anything.
    pub(crate) fn all(&self) -> Vec<bool> {
        self.by_steps.values().flatten().copied().collect()
    }
}
