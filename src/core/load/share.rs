//! Which share of those who come is let in, and so above which rank.
//!
//! Down by a twentieth in each window of overload, up by a hundredth of all in each without (as
//! DAGOR has it). The bar is the rank that leaves so many of the last arrivals above it.

use super::{limits::LoadLimits, rank::Rank};
use crate::conflict::fixed::MILLION;
use alloc::vec::Vec;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    ppm: u32,
    min_ppm: u32,
    bar: Rank,
    /// The last arrivals, a ring.
    arrivals: Vec<Rank>,
    kept: usize,
    next: usize,
}

impl Share {
    /// Everybody is let in.
    pub fn new(limits: &LoadLimits) -> Share {
        let (min_ppm, kept) = (limits.share_min_ppm, limits.arrivals_kept.max(1));
        Share { ppm: MILLION, min_ppm, bar: Rank::LEAST, arrivals: Vec::new(), kept, next: 0 }
    }

    /// Somebody comes; whether it is let in.
    pub fn admits(&mut self, rank: Rank) -> bool {
        match self.arrivals.get_mut(self.next) {
            Some(oldest) => *oldest = rank,
            None => self.arrivals.push(rank),
        }
        self.next = (self.next + 1) % self.kept;
        rank >= self.bar
    }

    /// A window is over.
    pub fn step(&mut self, overload: bool) {
        self.ppm = match overload {
            true => (self.ppm - self.ppm / 20).max(self.min_ppm),
            false => (self.ppm + MILLION / 100).min(MILLION),
        };
        self.bar = if self.ppm == MILLION { Rank::LEAST } else { self.bar_of_arrivals() };
    }

    /// The share, in parts per million.
    pub fn ppm(&self) -> u32 {
        self.ppm
    }

    fn bar_of_arrivals(&self) -> Rank {
        let out = (MILLION - self.ppm) as usize * self.arrivals.len() / MILLION as usize;
        let mut arrivals = self.arrivals.clone();
        if out >= arrivals.len() {
            return Rank::LEAST;
        }
        *arrivals.select_nth_unstable(out).1
    }
}
