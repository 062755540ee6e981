//! Paths of a model that together take every step of a part of its state graph, for driving
//! something else along them.
//!
//! Of the states that are met, the one met first and the one met last have all their steps followed
//! in turns, up to a bound: so the part is wide near the start and deep elsewhere. A path goes the
//! way on which a state was met to a step that was not taken yet, takes it, and goes on with others
//! of that kind for as long as there are any.

use crate::shared::fingerprint;
use stateright::Model;
use std::collections::{HashMap, VecDeque};

/// Part of a model's state graph.
pub struct Graph<M: Model> {
    nodes: Vec<Node<M>>,
}

struct Node<M: Model> {
    /// The node from which it was met, and which of that one's steps leads here.
    from: Option<(usize, usize)>,
    steps: Vec<Edge<M>>,
}

struct Edge<M: Model> {
    step: M::Action,
    to: usize,
    taken: bool,
}

impl<M: Model<State: std::hash::Hash, Action: Clone>> Graph<M> {
    /// The graph of so many states, and of those that one step leads to from them. The model must
    /// have one initial state.
    pub fn of(model: &M, states_max: usize) -> Graph<M> {
        let mut graph = Graph { nodes: Vec::new() };
        let mut known = HashMap::new();
        let mut met = VecDeque::new();
        for state in model.init_states() {
            let at = graph.add(None);
            known.insert(fingerprint(&state), at);
            met.push_back((at, state));
        }
        assert_eq!(graph.nodes.len(), 1, "one start");
        for turn in 0..states_max {
            let next = if turn % 2 == 0 { met.pop_front() } else { met.pop_back() };
            let Some((at, state)) = next else { break };
            let mut steps = Vec::new();
            model.actions(&state, &mut steps);
            for step in steps {
                let Some(next) = model.next_state(&state, step.clone()) else { continue };
                if !model.within_boundary(&next) {
                    continue;
                }
                let from = Some((at, graph.nodes[at].steps.len()));
                let to = *known.entry(fingerprint(&next)).or_insert_with(|| {
                    let to = graph.add(from);
                    met.push_back((to, next));
                    to
                });
                graph.nodes[at].steps.push(Edge { step, to, taken: false });
            }
        }
        graph
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.nodes.iter().map(|node| node.steps.len()).sum()
    }

    /// Hands out paths from the start, of at most so many steps beyond the shortest way, until all
    /// steps were taken or `visit` says that it is enough.
    pub fn cover(mut self, steps_max: usize, mut visit: impl FnMut(&[M::Action]) -> bool) -> usize {
        let mut paths = 0;
        for node in 0..self.nodes.len() {
            while let Some(step) = self.untaken(node) {
                let path = self.path(node, step, steps_max);
                paths += 1;
                if !visit(&path) {
                    return paths;
                }
            }
        }
        paths
    }

    fn add(&mut self, from: Option<(usize, usize)>) -> usize {
        self.nodes.push(Node { from, steps: Vec::new() });
        self.nodes.len() - 1
    }

    fn untaken(&self, node: usize) -> Option<usize> {
        self.nodes[node].steps.iter().position(|edge| !edge.taken)
    }

    fn path(&mut self, node: usize, step: usize, steps_max: usize) -> Vec<M::Action> {
        let mut way = Vec::from([(node, step)]);
        let mut first = node;
        while let Some(before) = self.nodes[first].from {
            way.push(before);
            first = before.0;
        }
        way.reverse();
        let mut path: Vec<M::Action> = way.into_iter().map(|step| self.take(step)).collect();
        let mut last = self.nodes[node].steps[step].to;
        for _ in 0..steps_max {
            let Some(step) = self.untaken(last) else { break };
            path.push(self.take((last, step)));
            last = self.nodes[last].steps[step].to;
        }
        path
    }

    fn take(&mut self, (node, step): (usize, usize)) -> M::Action {
        let edge = &mut self.nodes[node].steps[step];
        edge.taken = true;
        edge.step.clone()
    }
}
