//! How a node opens its replica of a group: with the generation that it has, or the next one.
//!
//! Why one file: create, rejoin and rebuild differ only in which generation they open and in how it
//! comes to take part; what they must agree on is the order in which things become durable.
//!
//! Invariants: a group is initialized once, by its founding member with the lowest Raft id, and
//! opening it again changes nothing; the earlier replica has ended before a later generation is
//! noted, and it is noted before its replica begins; so of two generations at most one ever runs,
//! and a restart finds which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fail::fail_point;

use crate::entry::{Entry, Founding, Way};
use crate::error::{CreateError, RebuildError};
use crate::group::GroupHandle;
use crate::log_bound::LogBound;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::node::{Member, Node};
use crate::notes::Notes;
use crate::raft_config::raft_config;
use crate::retire::Retire;
use crate::seat::Seat;
use crate::seeded::{Bug, planted};
use crate::standing::Standing;
use crate::state_machine::StateMachine;
use crate::transport::introduce::{Circle, Known, probe};
use crate::transport::link::Links;
use crate::transport::registry::Target;
use crate::types::{Place, Raft, RaftId};

/// A replica that is about to be opened.
struct Opening<'m> {
    group: u32,
    id: RaftId,
    /// Where the other members are, or were.
    members: &'m [Member],
    notes: Arc<Notes>,
}

impl Node {
    /// Opens this node's replica of the group: with the log and state it has, or as a new one. The
    /// members are the founding ones; `generation` is this node's among them. A node that has gone
    /// on to a later generation opens that. The member with the lowest id founds a group that is
    /// new with these members; later, and on the others, the membership in the log counts.
    ///
    /// A new replica takes part only after every other founding member has said that this one is
    /// new ([`Standing::Asking`]); if one says otherwise, it is [`Standing::Displaced`].
    pub async fn create_group(
        &self,
        group: u32,
        generation: u32,
        members: &[Member],
        machine: impl Machine,
    ) -> Result<GroupHandle, CreateError> {
        self.create(group, generation, members, Some(Box::new(machine))).await
    }

    /// As [`Self::create_group`], of a replica whose state is damaged. It is put into quarantine,
    /// and opened without its state, which would stop the node: it votes and appends, so that the
    /// group loses no quorum, and applies nothing, until [`Self::rebuild_group`]. What is on disk
    /// stays as it is.
    pub async fn create_damaged(
        &self,
        group: u32,
        generation: u32,
        members: &[Member],
    ) -> Result<GroupHandle, CreateError> {
        self.create(group, generation, members, None).await
    }

    async fn create(
        &self,
        group: u32,
        generation: u32,
        members: &[Member],
        machine: Option<Box<dyn Machine>>,
    ) -> Result<GroupHandle, CreateError> {
        let founders = self.check_members(group, generation, members)?;
        let mut open = self.shared.open.lock().await;
        let groups = open.groups.as_mut().ok_or(CreateError::Stopped)?;
        if groups.contains_key(&group) {
            return Err(CreateError::Open { group });
        }
        let notes = self.notes(group)?;
        let id = RaftId::new(self.id(), notes.own().map_or(generation, |own| own.max(generation)));
        let founding: Founding = (founders.keys().next() == Some(&id)).then(|| founders.clone());
        let known = notes.own().is_some_and(|own| own >= generation) || self.has_log(group, id);
        let way = match (founders.contains_key(&id), known) {
            (false, _) => Way::Join,
            (true, true) => Way::Resume(founding),
            (true, false) if planted(Bug::LostDiskAsksNobody) => Way::Resume(founding),
            (true, false) => Way::Ask(founding),
        };
        if machine.is_none() {
            // Before it is opened, which only one that serves nobody may be.
            let noted = notes.quarantine(id.generation()).await;
            noted.map_err(|error| CreateError::Failed { group, reason: error.to_string() })?;
        }
        let opening = Opening { group, id, members, notes };
        let handle = self.open(&opening, None, way, machine).await?;
        groups.insert(group, handle.clone());
        Ok(handle)
    }

