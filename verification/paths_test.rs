//! The real state machine walks the models' paths, over a real store, and comes to the same states.

use vatic_core::rules::{Mutant, Rules};
use vatic_verification::{InLmdb, InMemory, Shelf, walk, walk_all, walkable};

const THREADS: usize = 2;

/// Walks paths of every model of commits.
fn agree<S: Shelf>(states_max: usize, paths_max: u64, paths_min: u64) {
    let walked = walk_all::<S>(&walkable(), states_max, paths_max, Rules::default(), THREADS);
    for (model, walked) in &walked {
        assert_eq!(walked.differences, Vec::<String>::new(), "{model}");
        assert!(walked.covered || paths_max < u64::MAX, "{model}");
    }
    let paths: u64 = walked.iter().map(|(_, walked)| walked.paths).sum();
    println!("{paths} paths");
    assert!(paths >= paths_min, "{paths} paths");
}

#[test]
fn paths_of_all_models_end_in_the_same_states_in_memory() {
    agree::<InMemory>(600, u64::MAX, 50_000);
}

#[test]
fn paths_of_all_models_end_in_the_same_states_in_lmdb() {
    agree::<InLmdb>(400, 250, 5_000);
}

#[test]
fn machine_that_lacks_a_rule_leaves_the_path() {
    for (model, rule) in [
        ("key-skew", Mutant::NoReadLocks),
        ("forgetting", Mutant::ForgetWithoutWatermark),
        ("leader-change", Mutant::RestartForgetsWatermark),
    ] {
        let walked = walk::<InMemory>(model, 2_000, u64::MAX, Rules::without(rule));
        assert!(!walked.differences.is_empty(), "{rule:?} makes no difference on {model}");
    }
}
