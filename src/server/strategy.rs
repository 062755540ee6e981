//! Conflict strategies at the gateway: which one a transaction is under, what that has it do before
//! its votes, and after a No.
//!
//! What a strategy means for the votes is the core's rule; here are its waits. All of them are
//! bounded, and whoever has waited in vain goes on: the votes say what is still in the way.

use crate::{
    cluster::Cluster,
    foresight, outcome,
    peer::{Origin, PeerFound, PeerRead},
    stage::Stager,
    status::ApiError,
    time,
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;
use vatic_core::{
    command::Cause,
    draft::Draft,
    id::{GroupId, Timestamp},
    key::{Key, KeyRange},
    lane::{Turn, Urgency},
    read::Record,
    strategy::{Basis, Strategy},
};
use vatic_proto::v1;

/// Attempts at one transaction.
const ATTEMPTS_MAX: u32 = 16;
/// A turn ends by itself after so long.
const HOLD_US: u64 = 1_000_000;

/// What a client asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted {
    strategy: Option<Strategy>,
    /// All of its reads shall hold, whatever its collections say.
    strict: bool,
}

/// How a transaction goes about conflicts.
pub(crate) struct Course {
    cluster: Arc<Cluster>,
    wanted: Wanted,
    /// Known once it touches a record.
    strategy: Option<Strategy>,
    token: u64,
    turns: BTreeSet<(GroupId, Key)>,
}

impl Wanted {
    /// What a request's fields say.
    pub(crate) fn parse(isolation: i32, strategy: i32) -> Result<Wanted, ApiError> {
        let bad = |what| Err(ApiError::BadFrame { what });
        let strategy = match v1::Strategy::try_from(strategy) {
            Ok(strategy) => from_wire(strategy),
            Err(_) => return bad(format!("strategy {strategy} is not known")),
        };
        let Ok(isolation) = v1::Isolation::try_from(isolation) else {
            return bad(format!("isolation {isolation} is not known"));
        };
        match (isolation, strategy) {
            (v1::Isolation::Unspecified, strategy) => Ok(Wanted { strategy, strict: false }),
            (
                v1::Isolation::StrictSerializable,
                None | Some(Strategy::Optimistic | Strategy::Lock),
            ) => Ok(Wanted { strategy, strict: true }),
            (v1::Isolation::Snapshot, None | Some(Strategy::Snapshot)) => {
                Ok(Wanted { strategy: Some(Strategy::Snapshot), strict: false })
            }
            (isolation, Some(strategy)) => bad(format!(
                "strategy {} does not give isolation {}",
                strategy.name(),
                isolation.as_str_name()
            )),
        }
    }
}

