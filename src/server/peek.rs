//! Reads for a transaction that guards what it read: at once, or in its turn.

use crate::{
    cluster::Cluster,
    conflicts::Asked,
    convert,
    lanes::{LOOK_AGAIN, Waiting},
    peer::Origin,
    status::ApiError,
};
use std::time::Duration;
use tokio::time::Instant;
use vatic_consensus::GroupHandle;
use vatic_core::{
    conflict::Course,
    group::Group,
    id::{GroupId, Tid},
    key::Key,
    lane::{Turn, Urgency},
    read::Record,
    rules::Rules,
};
use vatic_proto::v1;

/// Longest that a turn holds others off.
const HOLD_MS_MAX: u64 = 1_000;

/// Between two looks at a record whose vote or decision nobody told the lanes of.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// A record to look at, of a group that is led here.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) group: GroupId,
    pub(crate) handle: &'a GroupHandle,
    pub(crate) key: &'a Key,
}

/// What an intent asks for; `by_class`: whether a higher class goes first.
pub(crate) fn turn_of(intent: v1::Intent, by_class: bool) -> Result<(Turn, Urgency), ApiError> {
    let v1::Intent { token, hold_ms, rollbacks, turns, priority } = intent;
    let (limit, max, actual) = ("priority", u64::from(u8::MAX), u64::from(priority));
    let class = u8::try_from(priority).map_err(|_| ApiError::Limit { limit, max, actual })?;
    let class = if by_class { class } else { 0 };
    let hold_us = u64::from(hold_ms).min(HOLD_MS_MAX) * 1_000;
    let urgency = Urgency { turns, rollbacks, class, ..Urgency::default() };
    Ok((Turn { token, hold_us }, urgency))
}

impl<'a> Look<'a> {
    /// The record, and whether it may be about to change. The turn is taken before the look, so
    /// that of two who come at once one sees the other.
    pub(crate) fn seen(self, turn: Option<Turn>) -> (Record, bool) {
        let lanes = &self.cluster.lanes;
        let free = match turn {
            Some(turn) if turn.hold_us > 0 => {
                self.takes_turn(turn);
                lanes.take(self.key, turn)
            }
            Some(turn) => {
                self.cluster.conflicts.given_up(turn.token, self.key);
                !lanes.is_taken(self.key, Some(turn.token))
            }
            None => !lanes.is_taken(self.key, None),
        };
        let (record, holder) = self.record();
        if let Some(turn) = turn.filter(|turn| turn.hold_us == 0 || holder.is_some()) {
            lanes.give_back(self.handle, self.key, turn.token);
        }
        (record, holder.is_some() || !free)
    }

    /// When to read it, for a transaction that says that it will write it.
    pub(crate) fn advice(self, claim: v1::Claim, principal: &str) -> v1::Advice {
        let origin = Origin::of(principal, claim.token);
        let by_hotness = claim.adviser() == v1::Adviser::Hotness;
        convert::advice(self.cluster.conflicts.advise(self.asked(origin, by_hotness)))
    }

    fn asked(self, origin: Origin, by_hotness: bool) -> Asked<'a> {
        Asked { origin, key: self.key, ahead: self.cluster.lanes.ahead(self.key), by_hotness }
    }

    /// The record in its turn, where that is foreseen to be cheaper, else as it is; whether it may
    /// be about to change, and whether it is the transaction's turn.
    pub(crate) async fn as_advised(
        self,
        turn: Turn,
        urgency: Urgency,
        origin: Origin,
        ends: Instant,
    ) -> (Record, bool, bool) {
        let (advice, _) = self.cluster.conflicts.advise(self.asked(origin, false));
        let urgency = Urgency { score_ppm: advice.score_ppm.unwrap_or(0), ..urgency };
        match advice.course {
            Course::AtOnce => {
                // It had one, if the answer to the same question was lost.
                if self.cluster.lanes.ahead(self.key) > 0 {
                    self.cluster.lanes.give_back(self.handle, self.key, turn.token);
                }
                let (record, pending) = self.seen(None);
                (record, pending, false)
            }
            Course::InTurn => {
                let (record, pending) = self.turn(turn, urgency, ends).await;
                (record, pending, !pending)
            }
        }
    }

    /// Takes a turn, once others are through, and looks; or gives it back, where it holds nobody
    /// off.
    pub(crate) async fn turn(self, turn: Turn, urgency: Urgency, ends: Instant) -> (Record, bool) {
        // It may have it already: the answer to the same question was lost.
        match self.seen(Some(turn)) {
            (record, false) => (record, false),
            (record, true) if turn.hold_us == 0 => (record, true),
            (_, true) => self.in_turn(Some(turn), urgency, ends).await,
        }
    }

    /// The record in its turn, or as it is at `ends`: then it may be about to change, and no turn
    /// is left.
    pub(crate) async fn in_turn(
        self,
        turn: Option<Turn>,
        urgency: Urgency,
        ends: Instant,
    ) -> (Record, bool) {
        let lanes = &self.cluster.lanes;
        turn.into_iter().for_each(|turn| self.takes_turn(turn));
        let Some(mut waiting) = lanes.wait(self.handle, self.key, turn, urgency) else {
            return self.seen(None);
        };
        if !self.has_come(&mut waiting, ends).await {
            drop(waiting);
            return self.seen(None);
        }
        loop {
            let (record, holder) = self.record();
            if holder.is_none() {
                // A turn is the transaction's from here on.
                waiting.keep();
                return (record, false);
            }
            if Instant::now() >= ends {
                return (record, true);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Its turn will hide what would have been.
    fn takes_turn(self, turn: Turn) {
        if self.cluster.lanes.are_on() {
            self.cluster.conflicts.in_turn(turn.token, self.key);
        }
    }

    async fn has_come(self, waiting: &mut Waiting<'_>, ends: Instant) -> bool {
        loop {
            let again = ends.min(Instant::now() + LOOK_AGAIN);
            if tokio::time::timeout_at(again, &mut *waiting).await.is_ok() {
                return true;
            }
            if Instant::now() >= ends {
                return false;
            }
            self.cluster.lanes.look_again(self.handle, self.key);
        }
    }

    fn record(self) -> (Record, Option<Tid>) {
        let view = self.handle.view();
        let reader = Group::of_view(self.group, &view, Rules::default());
        let decision = |tid| self.cluster.lanes.decision(self.group, tid);
        reader.peek_ahead(&view, self.key, decision)
    }
}
