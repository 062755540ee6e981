//! Conflict strategies at the gateway: which one a transaction is under, what that has it do before
//! its votes, and after a No.
//!
//! What a strategy means for the votes is the core's rule; here are its waits. All of them are
//! bounded, and whoever has waited in vain goes on: the votes say what is still in the way.

use crate::{
    cluster::Cluster,
    foresight,
    mechanisms::Mechanism,
    outcome::{self, Attempted},
    peer::{Origin, PeerFound, PeerRead},
    stage::Stager,
    status::ApiError,
    time,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;
use vatic_core::{
    draft::Draft,
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    lane::{Turn, Urgency},
    read::Record,
    strategy::{Basis, Strategy},
    ticket,
};
use vatic_proto::v1;

/// Attempts at one transaction.
const ATTEMPTS_MAX: u32 = 16;
/// A turn ends by itself after so long.
const HOLD_US: u64 = 1_000_000;
/// Whoever has a turn already waits for another one a part of the time: two that want what the
/// other has would wait for all of it.
const HOLDING_SHARE: u32 = 8;
/// Who cannot be told in this time that a turn is given back sees it end.
const GIVEN_BACK: Duration = Duration::from_micros(HOLD_US);
/// Until a decision is applied in a group that is not its home.
const APPLIED_MS_MAX: u64 = 4;

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
    /// Its own name for itself, and whose it is.
    origin: Origin,
    /// Who waits for a turn, or for a log entry, goes by it; its turns are counted below.
    urgency: Urgency,
    /// Its turns, and those of which nobody knows: an answer was lost.
    turns: BTreeSet<(GroupId, Key)>,
    /// What leaders were asked about, whether it has its turn with it or not.
    asked: BTreeSet<(GroupId, Key)>,
    /// What they are not asked about, since it was foreseen that it would not be written.
    spared: BTreeSet<(GroupId, Key)>,
}

impl Wanted {
    /// This one, whatever collections say.
    pub(crate) fn of(strategy: Strategy) -> Wanted {
        Wanted { strategy: Some(strategy), strict: false }
    }

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
                None | Some(Strategy::Optimistic | Strategy::Lock | Strategy::Adaptive),
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
    /// A transaction without a name for itself gets one.
    pub(crate) fn new(cluster: &Arc<Cluster>, wanted: Wanted, origin: Origin) -> Course {
        let by_class = cluster.config.has(Mechanism::Priority);
        let class = if by_class { origin.urgency.class } else { 0 };
        let urgency = Urgency { class, ..origin.urgency };
        let named = origin.token != 0;
        let token = if named { origin.token } else { rand::random_range(1..=u64::MAX) };
        let (turns, asked, spared) = Default::default();
        let origin = origin.with_token(token);
        let cluster = cluster.clone();
        Course { cluster, wanted, strategy: None, origin, urgency, turns, asked, spared }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.strategy.is_some()
    }

    /// The strategy, which the first record that is touched decides where the client did not.
    pub(crate) fn settle(&mut self, first: &Key) -> Strategy {
        let Wanted { strategy, strict } = self.wanted;
        let of_collection = || match self.cluster.policies().of(&first.collection).strategy {
            turns @ (Strategy::Lock | Strategy::Adaptive) => turns,
            _ if strict => Strategy::Optimistic,
            strategy => strategy,
        };
        *self.strategy.get_or_insert_with(|| strategy.unwrap_or_else(of_collection))
    }

    /// Whose it is.
    pub(crate) fn user(&self) -> u64 {
        self.origin.user
    }

    /// The strategy that it has, and what it may go over to: nothing that its client did not choose
    /// where that chose, and nothing that promises less.
    pub(crate) fn alternatives(&self, draft: &Draft) -> (Strategy, Vec<Strategy>) {
        let own = self.strategy.unwrap_or_default();
        let among = match self.wanted {
            Wanted { strategy: Some(_), .. } => vec![own],
            Wanted { strict, .. } => own.alternatives(!strict && draft.writes_unread()).to_vec(),
        };
        (own, among)
    }

