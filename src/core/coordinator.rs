//! The coordinator: one transaction's way from its seal to a decision that all have applied.
//!
//! A pure state machine of events and effects. One round asks all participants to vote; the
//! outcome is the AND of the votes, so the client is answered as soon as all Yes votes have been
//! applied, and decisions follow off its path. Anybody may start a second coordinator for the same
//! transaction in recovery: it forces a No wherever there is no vote yet and then decides by the
//! same rule, so two coordinators can never decide differently.
//!
//! Events may be late, repeated or lost; each carries the round of the question it answers.
//!
//! Whoever recovers may know less than a driver: no body, or not all participants. A Yes names
//! both, and they are adopted from it. Until then nothing commits on Yes votes, and an answer that
//! was given without the body is asked for again: it may be about another body under the same id.
//!
//! Why "stale" is not No: a stale answer says that the group forgot everything up to a watermark.
//! A group forgets a commit only after all participants applied it. So after a stale answer the
//! others are asked again, *afterwards*: one that still says "Yes, undecided" proves that the stale
//! group never committed this transaction, hence never will; one that knows the decision gives it.

use crate::{
    body::Fault,
    command::{Cause, Decision, Reply, Standing, Why},
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    receipt::Proof,
    rules::{Rules, broken},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use serde::{Deserialize, Serialize};

/// What can happen to a coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::large_enum_variant)] // Events live for one call; boxing would cost more.
pub enum Event {
    /// Begin.
    Start,
    /// A participant answered a question.
    Reply {
        /// The participant.
        group: GroupId,
        /// The round of the question.
        round: u32,
        /// Its answer.
        reply: Reply,
        /// Where its Yes stands in its chain.
        proof: Option<Proof>,
    },
    /// A participant applied the decision.
    Acked {
        /// The participant.
        group: GroupId,
    },
    /// Time to ask again whoever has not answered.
    Retry,
    /// The deadline for votes has passed: force the rest.
    GiveUp,
}

/// What a coordinator wants done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Propose the vote to a participant.
    Vote {
        /// The participant.
        group: GroupId,
        /// To be returned with the answer.
        round: u32,
    },
    /// Propose ForceVote to a participant.
    Force {
        /// The participant.
        group: GroupId,
        /// To be returned with the answer.
        round: u32,
    },
    /// Propose the decision to a participant.
    Decide {
        /// The participant.
        group: GroupId,
        /// The outcome.
        decision: Decision,
    },
    /// Tell whoever waits. Happens at most once.
    Answer(Answer),
    /// All participants have applied the commit: they may forget the transaction. Not said of a
    /// rollback: it needs no leave to be forgotten, and where a participant voted on another body
    /// the id stands for that one, which may still need it.
    Settled,
}

/// What whoever waits is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The outcome; for a commit that this coordinator saw whole, all votes' proofs.
    Decided(Decision),
    /// A participant refused to vote on this body, and it was rolled back. Only then is it said: a
    /// repeated vote may have found what the first one lacked, and the whole may have committed.
    Fault(Fault),
    /// Every participant has forgotten the transaction and the home kept no outcome.
    Forgotten,
}

/// What is known of one participant.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Seat {
    /// Its latest answer and the round in which it was asked.
    known: Option<(u32, Standing)>,
    proof: Option<Proof>,
    acked: bool,
}

/// One transaction's coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Coordinator {
    tid: Tid,
    body: Option<Hash>,
    recovers: bool,
    round: u32,
    /// Answers to questions of earlier rounds may be about another body.
    counts_from: u32,
    seats: BTreeMap<GroupId, Seat>,
    decision: Option<Decision>,
    /// Why a participant refused, for whoever waits.
    fault: Option<Fault>,
    answered: bool,
    settled: bool,
    effects: VecDeque<Effect>,
    rules: Rules,
}

