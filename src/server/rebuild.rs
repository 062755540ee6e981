//! Brings a replica back that was lost or set aside: as its next generation, from a snapshot.
//!
//! Raft knows the old one no more afterwards, so nothing that it ever said counts. Where the node
//! died of damage that it met while it read, a note in its directory makes the next start look for
//! all of it first, and what is damaged serves nobody from the start. What the opening itself reads
//! is looked at each time, so that no start ends there.

use crate::{
    cluster::Cluster,
    config::Config,
    diary::{Diaries, Scribe},
    node::ServerError,
    placement,
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;
use vatic_consensus::{CreateError, GroupHandle, Member, Standing};
use vatic_core::{group::Group, id::GroupId, rules::Rules};
use vatic_store::{FatalAction, ReplicaId, Store};

/// Between two tries, and two looks at a standing that did not change.
const TRY_AGAIN: Duration = Duration::from_secs(1);

const NOTE: &str = "look-for-damage";

/// The founding members of a group, in the consensus module's terms.
pub(crate) fn founders(config: &Config, group: GroupId) -> Vec<Member> {
    let nodes = placement::nodes_of(group, &config.members, config.replicas);
    let members = config.members.iter().filter(|member| nodes.contains(&member.node));
    let founder = |member: &crate::config::Member| Member {
        node: member.node,
        generation: 1,
        address: member.peer.clone(),
    };
    members.map(founder).collect()
}

/// Starts one task for each group here.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    for (&id, handle) in &cluster.groups {
        let (cluster, handle) = (cluster.clone(), handle.clone());
        tasks.spawn(async move {
            let mut standing = handle.standing();
            loop {
                let seen = *standing.borrow_and_update();
                look_after(&cluster, id, seen).await;
                // Also without a change: what failed is tried again.
                let _ = tokio::time::timeout(TRY_AGAIN, standing.changed()).await;
            }
        });
    }
}

async fn look_after(cluster: &Arc<Cluster>, id: GroupId, standing: Standing) {
    if standing == Standing::Member {
        return cluster.set_aside.clear_before(id, own_generation(cluster, id));
    }
    let machine = Scribe::new(id, cluster.diaries.clone());
    let members = founders(&cluster.config, id);
    match cluster.consensus.begin_anew(id.0, standing, &members, machine).await {
        None => {}
        Some(Ok(handle)) => {
            let generation = handle.id().generation();
            tracing::warn!(group = %id, generation, "the replica begins anew");
        }
        Some(Err(error)) => {
            tracing::warn!(group = %id, %error, "the replica cannot begin anew yet");
        }
    }
}

fn own_generation(cluster: &Cluster, id: GroupId) -> u32 {
    cluster.groups[&id].id().generation()
}

/// Opens a group's replica; one whose state is damaged is opened without it, in quarantine, and
/// rebuilt as soon as the others can do without its vote.
pub(crate) async fn open(
    config: &Config,
    consensus: &vatic_consensus::Node,
    group: GroupId,
    disk: &AtRest,
) -> Result<GroupHandle, ServerError> {
    let failed = |error: CreateError| ServerError::Consensus(error.to_string());
    let founders = founders(config, group);
    let own = consensus.generation_of(group.0).map_err(failed)?;
    let generation = own.map_or(1, |(generation, _)| generation);
    let id = ReplicaId { group: group.0, generation };
    let AtRest { store, damaged, diaries } = disk;
    let opened = if damaged.contains(&id) || !can_be_opened(store, id).await {
        tracing::error!(%group, generation, "the state is damaged: the replica serves no more");
        consensus.create_damaged(group.0, 1, &founders).await
    } else {
        let machine = Scribe::new(group, diaries.clone());
        consensus.create_group(group.0, 1, &founders, machine).await
    };
    opened.map_err(failed)
}

/// What opening replicas looks at.
pub(crate) struct AtRest {
    pub(crate) store: Store,
    /// Those whose state is damaged.
    pub(crate) damaged: BTreeSet<ReplicaId>,
    /// None where nobody wants them.
    pub(crate) diaries: Option<Diaries>,
}

/// Whether all that opening a replica reads is whole: the same code reads it, and stops nothing.
async fn can_be_opened(store: &Store, id: ReplicaId) -> bool {
    // Asking for one that is not there would make it.
    if !store.replicas().contains(&id) {
        return true;
    }
    let replica = store.replica(id);
    let looking = move || {
        let probe = replica.probe();
        drop(Group::open(GroupId(id.group), &probe, Rules::default()));
        probe.damage()
    };
    let damage = match tokio::task::spawn_blocking(looking).await {
        Ok(damage) => damage,
        // Else the runtime is closing.
        Err(error) => return !error.is_panic(),
    };
    if let Some(damage) = &damage {
        tracing::error!(group = id.group, %damage, "found at the start");
    }
    damage.is_none()
}

/// What the store does when it cannot go on: notes that there may be damage, and stops the node.
pub(crate) fn on_fatal(dir: PathBuf) -> FatalAction {
    Arc::new(move |reason| {
        tracing::error!(reason, "the state cannot go on; stopping the node");
        eprintln!("vatic: the state cannot go on: {reason}");
        eprintln!(
            "vatic: started again, this node looks for damaged values and has them made anew; if \
             it ends like this again, delete {}: it comes back from the other nodes",
            dir.display()
        );
        // Not noted: the next start meets it as this one did.
        let _ = fs::write(dir.join(NOTE), reason);
        std::process::abort();
    })
}

/// The replicas whose state is damaged, where an earlier run gave reason to look: all of it is read
/// then, at each start until nothing damaged is left.
pub(crate) fn damaged(dir: &Path, store: &Store) -> io::Result<BTreeSet<ReplicaId>> {
    let note = dir.join(NOTE);
    if !note.exists() {
        return Ok(BTreeSet::new());
    }
    let mut found = BTreeSet::new();
    for id in store.replicas() {
        let mut scrub = store.replica(id).scrub();
        while scrub.step() {}
        if let Some(damage) = &scrub.report().first_damage {
            tracing::error!(group = id.group, %damage, "found at the start");
            found.insert(id);
        }
    }
    if found.is_empty() {
        fs::remove_file(note)?;
    }
    Ok(found)
}
