//! Shrinking: the shortest load and the fewest families of misfortune with which a seed fails.
//!
//! A shorter load is a prefix of the same schedule, since the seed draws both alike. Fewer families
//! make another schedule, so each removal is kept only if the seed goes on to fail.

use crate::{Options, run};

/// No load shorter than this is tried, in virtual microseconds.
const LOAD_US_MIN: u64 = 1_000;

/// Options with which the seed fails as well, and what there is less of; `None` where it does not
/// fail in the first place.
pub fn shrink(seed: u64, options: &Options) -> Option<Options> {
    let fails = |options: &Options| !run(seed, options).violations.is_empty();
    if !fails(options) {
        return None;
    }
    let mut least = options.clone();
    for family in options.families.iter() {
        let mut fewer = least.clone();
        fewer.families.remove(family);
        if fails(&fewer) {
            least = fewer;
        }
    }
    let (mut passes_us, mut fails_us) = (0, least.load_us);
    while fails_us - passes_us > LOAD_US_MIN.max(fails_us / 16) {
        let load_us = passes_us.midpoint(fails_us);
        match fails(&Options { load_us, ..least.clone() }) {
            true => fails_us = load_us,
            false => passes_us = load_us,
        }
    }
    Some(Options { load_us: fails_us, ..least })
}