    /// Begins this node's replica of `generation`, empty, in place of the one it had, which ends
    /// here and now. It waits to be taken in by the leader, and asks for that until it is a voter
    /// ([`Standing::Joining`], then [`Standing::Member`]); the earlier replica's log and state are
    /// deleted then. Handles of the group stay valid. `members` says where to ask.
    ///
    /// Asked again with the same generation it changes nothing. It must be greater than any that
    /// this node had, which after the loss of its disk only the others know:
    /// [`Standing::Displaced`] says it.
    pub async fn rejoin_group(
        &self,
        group: u32,
        generation: u32,
        members: &[Member],
        machine: impl Machine,
    ) -> Result<GroupHandle, CreateError> {
        let mut open = self.shared.open.lock().await;
        let groups = open.groups.as_mut().ok_or(CreateError::Stopped)?;
        let former = groups.get(&group).cloned();
        let notes = match &former {
            Some(former) => former.notes().clone(),
            None => self.notes(group)?,
        };
        let id = RaftId::new(self.id(), generation);
        if let Some(former) = former.as_ref().filter(|former| former.id() == id) {
            return Ok(former.clone());
        }
        let held = notes.own().max(former.as_ref().map(|former| former.id().generation()));
        let held = held.unwrap_or(0);
        // Equal: it was noted, and then not opened.
        if generation < held || former.as_ref().is_some_and(|former| former.id() > id) {
            return Err(CreateError::NotNewer { group, generation, held });
        }
        if let Some(former) = &former {
            self.shared.registry.remove(group, former.id());
            former.seat().stop_serving();
            former.seat().close().await;
        }
        fail_point!("consensus::rejoin");
        let noted = notes.set_own(generation).await;
        noted.map_err(|error| CreateError::Failed { group, reason: error.to_string() })?;
        fail_point!("consensus::rejoin_noted");
        let opening = Opening { group, id, members, notes };
        let handle = self.open(&opening, former, Way::Join, Some(Box::new(machine))).await?;
        groups.insert(group, handle.clone());
        Ok(handle)
    }

    /// Does what a replica's standing asks of its node: one that others went on without, or that is
    /// in quarantine, begins anew. None where it asks for nothing. What fails is to be tried again.
    pub async fn begin_anew(
        &self,
        group: u32,
        standing: Standing,
        members: &[Member],
        machine: impl Machine,
    ) -> Option<Result<GroupHandle, RebuildError>> {
        match standing {
            Standing::Displaced { next_generation } => {
                let begun = self.rejoin_group(group, next_generation, members, machine).await;
                Some(begun.map_err(RebuildError::from))
            }
            Standing::Quarantined => Some(self.rebuild_group(group, machine).await),
            Standing::Member | Standing::Asking | Standing::Joining => None,
        }
    }

    /// Replaces this node's replica, which was found to differ or damaged, by an empty one of the
    /// next generation ([`Self::rejoin_group`]). Puts it into quarantine first, if nobody has.
    ///
    /// Refused, and safe to repeat, while the other voters that answer are no quorum: the replica
    /// stays in quarantine, and its vote keeps the group alive.
    pub async fn rebuild_group(
        &self,
        group: u32,
        machine: impl Machine,
    ) -> Result<GroupHandle, RebuildError> {
        let handle = self.group(group).await.ok_or(RebuildError::NotOpen { group })?;
        // A leadership that was not handed over ends with the replica, and the others elect.
        let quarantined = *handle.standing().borrow() == Standing::Quarantined;
        let _ = match quarantined {
            // Whoever put it into quarantine may be about to.
            true => handle.hand_over().await,
            false => handle.quarantine().await,
        };
        let own = handle.id();
        let server = handle.seat().server();
        let voters: BTreeSet<RaftId> = server.membership_config.voter_ids().collect();
        let circle = self.circle(group, handle.notes().clone());
        let others: Vec<RaftId> =
            voters.iter().copied().filter(|id| id.node() != own.node()).collect();
        let asked = others.iter().map(|id| probe(&circle, id.node(), own));
        let answers = futures::future::join_all(asked).await;
        // Of several that are in quarantine one after the other goes, the lowest first: each
        // counts on the votes of those that are still to go.
        let stays = |(id, known): &(&RaftId, Option<Known>)| {
            let known = known.as_ref().filter(|known| known.generation == id.generation());
            known.is_some_and(|known| known.serves || id.node() > own.node())
        };
        let answering = others.iter().zip(answers).filter(stays).count();
        let needed = voters.len() / 2 + 1;
        if answering < needed {
            return Err(RebuildError::QuorumAtRisk { group, answering, needed });
        }
        let members: Vec<Member> = server
            .membership_config
            .nodes()
            .map(|(id, place)| Member {
                node: id.node(),
                generation: id.generation(),
                address: place.address.clone(),
            })
            .collect();
        let of_node = members.iter().filter(|member| member.node == own.node());
        let latest = of_node.map(|member| member.generation).chain([own.generation()]).max();
        let next = latest.unwrap_or(0) + 1;
        Ok(self.rejoin_group(group, next, &members, machine).await?)
    }

