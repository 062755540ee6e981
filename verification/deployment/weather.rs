//! What becomes of the messages between nodes.

use super::settings::Network;
use crate::{faults::Fault, faults::Faults, rng::Rng, trace::Trace};
use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};
use tokio::wire::{Arrival, Weather};

pub(super) struct Sky {
    pub(super) rng: Rng,
    pub(super) network: Network,
    /// Directed pairs between which nothing passes.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// Nothing is lost, repeated or held up any more.
    pub(super) clear: bool,
    pub(super) faults: Faults,
    pub(super) trace: Trace,
    pub(super) messages: u64,
}

pub(super) fn weather(sky: &Rc<RefCell<Sky>>) -> Weather {
    let sky = sky.clone();
    Box::new(move |from, to| sky.borrow_mut().forecast(from as usize - 1, to as usize - 1))
}

impl Sky {
    fn forecast(&mut self, from: usize, to: usize) -> Vec<Arrival> {
        self.messages += 1;
        let arrivals = self.arrivals(from, to);
        self.trace.note(&[from as u64, to as u64, arrivals.len() as u64]);
        arrivals.iter().for_each(|arrival| self.trace.note(&[arrival.after.as_micros() as u64]));
        arrivals
    }

    fn arrivals(&mut self, from: usize, to: usize) -> Vec<Arrival> {
        if self.cut.contains(&(from, to)) {
            self.faults.hit(Fault::PeerCutOff);
            return Vec::new();
        }
        let Network { loss, repeat, overtake, .. } = self.network;
        if self.clear {
            return vec![self.arrival(false)];
        }
        if self.rng.chance(loss) {
            self.faults.hit(Fault::PeerLost);
            return Vec::new();
        }
        let overtakes = self.rng.chance(overtake);
        if overtakes {
            self.faults.hit(Fault::PeerOvertaken);
        }
        let mut arrivals = vec![self.arrival(overtakes)];
        if self.rng.chance(repeat) {
            self.faults.hit(Fault::PeerRepeated);
            let again = self.arrival(true);
            arrivals.push(Arrival { after: again.after * 4, ..again });
        }
        arrivals
    }

    fn arrival(&mut self, overtakes: bool) -> Arrival {
        let Network { delay_us, jitter_us, .. } = self.network;
        let late = !self.clear && self.rng.chance(100);
        if late {
            self.faults.hit(Fault::PeerDelayed);
        }
        let jitter_us = if late { jitter_us } else { jitter_us / 16 };
        let after = Duration::from_micros(delay_us + self.rng.below(jitter_us + 1));
        Arrival { after, overtakes }
    }
}