    /// Goes on under this one.
    pub(crate) fn adopt(&mut self, strategy: Strategy, draft: &mut Draft) {
        self.strategy = Some(strategy);
        match strategy {
            Strategy::Optimistic | Strategy::Lock => draft.rest_on(Basis::Reads),
            Strategy::Rebase => draft.rest_on(Basis::Rebase),
            Strategy::Adaptive | Strategy::Snapshot | Strategy::LastWriterWins => {}
        }
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
            Strategy::Optimistic | Strategy::Lock | Strategy::Adaptive => Basis::Reads,
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

    /// Whether it may be one that takes turns as advised, as far as its first record decides.
    pub(crate) fn may_ask(&self) -> bool {
        let policies = self.cluster.policies();
        let any = || policies.set.values().any(|policy| policy.strategy == Strategy::Adaptive);
        self.wanted.strategy.map_or_else(any, |wanted| wanted == Strategy::Adaptive)
    }

    /// Whether it would ask a record's leader for advice as it reads it.
    pub(crate) fn would_ask(&self, group: GroupId, key: &Key) -> bool {
        self.strategy == Some(Strategy::Adaptive) && !self.has_met(&(group, key.clone()))
    }

    /// It does without, to its end: by the time that a turn came at its seal, what it read would
    /// be of before.
    pub(crate) fn spare(&mut self, group: GroupId, key: &Key) {
        self.spared.insert((group, key.clone()));
    }

    /// How many of these it does without.
    pub(crate) fn missed(&self, written: &[(GroupId, Key)]) -> u64 {
        written.iter().filter(|at| self.spared.contains(at)).count() as u64
    }

    /// A record for the transaction to go on with, and whether somebody is about to write it.
    pub(crate) async fn read(
        &mut self,
        group: GroupId,
        key: Key,
        at: Option<Timestamp>,
        ends: Instant,
    ) -> Result<(Record, bool), ApiError> {
        if let Some(seen) = self.turn(group, &key, self.next_turn_ends(ends)).await {
            return Ok(seen);
        }
        let read = match at {
            Some(at) => PeerRead::GetAt(key, at),
            None => PeerRead::Peek(key),
        };
        match self.cluster.read(group, read, ends).await? {
            PeerFound::Record(record, pending) => Ok((record, pending)),
            PeerFound::Snapshot(fault) => Err(crate::records::snapshot_error(fault, at)),
            _ => Err(ApiError::NoLeader { group }),
        }
    }

    /// Votes, once it has its turns.
    pub(crate) async fn finish(
        &mut self,
        draft: Draft,
        stager: Option<Stager>,
        origin: Origin,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let origin = self.before_votes(&draft, origin, ends).await;
        let staged = stager.as_ref().is_some_and(Stager::holds_some);
        let written = draft.written();
        let finished = outcome::finish(&self.cluster, draft, stager, origin, ends).await;
        // Where nobody answered there may have been no vote: turns are given back, which does no
        // harm to those that have ended.
        if finished.is_ok() {
            self.voted(written, staged);
        }
        finished
    }

    /// The same for a one-shot, which is voted on again where it met an undecided transaction.
    /// Streams are not: who loses the answer to one asks for it by its transaction id as well.
    pub(crate) async fn finish_at_once(
        &mut self,
        draft: Draft,
        origin: Origin,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let strategy = self.strategy.unwrap_or_default();
        if strategy == Strategy::Optimistic || !draft.is_claimed() {
            return self.finish(draft, None, origin, ends).await;
        }
        Box::pin(self.until_decided(draft, strategy, origin, ends)).await
    }

    async fn until_decided(
        &mut self,
        mut draft: Draft,
        strategy: Strategy,
        origin: Origin,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let mut origin = self.before_votes(&draft, origin, ends).await;
        let cluster = self.cluster.clone();
        let mut attempts = 1;
        let finished = loop {
            let attempt = outcome::attempt(&cluster, draft.clone(), None, origin, ends).await;
            let Attempted { outcome, cause } = match attempt {
                Ok(attempt) => attempt,
                Err(error) => break Err(error),
            };
            let by = cause.and_then(|cause| strategy.waits_for(&cause.why));
            let again = by.filter(|_| attempts < ATTEMPTS_MAX);
            let Some(by) = again else { break Ok(v1::Outcome { attempts, ..outcome }) };
            if !self.await_decision(&draft, by, ends).await {
                break Ok(v1::Outcome { attempts, ..outcome });
            }
            draft.again(time::now(), rand::random());
            attempts += 1;
            origin.urgency.rollbacks = origin.urgency.rollbacks.saturating_add(1);
        };
        if finished.is_ok() {
            self.voted(draft.written(), false);
        }
        finished
    }

    /// Waits until another transaction is decided and its locks are gone; whether it is worth
    /// another attempt, which needs time of its own.
    async fn await_decision(&self, draft: &Draft, by: Tid, ends: Instant) -> bool {
        let wait = Duration::from_millis(self.cluster.config.limits.resolve_wait_ms);
        let waits = Instant::now() + wait;
        if waits + wait > ends {
            return false;
        }
        let decided = self.cluster.read(by.home, PeerRead::Outcome(by), waits).await;
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..=APPLIED_MS_MAX))).await;
        decided.is_ok() && foresight::wait_until_free(&self.cluster, draft, waits).await
    }

    async fn before_votes(&mut self, draft: &Draft, origin: Origin, ends: Instant) -> Origin {
        if let Some(Strategy::Lock | Strategy::Adaptive) = self.strategy {
            Box::pin(self.take_turns(draft, ends)).await;
        }
        let origin = origin.with_urgency(self.urgency());
        let named = !self.turns.is_empty() || !self.asked.is_empty();
        if named { origin.with_token(self.origin.token) } else { origin }
    }

    /// Votes end the turns with what they write; staged transitions are not in them.
    fn voted(&mut self, written: Vec<(GroupId, Key)>, staged: bool) {
        if !staged {
            let written: BTreeSet<(GroupId, Key)> = written.into_iter().collect();
            self.turns.retain(|turn| !written.contains(turn));
            self.asked.retain(|asked| !written.contains(asked));
        }
    }

    /// Its turns with the records that it writes and has none with yet, in the order of their keys,
    /// for as long as one may be waited for.
    async fn take_turns(&mut self, draft: &Draft, ends: Instant) {
        let waits = self.turn_ends(ends);
        // Those of reads came in any order.
        let ordered = self.turns.is_empty();
        // A ticket's own records are nobody's but its leader's.
        let written = draft.written().into_iter().filter(|(_, key)| !ticket::is_own(key));
        for (group, key) in written {
            if Instant::now() < waits {
                let own = if ordered { waits } else { self.next_turn_ends(waits) };
                self.turn(group, &key, own).await;
            }
        }
    }

    /// Its turn with a record, if its strategy has it take one and it has none: the record, and
    /// whether somebody is about to write it. `None` as well where the leader does not answer.
    async fn turn(&mut self, group: GroupId, key: &Key, waits: Instant) -> Option<(Record, bool)> {
        let strategy =
            self.strategy.filter(|it| matches!(it, Strategy::Lock | Strategy::Adaptive))?;
        let at = (group, key.clone());
        if self.has_met(&at) {
            return None;
        }
        let turn = Turn { token: self.origin.token, hold_us: HOLD_US };
        let urgency = self.urgency();
        let read = match strategy {
            Strategy::Adaptive => {
                PeerRead::AsAdvised(at.1.clone(), turn, urgency, self.origin.user)
            }
            _ => PeerRead::InTurn(at.1.clone(), turn, urgency),
        };
        // Until it is known to have none: an answer may be lost.
        self.turns.insert(at.clone());
        let (record, pending, had) = match self.cluster.read(group, read, waits).await {
            // What is about to be written is nobody's turn but the writer's.
            Ok(PeerFound::Record(record, pending)) => (record, pending, !pending),
            Ok(PeerFound::Advised(record, pending, had)) => (record, pending, had),
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(%group, %error, "no turn was had");
                return None;
            }
        };
        if !had {
            self.turns.remove(&at);
        }
        self.asked.insert(at);
        Some((record, pending))
    }

    /// Whether there is nothing to ask any more.
    fn has_met(&self, at: &(GroupId, Key)) -> bool {
        [&self.turns, &self.asked, &self.spared].iter().any(|met| met.contains(at))
    }

    fn urgency(&self) -> Urgency {
        let turns = u32::try_from(self.turns.len()).unwrap_or(u32::MAX);
        Urgency { turns, ..self.urgency }
    }

    fn turn_wait(&self) -> Duration {
        Duration::from_millis(self.cluster.config.limits.turn_wait_ms)
    }

    /// Of one more, where it may have others.
    fn next_turn_ends(&self, ends: Instant) -> Instant {
        match self.turns.is_empty() {
            true => self.turn_ends(ends),
            false => ends.min(Instant::now() + self.turn_wait() / HOLDING_SHARE),
        }
    }

    fn turn_ends(&self, ends: Instant) -> Instant {
        ends.min(Instant::now() + self.turn_wait())
    }
}

