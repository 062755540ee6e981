//! A group's replicated state machine: applies commands, one after the other, on every replica.
//!
//! Everything durable is in the [`State`] that the shell passes in; the fields here are its cache
//! (head, configuration, counts) and are rebuilt by [`Group::open`]. Applying reads no clock and no
//! other group, so replicas that apply the same entries hold the same bytes. The digest chain runs
//! over command bytes, replies and everything written, so a replica that does not is found out.

use crate::{
    census::Census,
    codec,
    command::{
        Applied, ChainHead, Command, Config, Decision, Halt, MetaCommand, Refusal, Reply, Standing,
    },
    garbage::Gathered,
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    limits::Limits,
    merkle::Tree,
    quota::Quota,
    receipt::{self, Proof},
    recorded::Recorded,
    ring::{Ring, RingSpec},
    rules::{Rules, broken},
    state::{Read, State},
    tables::{self, Head, Kept, Leaves, Place, Prepared, VoteCast},
};
use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};

/// One group on one replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Group {
    pub(crate) id: GroupId,
    pub(crate) head: Head,
    pub(crate) config: Config,
    pub(crate) census: Census,
    pub(crate) gathered: Gathered,
    pub(crate) ring: Option<Arc<Ring>>,
    pub(crate) rules: Rules,
}

/// An undecided Yes vote, as sweeps and blocked readers see it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Undecided {
    /// The transaction.
    pub tid: Tid,
    /// Its vote's timestamp here.
    pub ts: Timestamp,
    /// The body that it voted on.
    pub body: Hash,
    /// All participants.
    pub participants: Vec<GroupId>,
}

/// Where a command stands: in which entry, as which leaf of its tree, and its digest.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) index: u64,
    pub(crate) leaf: u64,
    pub(crate) command: Hash,
}

/// The effect of a Yes vote, from which its leaf is made.
pub(crate) struct YesEffect {
    pub(crate) tid: Tid,
    pub(crate) ts: Timestamp,
    /// Absent outside an entry.
    pub(crate) place: Option<Place>,
    pub(crate) digest: Hash,
}

/// The trees of entries, each with the chain before it, as they were needed: votes that are asked
/// for again tend to lie in one entry, and a tree costs a hash for each of its leaves. `None`: its
/// leaves are not kept any more.
pub(crate) type Trees = BTreeMap<u64, Option<(Hash, Tree)>>;

/// What applying an entry's commands came to, before anybody is answered.
struct Worked {
    replies: Vec<(Reply, Option<Tid>)>,
    voted: Vec<YesEffect>,
    tree: Tree,
    /// The chain before the entry.
    before: Hash,
}

impl Undecided {
    fn of(tid: Tid, prepared: &Prepared) -> Undecided {
        let Prepared { body, ts, .. } = prepared;
        Undecided { tid, ts: *ts, body: body.digest(), participants: body.groups() }
    }
}

impl Group {
    /// Opens a group on what its state holds.
    pub fn open(id: GroupId, state: &impl Read, rules: Rules) -> Group {
        let config =
            tables::load_config(state).unwrap_or_else(|| Config::new(Limits::production(), None));
        let mut head: Head = tables::load(state, tables::HEAD).unwrap_or_default();
        if broken!(rules, RestartForgetsWatermark) {
            head.watermark = None;
        }
        if broken!(rules, ChainForkedAtOpen) {
            head.chain.digest = Hash::ZERO;
        }
        let (census, gathered) = (Census::of(state), Gathered::default());
        Group { id, head, ring: laid_out(&config), census, gathered, config, rules }
    }

    /// As [`Group::open`] for one view's reads: cheap, since it neither lays out the ring nor
    /// counts locks. Nothing may be applied with it.
    pub fn of_view(id: GroupId, view: &impl Read, rules: Rules) -> Group {
        let config =
            tables::load_config(view).unwrap_or_else(|| Config::new(Limits::production(), None));
        let head = tables::load(view, tables::HEAD).unwrap_or_default();
        let (census, gathered) = (Census::default(), Gathered::default());
        Group { id, head, config, census, gathered, ring: None, rules }
    }

    /// Applies one log entry. The head is saved with it, so that state and head never part.
    pub fn apply_entry<'a>(
        &mut self,
        state: &mut impl State,
        index: u64,
        commands: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Applied>, Box<Halt>> {
        let worked = self.work_through(state, index, commands)?;
        Ok(self.answers(state, worked))
    }

