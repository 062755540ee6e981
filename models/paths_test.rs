//! The paths of a graph take all of its steps, and each is a path of the model.

use crate::{
    commit::{model::Spine, scenarios},
    paths::Graph,
};
use stateright::Model;

#[test]
fn paths_take_every_step_once_at_least_and_are_the_models_own() {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == "forgetting");
    let spine = Spine::heard(scenario.expect("it is in the catalogue"));
    let graph = Graph::of(&spine, 300);
    let (steps, mut walked) = (graph.steps(), 0);
    assert!(steps > 300, "{steps} steps");
    let paths = graph.cover(40, |path| {
        let mut state = spine.init_states().remove(0);
        for step in path {
            state = spine.next_state(&state, step.clone()).expect("a step of the model's");
        }
        walked += path.len();
        true
    });
    assert!(walked >= steps, "{paths} paths of {walked} steps cannot have taken {steps}");
    assert!(!spine.take_heard().is_empty());
}
