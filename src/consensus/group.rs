//! One group on this node, as the server holds it.
//!
//! Why a handle: any number of tasks propose and read; what they share is two queues, served by
//! one task each (`proposer`, `reader`), and a watch on who leads. It stays valid when this node's
//! replica is replaced by a later generation: then another [`Seat`] stands behind it.
//!
//! Invariant: nothing here waits for ever but `propose`, which waits for the group: a caller that
//! gives up must treat its command's outcome as unknown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::watch;
use vatic_log::Log;

use crate::change;
use crate::error::{ChangeError, ProposeError, ReadError, TransferError};
use crate::limits::Limits;
use crate::metrics::Times;
use crate::notes::Notes;
use crate::proposer::Rank;
use crate::seat::Seat;
use crate::standing::Standing;
use crate::status::{self, LeaderHint, Leadership, Status};
use crate::transport::introduce::Known;
use crate::types::{Raft, RaftId};

/// A command that is committed, and applied on this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Of the log entry that carried it, beside others.
    pub index: u64,
    /// What the machine answered.
    pub reply: Bytes,
    /// What became of the time.
    pub times: Times,
}

/// A group of this node. Clones are the same group.
#[derive(Clone)]
pub struct GroupHandle {
    shared: Arc<Shared>,
}

struct Shared {
    group: u32,
    limits: Arc<Limits>,
    notes: Arc<Notes>,
    log: Arc<Log>,
    seat: RwLock<Arc<Seat>>,
    /// `None` once the group is closed.
    leads: Mutex<Option<Arc<watch::Sender<Leadership>>>>,
    leadership: watch::Receiver<Leadership>,
    standing: watch::Sender<Standing>,
    /// Held by the one replacement of a replica that this leader works on.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl GroupHandle {
    pub(crate) fn new(
        group: u32,
        seat: Seat,
        limits: Arc<Limits>,
        notes: Arc<Notes>,
        log: Arc<Log>,
    ) -> Self {
        let (leads, leadership) = watch::channel(Leadership::default());
        let shared = Shared {
            group,
            limits,
            notes,
            log,
            seat: RwLock::new(Arc::new(seat)),
            leads: Mutex::new(Some(Arc::new(leads))),
            leadership,
            standing: watch::Sender::default(),
            changing: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn seat(&self) -> Arc<Seat> {
        self.shared.seat.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace_seat(&self, seat: Seat) {
        *self.shared.seat.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(seat);
    }

    pub(crate) fn raft(&self) -> Raft {
        self.seat().raft.clone()
    }

    pub(crate) fn notes(&self) -> &Arc<Notes> {
        &self.shared.notes
    }

    pub(crate) fn leads(&self) -> MutexGuard<'_, Option<Arc<watch::Sender<Leadership>>>> {
        self.shared.leads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn standing_sender(&self) -> watch::Sender<Standing> {
        self.shared.standing.clone()
    }

    pub fn group(&self) -> u32 {
        self.shared.group
    }

    /// The Raft id of this node's present replica.
    pub fn id(&self) -> RaftId {
        self.seat().id
    }

    /// Replicates the command and applies it. Waits while the group's queue is full; a caller with
    /// a deadline must put it around this, and take the outcome as unknown when it passes.
    pub async fn propose(&self, command: Bytes) -> Result<Applied, ProposeError> {
        self.propose_ranked(command, Rank::FIRST).await
    }

    /// The same behind what has a higher rank, of all that waits for the same entry.
    pub async fn propose_ranked(
        &self,
        command: Bytes,
        rank: Rank,
    ) -> Result<Applied, ProposeError> {
        let limit_bytes = self.shared.limits.command_bytes_max;
        if command.len() > limit_bytes {
            let command_bytes = command.len();
            let limit = "command_bytes_max";
            return Err(ProposeError::TooLarge { limit, limit_bytes, command_bytes });
        }
        self.seat().propose(command, rank).await
    }

    /// A linearizable read barrier: once it returns, the state here ([`Self::view`]) covers every
    /// write that was acknowledged before the call, by whichever leader. Only the leader answers.
    pub async fn read_index(&self) -> Result<(), ReadError> {
        self.seat().read_index().await
    }

    /// The applied state of this replica, now. Linearizable only after [`Self::read_index`]; a
    /// replica in quarantine shows what it has, which may be wrong.
    pub fn view(&self) -> vatic_store::View {
        self.seat().replica.view()
    }

    /// The same with the Raft id of the replica, while that serves: not in quarantine. A reader
    /// that waits must find the same id each time that it looks: what comes after a quarantine is
    /// another replica, and empty at first.
    pub fn serving_view(&self) -> Option<(RaftId, vatic_store::View)> {
        let seat = self.seat();
        let view = seat.replica.view();
        seat.serves().then_some((seat.id, view))
    }

    /// The leader that this replica knew last.
    pub fn leader(&self) -> Option<RaftId> {
        self.leadership_now().leader
    }

    /// The leader, while it is heard of: at itself, by a quorum that answers; at the others, by
    /// what it sends. A follower of a leader that has lost its quorum hears it all the same.
    pub fn leader_heard(&self) -> Option<RaftId> {
        self.seat().leader_heard()
    }

    /// Where to send what only the leader answers; `None` where that is here, or not known.
    pub fn leader_hint(&self) -> Option<LeaderHint> {
        self.seat().leader_hint()
    }

    /// Whether this replica holds itself for the leader. A deposed leader may, for a while: only
    /// [`Self::read_index`] and [`Self::propose`] know.
    pub fn is_leader(&self) -> bool {
        self.leadership_now().local
    }

    pub fn leadership_now(&self) -> Leadership {
        self.seat().leadership()
    }

    /// Tells of changes of the leader or the term. It ends when the group is closed.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// How this node's replica stands with the others, and changes of that.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.subscribe()
    }

    pub fn status(&self) -> Status {
        let standing = *self.shared.standing.borrow();
        status::status(self.shared.group, &self.seat(), standing)
    }

    /// Hands the leadership to the voter on `node`, and returns once that leads. Proposals are
    /// refused meanwhile. If it fails, the group elects.
    pub async fn transfer_leader(&self, node: u32) -> Result<(), TransferError> {
        self.seat().transfer_leader(node, self.leadership(), Known::is_fit).await
    }

    /// Whether this node's disk has room for new work. Asks the disk.
    pub fn has_disk_room(&self) -> bool {
        self.seat().replica.disk_has_room() && !self.shared.log.is_full()
    }

    /// Whether it would have for a while yet, so that leadership given to it stays.
    fn has_ample_disk_room(&self) -> bool {
        self.seat().replica.disk_has_ample_room() && !self.shared.log.is_full()
    }

    /// Hands the leadership, if it is here, to a voter whose disk has room and that lacks nothing
    /// committed. It stays where no majority has room: new work would fill what the others keep for
    /// decisions.
    pub async fn leave_full_disk(&self) -> Result<(), TransferError> {
        let (seat, status) = (self.seat(), self.status());
        if status.leadership.leader != Some(seat.id) {
            return Ok(());
        }
        let voters = status.members.iter().filter(|member| member.voter);
        let others: Vec<_> = voters.filter(|member| member.id != seat.id).collect();
        let known = join_all(others.iter().map(|other| seat.probe(other.id.node()))).await;
        let fit = others.iter().zip(known).filter(|(_, known)| known.is_some_and(|it| it.is_fit()));
        let fit: Vec<_> = fit.map(|(other, _)| *other).collect();
        let (roomy, needed) = (fit.len(), others.len().div_ceil(2) + 1);
        let current = fit.into_iter().filter(|other| other.matched >= status.committed);
        match current.max_by_key(|other| other.matched).filter(|_| roomy >= needed) {
            Some(other) => self.transfer_leader(other.id.node()).await,
            None => Err(TransferError::NoRoom { roomy, needed }),
        }
    }

    /// Hands the leadership, if it is here, to the voter that has most of the log.
    pub(crate) async fn hand_over(&self) -> Result<(), TransferError> {
        let seat = self.seat();
        if seat.server().current_leader != Some(seat.id) {
            return Ok(());
        }
        let mut others = self.status().members;
        others.retain(|member| member.voter && member.id != seat.id);
        others.sort_by_key(|member| std::cmp::Reverse(member.matched));
        let mut handed = Ok(());
        for other in others {
            let serves = |known: &Known| known.serves;
            handed = seat.transfer_leader(other.id.node(), self.leadership(), serves).await;
            // One that is not fit was not asked; after any other failure there is an election.
            if !matches!(handed, Err(TransferError::Unfit { .. })) {
                break;
            }
        }
        handed
    }

    /// This replica's state was found to differ, or damaged. From now on, also after a restart, it
    /// answers every read and proposal with `NotLeader`, those under way included; it gives the
    /// leadership away, and goes on voting and appending, so that the group loses no quorum.
    /// [`crate::Node::rebuild_group`] ends it.
    ///
    /// The error says that the leadership was not handed over: this leader stops its heartbeats
    /// then, and the others elect.
    pub async fn quarantine(&self) -> Result<(), TransferError> {
        let seat = self.seat();
        seat.stop_serving();
        self.shared.standing.send_replace(Standing::Quarantined);
        if let Some(leads) = &*self.leads() {
            leads.send_replace(seat.leadership());
        }
        // An error has ended the process, or the node is closing.
        let _ = self.shared.notes.quarantine(seat.id.generation()).await;
        let handed = self.hand_over().await;
        if handed.is_err() {
            seat.raft.runtime_config().heartbeat(false);
        }
        handed
    }

    /// Replaces the replicas that `node` had in this group by the one of `generation`, which waits
    /// there ([`crate::Node::rejoin_group`]), or adds it where the node had none. Only the leader
    /// does it. It returns once the membership is done; asked for again, by whomever, it goes on
    /// where it was. The waiting replica asks for it by itself.
    pub async fn replace_replica(
        &self,
        node: u32,
        generation: u32,
        address: &str,
    ) -> Result<(), ChangeError> {
        let _changing = self.shared.changing.lock().await;
        let id = RaftId::new(node, generation);
        change::replace(&self.raft(), &self.shared.limits, id, address).await
    }

    /// Answers a peer's question about a replica of its own.
    pub(crate) async fn known_of(&self, id: RaftId) -> Known {
        let node = id.node();
        let seat = self.seat();
        let leader = seat.server().current_leader;
        let leads = leader == Some(seat.id) && self.read_index().await.is_ok();
        let members = seat.server().membership_config;
        let listed = members.nodes().filter(|(id, _)| id.node() == node);
        let listed = listed.map(|(id, _)| id.generation()).max().unwrap_or(0);
        let (met, generation) = (self.shared.notes.met(node), seat.id.generation());
        let (serves, has_room) = (seat.serves(), self.has_ample_disk_room());
        Known { met, listed, leads, serves, has_room, generation }
    }

    /// A peer's replica asks to be taken in. At the leader that begins, unless it is under way.
    pub(crate) fn take_in(&self, id: RaftId, address: String) {
        let raft = self.raft();
        let leads = self.seat().server().current_leader == Some(self.id());
        if leads && let Ok(changing) = self.shared.changing.clone().try_lock_owned() {
            let (limits, group) = (self.shared.limits.clone(), self.shared.group);
            tokio::spawn(async move {
                let replaced = change::replace(&raft, &limits, id, &address).await;
                tracing::info!(group, %id, ?replaced, "a replica asked to be taken in");
                drop(changing);
            });
        }
    }

    /// Ends the group's Raft and tasks, without handing anything over.
    pub(crate) async fn close(&self) {
        self.seat().close().await;
        self.leads().take();
    }
}
