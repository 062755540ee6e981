//! Seeds that once found something violate nothing today, and find it again where it is planted.

use vatic_verification::{REGRESSIONS, again, run};

#[test]
fn seeds_that_once_found_something_violate_nothing() {
    for regression in REGRESSIONS {
        let options = regression.options();
        let violations = run(regression.seed, &options).violations;
        let how = again(regression.seed, &options);
        assert!(violations.is_empty(), "{}: {violations:?}; {how}", regression.found);
    }
}

#[test]
fn seeds_of_mistakes_that_can_be_planted_find_them_still() {
    for regression in REGRESSIONS {
        let Some((broken, check)) = regression.broken else { continue };
        let options = broken.options(&regression.options());
        let violations = run(regression.seed, &options).violations;
        let how = again(regression.seed, &options);
        let found = violations.iter().find(|violation| violation.check == check);
        let found = found.unwrap_or_else(|| {
            panic!("{how} does not fail {}: {violations:?}; {}", check.name(), regression.found)
        });
        println!("{how}: {found}");
    }
}
