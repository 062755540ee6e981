//! Gateways that alter what they send: after the digests were made, so that all can notice.

use super::World;
use crate::{event::Sealed, faults::Fault};
use vatic_core::{chain::Transition, id::GroupId};

impl World {
    /// Alters one participant's transitions: flips a byte, drops one, swaps two, adds one again.
    /// Answers whose part is no longer what was digested.
    pub(super) fn tamper(&mut self, sealed: &mut Sealed) -> Option<GroupId> {
        let written: Vec<usize> = (0..sealed.parts.len())
            .filter(|&at| !sealed.parts[at].transitions.is_empty())
            .collect();
        if written.is_empty() {
            return None;
        }
        let part = &mut sealed.parts[*self.rng.pick(&written)];
        let transitions = &mut part.transitions;
        let at = self.rng.index(transitions.len());
        match self.rng.below(4) {
            0 => drop(transitions.remove(at)),
            1 if transitions.len() > 1 => swap_contents(transitions, at),
            2 => {
                let seq = sealed.body.seal.count + 1;
                transitions.push(Transition { seq, delta: transitions[at].delta.clone() });
            }
            _ => {
                let delta = &mut transitions[at].delta;
                let place = self.rng.index(delta.len());
                delta[place] ^= 1 << self.rng.below(8);
            }
        }
        self.faults.hit(Fault::Tampering);
        Some(part.group)
    }
}

/// Swaps the contents of two transitions; equal ones are made to differ instead.
fn swap_contents(transitions: &mut [Transition], at: usize) {
    let other = (at + 1) % transitions.len();
    if transitions[at].delta == transitions[other].delta {
        transitions[at].delta[0] ^= 1;
        return;
    }
    let moved = std::mem::take(&mut transitions[at].delta);
    let back = std::mem::replace(&mut transitions[other].delta, moved);
    transitions[at].delta = back;
}