impl Coordinator {
    /// Drives a freshly sealed transaction.
    pub fn drive(
        tid: Tid,
        body: Option<Hash>,
        participants: &[GroupId],
        rules: Rules,
    ) -> Coordinator {
        let seats = participants.iter().map(|&group| (group, Seat::default())).collect();
        Coordinator {
            tid,
            body,
            recovers: false,
            round: 0,
            counts_from: 0,
            seats,
            decision: None,
            fault: None,
            answered: false,
            settled: false,
            effects: VecDeque::new(),
            rules,
        }
    }

    /// Finishes a transaction that somebody else left behind, as far as it is known: without any
    /// participant the home group is asked, which is one of every transaction.
    pub fn recover(
        tid: Tid,
        body: Option<Hash>,
        participants: &[GroupId],
        rules: Rules,
    ) -> Coordinator {
        let known = if participants.is_empty() { &[tid.home] } else { participants };
        Coordinator { recovers: true, ..Coordinator::drive(tid, body, known, rules) }
    }

    /// Takes an event in; what follows from it comes out of [`Coordinator::poll`].
    pub fn handle(&mut self, event: Event) {
        if self.settled {
            return;
        }
        match event {
            Event::Start | Event::Retry => self.ask_missing(),
            Event::GiveUp => self.give_up(),
            Event::Reply { group, round, reply, proof } => self.learn(group, round, reply, proof),
            Event::Acked { group } => {
                if let Some(seat) = self.seats.get_mut(&group) {
                    seat.acked = self.decision.is_some();
                }
            }
        }
        self.conclude();
        debug_assert!(!self.settled || self.decision.is_some() || self.all_stale());
    }

    /// The next effect to carry out, oldest first.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether nothing is left to do.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The transaction.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// The body; none where a recoverer does not know it.
    pub fn body(&self) -> Option<Hash> {
        self.body
    }

    /// The participants.
    pub fn participants(&self) -> Vec<GroupId> {
        self.seats.keys().copied().collect()
    }

    /// The decision, once there is one.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// The proofs of all votes that this coordinator saw, ascending by group.
    pub fn proofs(&self) -> Vec<Proof> {
        self.seats.values().filter_map(|seat| seat.proof.clone()).collect()
    }

    fn give_up(&mut self) {
        if self.recovers || self.decision.is_some() {
            return;
        }
        if broken!(self.rules, RollBackWithoutNo) {
            self.decide(Decision::RolledBack(self.cause(Why::Forced)));
            return;
        }
        self.recovers = true;
        self.round += 1;
        self.ask_missing();
    }

    fn ask_missing(&mut self) {
        if self.decision.is_some() {
            return self.send_decision();
        }
        let (round, recovers) = (self.round, self.recovers);
        for (&group, seat) in &self.seats {
            let fresh = seat.known.as_ref().is_some_and(|(asked, _)| *asked == round);
            let votes = matches!(seat.known, Some((_, Standing::Yes { .. })));
            if fresh || (votes && !self.any_stale()) {
                continue;
            }
            self.effects.push_back(match recovers {
                true => Effect::Force { group, round },
                false => Effect::Vote { group, round },
            });
        }
    }

    fn learn(&mut self, group: GroupId, round: u32, reply: Reply, proof: Option<Proof>) {
        if round < self.counts_from || !self.seats.contains_key(&group) {
            return;
        }
        let standing = match reply {
            Reply::Standing(Standing::None) => return,
            Reply::Standing(standing) => standing,
            // That group voted on another body, so it never votes Yes on this one.
            Reply::Fault(Fault::BodyMismatch { .. }) => self.other_body(group),
            Reply::Fault(fault) => {
                if broken!(self.rules, RefusalAnswered) {
                    self.answer(Answer::Fault(fault.clone()));
                }
                self.fault.get_or_insert(fault);
                return self.give_up();
            }
            _ => return,
        };
        let standing = match standing {
            Standing::Yes { body, .. } if self.is_other(body) => self.other_body(group),
            standing => standing,
        };
        if let Standing::Yes { body, participants, .. } = &standing
            && self.adopt(group, *body, participants)
        {
            // It never takes its Yes back; whoever was not asked, or without the body, is now.
            self.seat(group, round, standing, proof);
            self.round += 1;
            return self.ask_missing();
        }
        self.note(group, round, standing, proof);
    }

