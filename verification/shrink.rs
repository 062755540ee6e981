//! Shrinking: the shortest load and the fewest families of misfortune with which a seed fails.
//!
//! A shorter load is a prefix of the same schedule, since the seed draws both alike. Fewer families
//! make another schedule, so each removal is kept only if the seed goes on to fail, and the check
//! that failed first: what fails another one is another finding.

use crate::{Check, Options, run};

/// No load shorter than this is tried, in virtual microseconds.
const LOAD_US_MIN: u64 = 1_000;

/// Options with which the seed fails the same check, and what there is less of; `None` where it
/// does not fail in the first place.
pub fn shrink(seed: u64, options: &Options) -> Option<Options> {
    least(options, |options| {
        let violations = run(seed, options).violations;
        violations.into_iter().map(|violation| violation.check).collect()
    })
}

/// As [`shrink`], by whatever says which checks fail with some options, in their order.
fn least(options: &Options, failing: impl Fn(&Options) -> Vec<Check>) -> Option<Options> {
    let first = *failing(options).first()?;
    let fails = |options: &Options| failing(options).contains(&first);
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

#[cfg(test)]
mod test {
    use super::*;
    use crate::Family;

    #[test]
    fn what_fails_another_check_than_the_first_is_not_less_of_the_same() {
        let options = Options::default();
        let enough_us = options.load_us / 2;
        let found = least(&options, |options| {
            let needed = options.families.contains(&Family::Network);
            match needed && options.load_us >= enough_us {
                true => vec![Check::Money, Check::Leaks],
                false => vec![Check::Progress, Check::Leaks],
            }
        });
        let found = found.expect("it fails");
        assert_eq!(found.families, [Family::Network].into());
        assert!(found.load_us >= enough_us && found.load_us < options.load_us, "{found:?}");
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        assert!(least(&Options::default(), |_| Vec::new()).is_none());
    }
}