impl Course {
    pub(crate) fn new(cluster: &Arc<Cluster>, wanted: Wanted) -> Course {
        Course {
            cluster: cluster.clone(),
            wanted,
            strategy: None,
            token: rand::random_range(1..=u64::MAX),
            turns: BTreeSet::new(),
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.strategy.is_some()
    }

    /// The strategy, which the first record that is touched decides where the client did not.
    pub(crate) fn settle(&mut self, first: &Key) -> Strategy {
        let Wanted { strategy, strict } = self.wanted;
        let of_collection = || match self.cluster.policies().of(&first.collection).strategy {
            Strategy::Lock => Strategy::Lock,
            _ if strict => Strategy::Optimistic,
            strategy => strategy,
        };
        *self.strategy.get_or_insert_with(|| strategy.unwrap_or_else(of_collection))
    }

    /// To be told of each record before it is touched. The first one decides what the draft rests
    /// on; a snapshot shows that one as it is now, and all others as of the same moment.
    pub(crate) async fn touch(
        &mut self,
        draft: &mut Draft,
        key: &Key,
        ends: Instant,
    ) -> Result<(), ApiError> {
        if self.is_settled() {
            return Ok(());
        }
        let basis = match self.settle(key) {
            Strategy::Optimistic | Strategy::Lock => Basis::Reads,
            Strategy::Rebase => Basis::Rebase,
            Strategy::LastWriterWins => Basis::Nothing,
            Strategy::Snapshot => {
                let group = draft.touch(key)?;
                let range = PeerRead::SnapshotOf(KeyRange::only(key));
                let PeerFound::SnapshotOf(at) = self.cluster.read(group, range, ends).await? else {
                    return Err(ApiError::NoLeader { group });
                };
                Basis::Snapshot(at)
            }
        };
        draft.rest_on(basis);
        Ok(())
    }

    /// A record for the transaction to go on with, and whether somebody is about to write it.
    pub(crate) async fn read(
        &mut self,
        group: GroupId,
        key: Key,
        at: Option<Timestamp>,
        ends: Instant,
    ) -> Result<(Record, bool), ApiError> {
        let read = match (at, self.strategy) {
            (Some(at), _) => PeerRead::GetAt(key, at),
            (None, Some(Strategy::Lock)) if !self.has_turn(group, &key) => self.in_turn(group, key),
            _ => PeerRead::Peek(key),
        };
        let ends = match &read {
            PeerRead::InTurn(..) => self.turn_ends(ends),
            _ => ends,
        };
        match self.cluster.read(group, read, ends).await? {
            PeerFound::Record(record, pending) => Ok((record, pending)),
            PeerFound::Snapshot(fault) => Err(crate::records::snapshot_error(fault, at)),
            _ => Err(ApiError::NoLeader { group }),
        }
    }

    /// Votes, and whatever the strategy does about a No. `staged` transitions belong to the attempt
    /// that they were staged for: there is no other one.
    pub(crate) async fn finish(
        &mut self,
        mut draft: Draft,
        stager: Option<Stager>,
        origin: Origin,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let cluster = self.cluster.clone();
        let strategy = self.strategy.unwrap_or_default();
        if strategy == Strategy::Lock {
            self.take_turns(&draft, ends).await;
        }
        let origin = if self.turns.is_empty() { origin } else { origin.with_token(self.token) };
        let staged = stager.as_ref().is_some_and(Stager::holds_some);
        if strategy == Strategy::Optimistic || !draft.is_claimed() || staged {
            return outcome::finish(&cluster, draft, stager, origin, ends).await;
        }
        let mut attempts = 1;
        loop {
            let attempt = outcome::attempt(&cluster, draft.clone(), None, origin, ends).await?;
            let waits = |cause: &Cause| strategy.waits_for(&cause.why).is_some();
            let again = attempt.cause.as_ref().is_some_and(waits) && attempts < ATTEMPTS_MAX;
            if !again || !foresight::wait_until_free(&cluster, &draft, ends).await {
                return Ok(v1::Outcome { attempts, ..attempt.outcome });
            }
            draft.again(time::now(), rand::random());
            attempts += 1;
        }
    }

    /// Its turns with the records that it writes and has none with yet, in the order of their keys.
    async fn take_turns(&mut self, draft: &Draft, ends: Instant) {
        for (group, key) in draft.written() {
            if self.has_turn(group, &key) {
                continue;
            }
            let (read, ends) = (self.in_turn(group, key), self.turn_ends(ends));
            if let Err(error) = self.cluster.read(group, read, ends).await {
                tracing::debug!(%group, %error, "no turn was had");
            }
        }
    }

    fn has_turn(&self, group: GroupId, key: &Key) -> bool {
        self.turns.contains(&(group, key.clone()))
    }

    fn in_turn(&mut self, group: GroupId, key: Key) -> PeerRead {
        let turns = u32::try_from(self.turns.len()).unwrap_or(u32::MAX);
        self.turns.insert((group, key.clone()));
        let turn = Turn { token: self.token, hold_us: HOLD_US };
        PeerRead::InTurn(key, turn, Urgency { turns, ..Urgency::default() })
    }

    fn turn_ends(&self, ends: Instant) -> Instant {
        ends.min(time::deadline_in(self.cluster.config.limits.turn_wait_ms))
    }
}

/// A strategy as clients name it; none where they leave it open.
pub(crate) fn from_wire(strategy: v1::Strategy) -> Option<Strategy> {
    match strategy {
        v1::Strategy::Unspecified => None,
        v1::Strategy::Optimistic => Some(Strategy::Optimistic),
        v1::Strategy::Rebase => Some(Strategy::Rebase),
        v1::Strategy::Snapshot => Some(Strategy::Snapshot),
        v1::Strategy::Lock => Some(Strategy::Lock),
        v1::Strategy::LastWriterWins => Some(Strategy::LastWriterWins),
    }
}

pub(crate) fn to_wire(strategy: Strategy) -> v1::Strategy {
    match strategy {
        Strategy::Optimistic => v1::Strategy::Optimistic,
        Strategy::Rebase => v1::Strategy::Rebase,
        Strategy::Snapshot => v1::Strategy::Snapshot,
        Strategy::Lock => v1::Strategy::Lock,
        Strategy::LastWriterWins => v1::Strategy::LastWriterWins,
    }
}
