//! Whether all replicas of a running cluster agree: by their chains, and by their states.
//!
//! Chains are compared at an index that all replicas have reached, so it does not matter that they
//! go on. What shall be compared is all that was applied anywhere when they had first all
//! answered: that a replica which was away agreed about what it had by then says too little.
//! States are comparable at one index alone, and a look at them has each node read all that it
//! holds: they are looked at where a group seems to rest, and seldom.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use vatic_client::{Chains, Client, ClientError, Cluster, Divergence, Group, Head};
use vatic_core::hash::Hash;

/// Between two looks at a cluster of which not enough is known.
const LOOK_AGAIN_MS: u64 = 100;

/// After a look at states there is none for so many times as long as it took.
const STATES_REST: u32 = 4;

/// What must be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Chains. States are looked at once, where a group rests.
    Chains,
    /// Chains and states: for clusters that nobody writes to.
    States,
}

/// What looks at a cluster have shown so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    groups: BTreeMap<u32, GroupFound>,
    /// Nodes that did not answer at the last look.
    pub(crate) silent: Vec<u64>,
    looks: u64,
    looked_at_states: bool,
}

/// The same of one group.
#[derive(Debug)]
pub(crate) struct GroupFound {
    /// At the last look, or at the last that showed a difference.
    pub(crate) seen: Group,
    pub(crate) chains: Option<Chains>,
    /// Chains that are equal before this index do not show enough.
    goal: Option<u64>,
    /// Where they were equal.
    chain_at: Option<u64>,
    /// Where states were equal, and which they were.
    pub(crate) state_at: Option<(u64, Hash)>,
    /// The index at which all replicas stood at the last look.
    stood_at: Option<u64>,
    /// And at the one before it.
    rests: bool,
    differs: bool,
}

/// Looks until what is demanded is seen, it is known which replica differs, or patience ends.
///
/// Which of them is wrong the cluster itself finds out, a little later than that they differ.
pub(crate) async fn compare(
    client: &Client,
    patience: Duration,
    demand: Demand,
) -> Result<Found, ClientError> {
    let end = Instant::now() + patience;
    let mut found = Found::default();
    let mut states_from = Instant::now();
    loop {
        let seen = client.cluster(false).await?;
        found.look(seen, client.chains().await?);
        if found.wants_states(demand) && Instant::now() >= states_from {
            let started = Instant::now();
            // That states are not read in time is no difference.
            if let Ok(Ok(seen)) = timeout_at(end, client.cluster(true)).await {
                found.look_at_states(seen);
            }
            found.looked_at_states = true;
            states_from = Instant::now() + started.elapsed() * STATES_REST;
        }
        if found.is_done(demand) || Instant::now() >= end {
            return Ok(found);
        }
        sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
    }
}

impl Found {
    /// Ascending by id.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupFound> {
        self.groups.values()
    }

    pub(crate) fn differs(&self) -> bool {
        self.groups().any(|group| group.differs)
    }

    fn look(&mut self, seen: Cluster, chains: Vec<Chains>) {
        let silent = seen.members.iter().filter(|member| !member.reachable);
        self.silent = silent.map(|member| member.node_id).collect();
        self.looks += 1;
        let mut chains: BTreeMap<u32, Chains> =
            chains.into_iter().map(|chains| (chains.group, chains)).collect();
        for group in seen.groups {
            let chains = chains.remove(&group.group);
            self.of(&group).look(group, chains);
        }
    }

    fn look_at_states(&mut self, seen: Cluster) {
        for group in seen.groups {
            self.of(&group).look_at_states(group);
        }
    }

    fn of(&mut self, group: &Group) -> &mut GroupFound {
        self.groups.entry(group.group).or_insert_with(|| GroupFound::new(group.clone()))
    }

    /// Whether a look at states may tell more.
    fn wants_states(&self, demand: Demand) -> bool {
        self.agrees(Demand::Chains)
            && (demand == Demand::States || !self.looked_at_states)
            && self.groups().any(|group| group.rests && group.state_at.is_none())
    }

    /// Whether looking again would tell nothing more that is asked for.
    fn is_done(&self, demand: Demand) -> bool {
        // One look alone does not tell whether a group rests.
        let enough = self.looks > 1 && !self.wants_states(demand);
        self.groups().any(GroupFound::is_set_aside) || self.agrees(demand) && enough
    }

    fn agrees(&self, demand: Demand) -> bool {
        !self.groups.is_empty() && self.groups().all(|group| group.agrees(demand))
    }
}

impl GroupFound {
    fn new(seen: Group) -> GroupFound {
        GroupFound {
            seen,
            chains: None,
            goal: None,
            chain_at: None,
            state_at: None,
            stood_at: None,
            rests: false,
            differs: false,
        }
    }