/// Turns with what it did not write are given back, and so are claims: no vote ends them.
impl Drop for Course {
    fn drop(&mut self) {
        let turn = Turn { token: self.origin.token, hold_us: 0 };
        let mut left = std::mem::take(&mut self.turns);
        if self.strategy == Some(Strategy::Adaptive) {
            left.append(&mut self.asked);
        }
        for (group, key) in left {
            let (cluster, waits) =
                (self.cluster.clone(), self.turn_ends(Instant::now() + GIVEN_BACK));
            tokio::spawn(async move {
                let read = PeerRead::InTurn(key, turn, Urgency::default());
                if let Err(error) = cluster.read(group, read, waits).await {
                    tracing::debug!(%group, %error, "a turn is left to its end");
                }
            });
        }
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
        v1::Strategy::Adaptive => Some(Strategy::Adaptive),
    }
}

pub(crate) fn to_wire(strategy: Strategy) -> v1::Strategy {
    match strategy {
        Strategy::Optimistic => v1::Strategy::Optimistic,
        Strategy::Rebase => v1::Strategy::Rebase,
        Strategy::Snapshot => v1::Strategy::Snapshot,
        Strategy::Lock => v1::Strategy::Lock,
        Strategy::LastWriterWins => v1::Strategy::LastWriterWins,
        Strategy::Adaptive => v1::Strategy::Adaptive,
    }
}
