//! Models are numbered, bounded, and stay while they are pinned.

use crate::{
    command::{MetaCommand, Refusal, Reply},
    conflict::{FEATURES, Model, Term},
    memory::MemoryState,
    meta,
    rules::Rules,
    shelf::{self, MODELS_KEPT},
};
use alloc::{boxed::Box, vec, vec::Vec};

fn publish(state: &mut MemoryState, labels: u64) -> Reply {
    let model = Box::new(Model::constant(labels as u32));
    let command = MetaCommand::PublishModel { node: 1, labels, model };
    meta::apply(state, &command, Rules::default())
}

fn pin(state: &mut MemoryState, version: Option<u64>) -> Reply {
    meta::apply(state, &MetaCommand::PinModel(version), Rules::default())
}

fn versions(state: &MemoryState) -> Vec<u64> {
    shelf::models(state).into_iter().map(|shared| shared.version).collect()
}

#[test]
fn newest_models_are_kept_and_the_one_that_is_pinned() {
    let mut state = MemoryState::default();
    assert_eq!(shelf::shelf(&state).in_force(), 0);
    (1..=3).for_each(|labels| assert_eq!(publish(&mut state, labels), Reply::Done));
    assert_eq!(shelf::shelf(&state).in_force(), 3);
    assert_eq!(pin(&mut state, Some(2)), Reply::Done);
    (4..=20).for_each(|labels| assert_eq!(publish(&mut state, labels), Reply::Done));
    assert_eq!(shelf::shelf(&state).in_force(), 2);
    let newest = 21 - MODELS_KEPT..=20;
    assert_eq!(versions(&state), [2].into_iter().chain(newest.clone()).collect::<Vec<_>>());
    assert_eq!(shelf::model(&state, 2).map(|shared| shared.labels), Some(2));
    assert_eq!(pin(&mut state, None), Reply::Done);
    assert_eq!(versions(&state), newest.collect::<Vec<_>>());
    assert_eq!(shelf::shelf(&state).in_force(), 20);
}

#[test]
fn model_that_is_gone_or_none_is_refused_and_changes_nothing() {
    let mut state = MemoryState::default();
    assert_eq!(publish(&mut state, 1), Reply::Done);
    let before = state.clone();
    assert_eq!(pin(&mut state, Some(2)), Reply::Refused(Refusal::NoModel));
    let terms = vec![Term::default(); FEATURES + 1];
    let model = Box::new(Model { terms, ..Model::constant(1) });
    let command = MetaCommand::PublishModel { node: 1, labels: 9, model };
    let reply = meta::apply(&mut state, &command, Rules::default());
    assert_eq!(reply, Reply::Refused(Refusal::NoModel));
    assert_eq!(state, before);
}
