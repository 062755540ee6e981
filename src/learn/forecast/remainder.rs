//! What followed a prefix, in any order.

use std::collections::BTreeMap;

use vatic_core::footprint::Footprint;

use super::{Prefix, Symbol};

/// The steps that followed, each with its number, and what they add to the footprint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Remainder {
    pub(crate) steps: Vec<(Symbol, u32)>,
    pub(crate) footprint: Footprint,
}

/// Each different remainder once, under a number. Numbers of those that nobody holds any more are
/// given out again, so that there are never more than holders.
#[derive(Debug, Default)]
pub(crate) struct Remainders {
    numbers: BTreeMap<Remainder, u32>,
    held: Vec<Option<(Remainder, u32)>>,
    free: Vec<u32>,
}

impl Remainder {
    pub(crate) fn of(rest: Prefix<'_>) -> Remainder {
        Remainder { steps: rest.counts().into_iter().collect(), footprint: rest.footprint() }
    }

    pub(crate) fn count(&self) -> u32 {
        self.steps.iter().map(|(_, number)| number).sum()
    }
}

impl Remainders {
    /// Holds a remainder once more, and gives its number.
    pub(crate) fn hold(&mut self, remainder: Remainder) -> u32 {
        if let Some(&number) = self.numbers.get(&remainder) {
            let slot = self.held[number as usize].as_mut();
            slot.expect("a number that is given out is held").1 += 1;
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.held.push(None);
            self.held.len() as u32 - 1
        });
        self.held[number as usize] = Some((remainder.clone(), 1));
        self.numbers.insert(remainder, number);
        number
    }

    /// Lets go of it once.
    pub(crate) fn release(&mut self, number: u32) {
        let slot = &mut self.held[number as usize];
        let (_, holders) = slot.as_mut().expect("what is released is held");
        *holders -= 1;
        if *holders == 0
            && let Some((remainder, _)) = slot.take()
        {
            self.numbers.remove(&remainder);
            self.free.push(number);
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        assert_eq!(self.numbers.len() + self.free.len(), self.held.len());
        self.numbers.len()
    }

    pub(crate) fn at(&self, number: u32) -> &Remainder {
        let slot = self.held[number as usize].as_ref();
        &slot.expect("a number that is given out is held").0
    }
}
