//! A directed graph that is searched for a cycle.

use std::mem;

/// Nodes are numbers; edges carry the reason why one comes before the other.
#[derive(Default)]
pub(super) struct Graph {
    /// Who comes before each node, and why.
    before: Vec<Vec<(usize, &'static str)>>,
    after: Vec<Vec<usize>>,
}

impl Graph {
    pub(super) fn add_node(&mut self) -> usize {
        self.before.push(Vec::new());
        self.after.push(Vec::new());
        self.before.len() - 1
    }

    pub(super) fn add_edge(&mut self, from: usize, to: usize, why: &'static str) {
        if from != to {
            self.before[to].push((from, why));
            self.after[from].push(to);
        }
    }

    /// Everything that must come before a node.
    pub(super) fn all_before(&self, node: usize) -> Vec<bool> {
        self.reached(node, |at| self.before[at].iter().map(|&(earlier, _)| earlier))
    }

    /// Everything that must come after a node.
    pub(super) fn all_after(&self, node: usize) -> Vec<bool> {
        self.reached(node, |at| self.after[at].iter().copied())
    }

    fn reached<I>(&self, from: usize, steps: impl Fn(usize) -> I) -> Vec<bool>
    where
        I: Iterator<Item = usize>,
    {
        let mut reached = vec![false; self.before.len()];
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            open.extend(steps(node).filter(|&next| !mem::replace(&mut reached[next], true)));
        }
        reached
    }

    /// Some cycle: its nodes, each with the reason why it comes before the next one.
    pub(super) fn cycle(&self) -> Option<Vec<(usize, &'static str)>> {
        let left = self.left_after_sorting();
        let mut node = left.iter().position(|&left| left)?;
        // Whatever is left has a predecessor that is left, so walking back meets itself again.
        let mut walk: Vec<(usize, &'static str)> = Vec::new();
        let mut place = vec![None; left.len()];
        loop {
            if let Some(first) = place[node] {
                let mut cycle = walk.split_off(first);
                cycle.reverse();
                return Some(cycle);
            }
            place[node] = Some(walk.len());
            let earlier = self.before[node].iter().find(|(earlier, _)| left[*earlier]);
            let &(earlier, why) = earlier.expect("a node that is left waits for another");
            walk.push((earlier, why));
            node = earlier;
        }
    }

    /// Takes away, again and again, what nothing comes before; answers what remains.
    fn left_after_sorting(&self) -> Vec<bool> {
        let mut waits: Vec<usize> = self.before.iter().map(Vec::len).collect();
        let mut left = vec![true; waits.len()];
        let mut free: Vec<usize> = (0..waits.len()).filter(|&node| waits[node] == 0).collect();
        while let Some(node) = free.pop() {
            left[node] = false;
            for &later in &self.after[node] {
                waits[later] -= 1;
                if waits[later] == 0 {
                    free.push(later);
                }
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::default();
        for node in 0..nodes {
            assert_eq!(graph.add_node(), node);
        }
        edges.iter().for_each(|&(from, to)| graph.add_edge(from, to, "edge"));
        graph
    }

    #[test]
    fn cycle_is_found_behind_a_tail_and_named_in_order() {
        let cycle = graph(6, &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4), (4, 5)]).cycle();
        let nodes: Vec<usize> = cycle.expect("a cycle").iter().map(|&(node, _)| node).collect();
        assert!([[1, 2, 3], [2, 3, 1], [3, 1, 2]].contains(&nodes[..].try_into().expect("three")));
    }

    #[test]
    fn what_lies_before_and_after_a_node_is_found_across_steps() {
        let graph = graph(5, &[(0, 1), (1, 2), (0, 3), (3, 4)]);
        assert_eq!(graph.all_after(1), [false, false, true, false, false]);
        assert_eq!(graph.all_before(4), [true, false, false, true, false]);
    }

    #[test]
    fn order_without_a_cycle_has_none() {
        assert_eq!(graph(5, &[(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]).cycle(), None);
        assert_eq!(graph(0, &[]).cycle(), None);
        assert_eq!(graph(1, &[(0, 0)]).cycle(), None, "an operation does not precede itself");
    }
}