    /// The generation of this node's replica of the group, open or not, and whether that is in
    /// quarantine; `None` where it never had one. So whoever found a replica's state damaged knows
    /// whether that is the one which [`Self::create_damaged`] would open.
    pub fn generation_of(&self, group: u32) -> Result<Option<(u32, bool)>, CreateError> {
        let notes = self.notes(group)?;
        Ok(notes.own().map(|own| (own, notes.is_quarantined(own))))
    }

    fn notes(&self, group: u32) -> Result<Arc<Notes>, CreateError> {
        let notes = Notes::open(&self.shared.log, group, self.shared.config.fatal.clone());
        let failed =
            |error: std::io::Error| CreateError::Failed { group, reason: error.to_string() };
        notes.map(Arc::new).map_err(failed)
    }

    /// A replica of a build that noted nothing.
    fn has_log(&self, group: u32, id: RaftId) -> bool {
        let id = vatic_log::ReplicaId { group, generation: id.generation() };
        let state = self.shared.log.replica(id).state();
        state.vote.is_some() || state.last.is_some() || state.purged.is_some()
    }

    fn circle(&self, group: u32, notes: Arc<Notes>) -> Circle {
        let peers = self.shared.peers.clone();
        Circle { peers, group, notes, gone: Arc::default(), round_trip: Arc::default() }
    }

    fn check_members(
        &self,
        group: u32,
        generation: u32,
        members: &[Member],
    ) -> Result<BTreeMap<RaftId, Place>, CreateError> {
        let nodes: BTreeSet<u32> = members.iter().map(|member| member.node).collect();
        if nodes.len() < members.len() {
            return Err(CreateError::MemberTwice { group });
        }
        let places: BTreeMap<RaftId, Place> = members
            .iter()
            .map(|member| {
                let place = Place { address: member.address.clone() };
                (RaftId::new(member.node, member.generation), place)
            })
            .collect();
        match places.contains_key(&RaftId::new(self.id(), generation)) {
            true => Ok(places),
            false => Err(CreateError::NotMember { group, node: self.id(), generation }),
        }
    }

    /// Opens a seat, behind the handle there is or a new one, and lets it take part its way.
    async fn open(
        &self,
        opening: &Opening<'_>,
        former: Option<GroupHandle>,
        way: Way,
        machine: Option<Box<dyn Machine>>,
    ) -> Result<GroupHandle, CreateError> {
        let &Opening { group, id, members, ref notes } = opening;
        for member in members {
            self.shared.addresses.learn(member.node, &member.address);
        }
        let circle = self.circle(group, notes.clone());
        let seat = self.open_seat(group, id, circle.clone(), machine).await;
        let seat = seat.map_err(|reason| CreateError::Failed { group, reason })?;
        let handle = match former {
            Some(handle) => {
                handle.replace_seat(seat);
                handle
            }
            None => {
                let (limits, log) = (self.shared.limits.clone(), self.shared.log.clone());
                GroupHandle::new(group, seat, limits, notes.clone(), log)
            }
        };
        let seat = handle.seat();
        if notes.is_quarantined(id.generation()) {
            seat.stop_serving();
            handle.standing_sender().send_replace(Standing::Quarantined);
        } else {
            handle.standing_sender().send_replace(Standing::default());
        }
        let leads = handle.leads().clone();
        if let Some(leads) = leads {
            seat.watch(leads, self.shared.config.fatal.clone()).await;
        }
        self.shared.registry.insert_group(handle.clone());
        seat.spawn(self.entry(&handle, circle, members).run(way)).await;
        seat.spawn(self.retire(&handle).run()).await;
        seat.spawn(self.log_bound(&handle).run()).await;
        Ok(handle)
    }