    /// As [`Group::apply_entry`], where nobody waits for the answers.
    pub fn follow_entry<'a>(
        &mut self,
        state: &mut impl State,
        index: u64,
        commands: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Box<Halt>> {
        self.work_through(state, index, commands).map(drop)
    }

    /// Applies one command, without the chain: the protocol alone, as the models run it.
    pub fn apply(&mut self, state: &mut impl State, command: &Command) -> Result<Reply, Box<Halt>> {
        let (reply, _) = self.step(state, command, None)?;
        self.write_garbage(state);
        Ok(reply)
    }

    /// Writes the head into the state.
    pub fn save(&self, state: &mut impl State) {
        tables::save(state, tables::HEAD.to_vec(), &self.head);
    }

    /// Which group this is.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The applied clock: no later vote gets a timestamp at or below it.
    pub fn clock(&self) -> Timestamp {
        self.head.clock
    }

    /// Snapshot reads below this are refused.
    pub fn horizon(&self) -> Timestamp {
        self.head.horizon
    }

    /// Transactions minted up to this are forgotten.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.head.watermark
    }

    /// Where the digest chain stands.
    pub fn chain(&self) -> ChainHead {
        self.head.chain
    }

    /// How much of its quota is in use.
    pub fn quota(&self) -> Quota {
        self.head.quota
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The ring in force.
    pub fn ring(&self) -> Option<&Ring> {
        self.ring.as_deref()
    }

    /// The undecided Yes votes, oldest transaction first.
    pub fn undecided(&self, state: &impl Read) -> Vec<Undecided> {
        let mut undecided = Vec::new();
        let (from, to) = tables::whole(tables::PREPARED);
        state.scan(&from, &to, &mut |place, value| {
            undecided.push(Undecided::of(tables::tid_of(place), &tables::stored(value)));
            true
        });
        undecided
    }

    /// One undecided Yes vote.
    pub fn undecided_of(&self, state: &impl Read, tid: Tid) -> Option<Undecided> {
        let prepared = tables::load(state, &tables::prepared(tid))?;
        Some(Undecided::of(tid, &prepared))
    }

    pub(crate) fn is_stale(&self, tid: Tid) -> bool {
        self.head.watermark.is_some_and(|watermark| tid.mint <= watermark)
    }

    fn work_through<'a>(
        &mut self,
        state: &mut impl State,
        index: u64,
        commands: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Worked, Box<Halt>> {
        let (mut replies, mut voted, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
        let mut recorded = Recorded::new(state);
        for bytes in commands {
            let command = Hasher::new("vatic/command/v1").bytes(bytes).finish();
            let origin = Origin { index, leaf: leaves.len() as u64, command };
            let (reply, yes, tid) = match codec::decode::<Command>(bytes) {
                Ok(command) => {
                    let (reply, yes) = self.step(&mut recorded, &command, Some(origin))?;
                    (reply, yes, command.tid())
                }
                Err(_) => (Reply::Unreadable, None, None),
            };
            let effect = yes.as_ref().map_or_else(|| reply_effect(&reply), |yes| yes.digest);
            leaves.push(receipt::leaf(&command, &effect));
            voted.extend(yes);
            replies.push((reply, tid));
        }
        if !voted.is_empty() {
            self.head.voted = index;
            self.list_leaves(index);
        }
        self.write_garbage(&mut recorded);
        leaves.push(self.head.feed(recorded.into_writes()).finish());
        let ChainHead { digest: before, .. } = self.head.chain;
        let tree = self.extend_chain(state, index, &leaves);
        if !voted.is_empty() {
            tables::save(state, tables::leaves(index), &Leaves { before, leaves });
        }
        self.save(state);
        Ok(Worked { replies, voted, tree, before })
    }

    /// Moves the chain over the entry's tree, which holds its commands with their effects, and all
    /// that it wrote.
    fn extend_chain(&mut self, state: &mut impl State, index: u64, leaves: &[Hash]) -> Tree {
        let ChainHead { index: last, digest: before } = self.head.chain;
        debug_assert!(index > last, "an entry was applied twice");
        let tree = Tree::over(leaves);
        let digest = receipt::chain_step(&before, self.id, index, &tree.root());
        self.head.chain = ChainHead { index, digest };
        self.keep_head(state, last);
        tree
    }

    /// Puts the proof beside each reply that says Yes or committed, so that a repeated question
    /// gets the same answer as the first.
    fn answers(&self, state: &impl Read, worked: Worked) -> Vec<Applied> {
        let Worked { replies, voted, tree, before } = worked;
        let fresh = |yes: YesEffect| {
            let place = yes.place.expect("a vote in an entry has a place there");
            (yes.tid, place.proof(self.id, yes.ts, before, &tree))
        };
        let fresh: BTreeMap<Tid, Proof> = voted.into_iter().map(fresh).collect();
        let mut earlier = Trees::default();
        let answer = |(reply, tid): (Reply, Option<Tid>)| {
            let voted_yes = matches!(
                reply,
                Reply::Standing(
                    Standing::Yes { .. } | Standing::Decided(Decision::Committed { .. })
                )
            );
            let known = |tid| match fresh.get(&tid) {
                Some(proof) => Some(proof.clone()),
                None => self.proof_of(state, &tables::load_kept(state, tid)?, &mut earlier),
            };
            let proof = tid.filter(|_| voted_yes).and_then(known);
            Applied { reply, proof }
        };
        replies.into_iter().map(answer).collect()
    }

    /// Where a transaction's Yes vote stands in the chain, as long as that is kept.
    pub(crate) fn proof_of(
        &self,
        state: &impl Read,
        kept: &Kept,
        trees: &mut Trees,
    ) -> Option<Proof> {
        let VoteCast::Yes { ts } = kept.txn.vote else { return None };
        let place = kept.place?;
        let built = trees.entry(place.index).or_insert_with(|| {
            let Leaves { before, leaves } = tables::load(state, &tables::leaves(place.index))?;
            Some((before, Tree::over(&leaves)))
        });
        let (before, tree) = built.as_ref()?;
        Some(place.proof(self.id, ts, *before, tree))
    }

    fn step(
        &mut self,
        state: &mut impl State,
        command: &Command,
        origin: Option<Origin>,
    ) -> Result<(Reply, Option<YesEffect>), Box<Halt>> {
        let reply = match command {
            Command::Vote(vote) => return Ok(self.vote(state, vote, origin)),
            Command::Force { tid, body, participants } => {
                self.force(state, *tid, *body, participants)
            }
            Command::Decide { tid, body, decision, proofs } => {
                self.decide(state, *tid, *body, decision, proofs)?;
                Reply::Done
            }
            Command::Stage { tid, transitions } => self.stage(state, *tid, transitions),
            Command::Advance { to } => {
                self.head.clock = self.head.clock.max(*to);
                Reply::Done
            }
            Command::Collect { horizon, items_max } => self.collect(state, *horizon, *items_max),
            Command::Forget { watermark, settled } => self.forget(state, *watermark, settled),
            Command::Configure(config) => self.configure(state, config),
            Command::Meta(command) => self.apply_meta(state, command),
            Command::Attest { checkpoint, signatures } => {
                self.attest(state, checkpoint, signatures)
            }
            Command::History(batch) => self.append_history(state, batch),
        };
        Ok((reply, None))
    }

    fn configure(&mut self, state: &mut impl State, config: &Config) -> Reply {
        let present = self.config.ring.as_ref().map_or(0, |ring| ring.epoch);
        let next = config.ring.as_ref().map_or(0, |ring| ring.epoch);
        if next < present && !broken!(self.rules, RingGoesBack) {
            return Reply::Refused(Refusal::Epoch { present });
        }
        let present = self.config.policies.version;
        if config.policies.version < present {
            return Reply::Refused(Refusal::Policies { present });
        }
        let half_taken = broken!(self.rules, RingHalfTaken).then(|| self.half_taken(config));
        let config = half_taken.as_ref().unwrap_or(config);
        tables::save(state, tables::CONFIG.to_vec(), config);
        self.ring = laid_out(config);
        self.config = config.clone();
        self.trim_heads(state);
        Reply::Done
    }

    /// The configuration with the groups of the present ring, for a mutant.
    fn half_taken(&self, config: &Config) -> Config {
        let present = self.config.ring.as_ref().map(|ring| ring.groups.clone());
        let keep = |ring: RingSpec| match present {
            Some(groups) => RingSpec { groups, ..ring },
            None => ring,
        };
        Config { ring: config.ring.clone().map(keep), ..config.clone() }
    }

    fn apply_meta(&mut self, state: &mut impl State, command: &MetaCommand) -> Reply {
        if self.id != GroupId::META {
            return Reply::Refused(Refusal::NotMeta);
        }
        crate::meta::apply(state, command, self.rules)
    }
}

fn laid_out(config: &Config) -> Option<Arc<Ring>> {
    config.ring.clone().map(|spec| Arc::new(Ring::new(spec)))
}

fn reply_effect(reply: &Reply) -> Hash {
    Hasher::new("vatic/reply/v1").bytes(&codec::encode(reply)).finish()
}