    fn note(&mut self, group: GroupId, round: u32, standing: Standing, proof: Option<Proof>) {
        let Some(seat) = self.seats.get_mut(&group) else { return };
        let asked = seat.known.as_ref().map_or(0, |(asked, _)| *asked);
        let was_stale = matches!(seat.known, Some((_, Standing::Stale(_))));
        let stale = matches!(standing, Standing::Stale(_));
        // Forgetting is the last thing that a group does, so whatever else it says is from before.
        // Of that a decision still counts: it may be the last word of it that is left.
        let standing = match standing {
            Standing::Decided(decision) if was_stale => Standing::Stale(Some(decision)),
            standing => standing,
        };
        let tells = matches!(standing, Standing::Decided(_) | Standing::Stale(Some(_)));
        if !tells && (asked > round || (was_stale && !stale)) {
            seat.proof = seat.proof.take().or(proof);
            return;
        }
        let first = self.seat(group, round.max(asked), standing, proof);
        if first && self.decision.is_some() && self.seats.values().all(|seat| seat.known.is_some())
        {
            return self.send_decision();
        }
        if stale && !was_stale && self.decision.is_none() {
            // The others' answers may be older than this one: only what they say to questions asked
            // from here on can show that the transaction never committed.
            self.round += 1;
            if !self.decision_known() {
                self.recovers = true;
                self.ask_missing();
            }
        }
    }

    /// Notes an answer; whether it is the group's first.
    fn seat(
        &mut self,
        group: GroupId,
        round: u32,
        standing: Standing,
        proof: Option<Proof>,
    ) -> bool {
        let seat = self.seats.entry(group).or_default();
        seat.proof = seat.proof.take().or(proof);
        seat.acked |= matches!(standing, Standing::Decided(_) | Standing::Stale(_));
        seat.known.replace((round, standing)).is_none()
    }

    fn is_other(&self, body: Hash) -> bool {
        !broken!(self.rules, TwoBodies) && self.body.is_some_and(|own| own != body)
    }

    fn other_body(&mut self, group: GroupId) -> Standing {
        self.seats.entry(group).or_default().acked = true;
        Standing::No(Cause { group, why: Why::OtherBody })
    }

    /// Takes body and participants from a group that voted Yes; whether that was news. Whoever has
    /// no body knows nothing of the others: they may have answered about another one.
    fn adopt(&mut self, group: GroupId, body: Hash, participants: &[GroupId]) -> bool {
        let known = self.seats.keys().eq(participants);
        if (known && self.body.is_some()) || self.decision.is_some() {
            return false;
        }
        debug_assert!(participants.contains(&group), "a group votes where it takes part");
        let bodiless = self.body.is_none();
        if bodiless {
            self.counts_from = self.round + 1;
        }
        let mut old = core::mem::take(&mut self.seats);
        let mut seat = |of: &GroupId| (!bodiless).then(|| old.remove(of)).flatten();
        let kept = participants.iter().map(|of| (*of, seat(of).unwrap_or_default()));
        self.seats = kept.collect();
        self.body.get_or_insert(body);
        true
    }

    fn conclude(&mut self) {
        if self.decision.is_none()
            && let Some(decision) = self.outcome()
        {
            self.decide(decision);
        }
        if self.decision.is_none() && self.all_stale() && !self.settled {
            self.answer(Answer::Forgotten);
            self.settled = true;
        }
        let all_acked = self.seats.values().all(|seat| seat.acked);
        if self.decision.is_some() && all_acked && !self.settled {
            self.settled = true;
            let commits = matches!(self.decision, Some(Decision::Committed { .. }));
            self.effects.extend(commits.then_some(Effect::Settled));
        }
    }