    /// Whether what is demanded was seen, and no difference.
    pub(crate) fn agrees(&self, demand: Demand) -> bool {
        let states = demand == Demand::Chains || self.state_at.is_some();
        !self.differs && self.chain_at.is_some() && states
    }

    /// What was found equal, and where.
    pub(crate) fn compared(&self) -> Option<String> {
        let state = self.state_at.map(|(index, _)| format!("state at {index}"));
        let chain = || self.chain_at.map(|index| format!("chain at {index}"));
        state.or_else(chain).filter(|_| !self.differs)
    }

    /// What is wrong, or why nothing can be said; each begins with the group's id.
    pub(crate) fn told(&self, demand: Demand) -> Vec<String> {
        if self.agrees(demand) {
            return Vec::new();
        }
        let told = if self.differs { self.difference() } else { self.delay() };
        told.into_iter().map(|told| format!("group {}: {told}", self.seen.group)).collect()
    }

    fn look(&mut self, group: Group, chains: Option<Chains>) {
        let stood_at = one_index(&group);
        self.rests = stood_at.is_some() && stood_at == self.stood_at;
        self.stood_at = stood_at;
        let differ = chains.as_ref().is_some_and(Chains::differ);
        if let Some(chains) = &chains {
            self.goal = self.goal.or_else(|| chains.furthest());
            let reached = self.goal.is_some_and(|goal| chains.index >= goal);
            if reached && chains.agreed().is_some() {
                self.chain_at = Some(chains.index);
            }
        }
        if !self.differs || differ {
            self.chains = chains;
        }
        self.note(group);
        self.differs |= differ;
    }

    fn look_at_states(&mut self, group: Group) {
        let first = group.replicas.first();
        let state = first.and_then(|first| Some((first.applied_index, first.state_digest?)));
        // Those of all replicas are then equal, and at one index.
        if group.agrees() && state.is_some() {
            self.state_at = state;
        }
        self.note(group);
    }

    /// Who differed may have been mended since: it did differ.
    fn note(&mut self, group: Group) {
        let diverges = group.diverges();
        if diverges || !self.differs {
            self.seen = group;
        }
        self.differs |= diverges;
    }

    fn is_set_aside(&self) -> bool {
        self.seen.replicas.iter().any(|replica| replica.divergence.is_some())
    }

    fn difference(&self) -> Vec<String> {
        let set_aside = self.seen.replicas.iter().filter_map(|replica| {
            let Divergence { index, what } = replica.divergence.as_ref()?;
            Some(format!("node {} differs from index {index} on: {what}", replica.node_id))
        });
        let set_aside: Vec<String> = set_aside.collect();
        if !set_aside.is_empty() {
            return set_aside;
        }
        if let Some(chains) = self.chains.as_ref().filter(|chains| chains.differ()) {
            let heads = chains.replicas.iter().filter_map(|replica| match replica.head {
                Head::Kept(digest) => Some((replica.node_id, digest.to_hex())),
                Head::Absent => Some((replica.node_id, "none".to_owned())),
                Head::Untold | Head::Dropped => None,
            });
            let heads: Vec<String> =
                heads.map(|(node, head)| format!("node {node} has {head}")).collect();
            return vec![format!("chains differ at index {}: {}", chains.index, heads.join(", "))];
        }
        let at: Vec<String> =
            self.seen.replicas.iter().map(|it| it.applied_index.to_string()).collect();
        vec![format!("replicas at indexes {} differ where they are at the same one", at.join(", "))]
    }

    fn delay(&self) -> Vec<String> {
        let Some(chains) = self.chains.as_ref().filter(|_| self.chain_at.is_none()) else {
            return Vec::new();
        };
        let goal = self.goal.unwrap_or(0);
        let behind = chains.replicas.iter().filter(|it| it.last_index == chains.index);
        let behind = behind.map(|replica| replica.node_id.to_string());
        let behind = format!(
            "node {} stands at index {}",
            behind.collect::<Vec<_>>().join(" and "),
            chains.index
        );
        if chains.out_of_reach() {
            vec![format!("{behind}, of which others keep no head any more")]
        } else if chains.index < goal {
            vec![format!("{behind}, and index {goal} had been applied when it was asked")]
        } else {
            let untold = chains.replicas.iter().filter(|it| it.head == Head::Untold);
            untold.map(|it| format!("node {} does not tell of its chain", it.node_id)).collect()
        }
    }
}

/// Where all replicas stand, if they stand at one index.
fn one_index(group: &Group) -> Option<u64> {
    let first = group.replicas.first()?.applied_index;
    let together =
        group.replicas.iter().all(|replica| replica.reachable && replica.applied_index == first);
    together.then_some(first)
}

#[cfg(test)]
#[path = "agreement_test.rs"]
pub(crate) mod tests;
