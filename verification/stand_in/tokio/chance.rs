//! The one source of chance of simulated code: numbers that the run's seed decides, in the order in
//! which they are asked for. One thread runs one simulation, so that order is itself decided.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Begins the sequence of a seed.
pub fn seed(seed: u64) {
    STATE.set(seed);
}

/// The next number (SplitMix64: Steele, Lea, Flood, 2014).
pub fn next() -> u64 {
    let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(state);
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