    /// The outcome, as far as the answers determine it.
    fn outcome(&self) -> Option<Decision> {
        if self.body.is_none() && self.seats.values().any(|seat| seat.known.is_none()) {
            // A Yes of whoever is silent would say which body this is about.
            return None;
        }
        let standings = || self.seats.values().filter_map(|seat| seat.known.as_ref());
        let told = standings().find_map(|(_, standing)| match standing {
            Standing::Decided(decision) | Standing::Stale(Some(decision)) => Some(decision),
            _ => None,
        });
        if let Some(decision) = told {
            return Some(decision.clone());
        }
        let refused = standings().find_map(|(_, standing)| match standing {
            Standing::No(cause) => Some(cause),
            _ => None,
        });
        if let Some(cause) = refused {
            return Some(Decision::RolledBack(cause.clone()));
        }
        if self.any_stale() {
            return self.outcome_after_stale();
        }
        let missing = self.seats.values().filter(|seat| yes(seat).is_none()).count();
        let missing_max = usize::from(broken!(self.rules, CommitsBeforeLastVote));
        let ts = self.seats.values().filter_map(yes).max()?;
        (missing <= missing_max).then_some(Decision::Committed { ts })
    }

    /// A Yes that is still undecided after another group went stale cannot have committed.
    fn outcome_after_stale(&self) -> Option<Decision> {
        let fresh_yes = self.seats.values().any(|seat| {
            matches!(&seat.known, Some((asked, Standing::Yes { .. })) if *asked == self.round)
        });
        let hasty = broken!(self.rules, StaleIsNo);
        (fresh_yes || hasty).then(|| Decision::RolledBack(self.cause(Why::Abandoned)))
    }

    fn decide(&mut self, decision: Decision) {
        let refused = self.fault.take().filter(|_| matches!(decision, Decision::RolledBack(_)));
        self.answer(refused.map_or_else(|| Answer::Decided(decision.clone()), Answer::Fault));
        self.decision = Some(decision);
        self.send_decision();
    }

    fn send_decision(&mut self) {
        let Some(decision) = self.decision.clone() else { return };
        let commits = matches!(decision, Decision::Committed { .. });
        let home_waits = commits && self.seats.values().any(|seat| seat.known.is_none());
        for (&group, seat) in self.seats.iter().filter(|(_, seat)| !seat.acked) {
            if home_waits && group == self.tid.home {
                continue;
            }
            let decision = match &seat.known {
                // Without a body the commit may be another body's; this group's No is its own.
                Some((_, Standing::No(cause))) if self.body.is_none() => {
                    Decision::RolledBack(cause.clone())
                }
                _ => decision.clone(),
            };
            self.effects.push_back(Effect::Decide { group, decision });
        }
        if home_waits {
            // The home group's record is the receipt: it needs every vote's proof first.
            let round = self.round;
            let unknown = self.seats.iter().filter(|(_, seat)| seat.known.is_none());
            self.effects.extend(unknown.map(|(&group, _)| Effect::Force { group, round }));
        }
    }

    fn answer(&mut self, answer: Answer) {
        if !self.answered {
            self.answered = true;
            self.effects.push_back(Effect::Answer(answer));
        }
    }

    fn decision_known(&self) -> bool {
        self.outcome().is_some()
    }

    fn any_stale(&self) -> bool {
        self.seats.values().any(|seat| matches!(seat.known, Some((_, Standing::Stale(_)))))
    }

    fn all_stale(&self) -> bool {
        self.seats.values().all(|seat| matches!(seat.known, Some((_, Standing::Stale(None)))))
    }

    fn cause(&self, why: Why) -> Cause {
        Cause { group: self.tid.home, why }
    }
}

fn yes(seat: &Seat) -> Option<Timestamp> {
    match seat.known {
        Some((_, Standing::Yes { ts, .. })) => Some(ts),
        _ => None,
    }
}