    fn entry(&self, handle: &GroupHandle, circle: Circle, members: &[Member]) -> Entry {
        let (seat, own) = (handle.seat(), self.id());
        let address = members.iter().find(|member| member.node == own);
        let (group, generation) = (handle.group(), seat.id.generation());
        let name = format!("{group}-{generation}");
        let log_id = vatic_log::ReplicaId { group, generation };
        Entry {
            circle,
            id: seat.id,
            raft: seat.raft.clone(),
            others: members.iter().map(|member| member.node).filter(|node| *node != own).collect(),
            address: address.map_or_else(|| self.address().to_string(), |it| it.address.clone()),
            limits: self.shared.limits.clone(),
            registry: self.shared.registry.clone(),
            target: Target {
                raft: seat.raft.clone(),
                name,
                replica: seat.replica.clone(),
                log: self.shared.log.replica(log_id),
                fsync_deadline_ms: self.shared.limits.append_deadline_ms,
                transfers: Arc::default(),
                installs: Arc::default(),
                metrics: self.shared.metrics.clone(),
                serving: seat.serving(),
                heard: seat.heard(),
                notes: handle.notes().clone(),
            },
            standing: handle.standing_sender(),
            fatal: self.shared.config.fatal.clone(),
        }
    }

    fn retire(&self, handle: &GroupHandle) -> Retire {
        Retire {
            log: self.shared.log.clone(),
            store: self.shared.store.clone(),
            group: handle.group(),
            id: handle.id(),
            raft: handle.raft(),
        }
    }

    fn log_bound(&self, handle: &GroupHandle) -> LogBound {
        let (shared, seat) = (&self.shared, handle.seat());
        let (group, generation) = (handle.group(), seat.id.generation());
        LogBound {
            log: shared.log.clone(),
            own: shared.log.replica(vatic_log::ReplicaId { group, generation }),
            replica: seat.replica.clone(),
            raft: seat.raft.clone(),
            limits: shared.limits.clone(),
            metrics: shared.metrics.clone(),
        }
    }

    async fn open_seat(
        &self,
        group: u32,
        id: RaftId,
        circle: Circle,
        machine: Option<Box<dyn Machine>>,
    ) -> Result<Seat, String> {
        let limits = &self.shared.limits;
        let generation = id.generation();
        let log = self.shared.log.replica(vatic_log::ReplicaId { group, generation });
        let fatal = self.shared.config.fatal.clone();
        let opening = {
            let (store, log, fatal) = (self.shared.store.clone(), log.clone(), fatal.clone());
            move || {
                let replica = store.replica(vatic_store::ReplicaId { group, generation });
                replica.set_fence(move || log.durable_index());
                let machine = StateMachine::open(group, store, replica.clone(), machine, fatal);
                machine.map(|machine| (replica, machine))
            }
        };
        let opened = tokio::task::spawn_blocking(opening).await.map_err(|e| e.to_string())?;
        let (replica, machine) = opened.map_err(|error| error.to_string())?;
        let bound = replica.clone();
        let purge_bound = Arc::new(move || bound.flushed().map(|mark| mark.index));
        let log_store = LogStore::new(log, limits.clone(), fatal, purge_bound);
        let settings = raft_config(limits, group)?;
        let raft =
            Raft::new(id, settings, Links::new(circle.clone(), id), log_store, machine).await;
        let raft = raft.map_err(|error| error.to_string())?;
        let metrics = self.shared.metrics.of_group(group);
        Ok(Seat::start(circle, id, raft, replica, limits.clone(), metrics))
    }
}
