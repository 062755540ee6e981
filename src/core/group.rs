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
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    limits::Limits,
    merkle,
    quota::Quota,
    receipt::{self, Proof},
    recorded::Recorded,
    ring::Ring,
    rules::Rules,
    state::{Read, State},
    tables::{self, Head, Prepared, Txn},
};
use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};

/// One group on one replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Group {
    pub(crate) id: GroupId,
    pub(crate) head: Head,
    pub(crate) config: Config,
    pub(crate) census: Census,
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

/// The effect of a Yes vote, from which its leaf is made.
pub(crate) struct YesEffect {
    pub(crate) tid: Tid,
    pub(crate) ts: Timestamp,
    pub(crate) images: Hash,
    pub(crate) digest: Hash,
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
        let config = tables::load_config(state)
            .unwrap_or(Config { limits: Limits::production(), ring: None });
        Group {
            id,
            head: tables::load(state, tables::HEAD).unwrap_or_default(),
            ring: laid_out(&config),
            census: Census::of(state),
            config,
            rules,
        }
    }

    /// As [`Group::open`] for one view's reads: cheap, since it neither lays out the ring nor
    /// counts locks. Nothing may be applied with it.
    pub fn of_view(id: GroupId, view: &impl Read, rules: Rules) -> Group {
        let config = tables::load_config(view)
            .unwrap_or(Config { limits: Limits::production(), ring: None });
        let head = tables::load(view, tables::HEAD).unwrap_or_default();
        Group { id, head, config, census: Census::default(), ring: None, rules }
    }

    /// Applies one log entry. The head is saved with it, so that state and head never part.
    pub fn apply_entry<'a>(
        &mut self,
        state: &mut impl State,
        index: u64,
        commands: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Applied>, Box<Halt>> {
        let mut replies = Vec::new();
        let mut effects = Vec::new();
        let mut leaves = Vec::new();
        let mut recorded = Recorded::new(state);
        for bytes in commands {
            let (reply, yes, tid) = match codec::decode::<Command>(bytes) {
                Ok(command) => {
                    let (reply, yes) = self.step(&mut recorded, &command)?;
                    (reply, yes, command.tid())
                }
                Err(_) => (Reply::Unreadable, None, None),
            };
            let command = Hasher::new("vatic/command/v1").bytes(bytes).finish();
            let effect = yes.as_ref().map_or_else(|| reply_effect(&reply), |yes| yes.digest);
            leaves.push(receipt::leaf(&command, &effect));
            effects.extend(yes.map(|yes| (leaves.len() - 1, command, yes)));
            replies.push((reply, tid));
        }
        let writes = recorded.into_writes();
        let proofs = self.extend_chain(state, index, (leaves, writes), effects);
        self.save(state);
        Ok(replies.into_iter().map(|(reply, tid)| prove(state, &proofs, reply, tid)).collect())
    }

    /// Applies one command, without the chain: the protocol alone, as the models run it.
    pub fn apply(&mut self, state: &mut impl State, command: &Command) -> Result<Reply, Box<Halt>> {
        self.step(state, command).map(|(reply, _)| reply)
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

    fn step(
        &mut self,
        state: &mut impl State,
        command: &Command,
    ) -> Result<(Reply, Option<YesEffect>), Box<Halt>> {
        let reply = match command {
            Command::Vote(vote) => return Ok(self.vote(state, vote)),
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
        };
        Ok((reply, None))
    }

    fn configure(&mut self, state: &mut impl State, config: &Config) -> Reply {
        let present = self.config.ring.as_ref().map_or(0, |ring| ring.epoch);
        if config.ring.as_ref().map_or(0, |ring| ring.epoch) < present {
            return Reply::Refused(Refusal::Epoch { present });
        }
        tables::save(state, tables::CONFIG.to_vec(), config);
        self.ring = laid_out(config);
        self.config = config.clone();
        self.trim_heads(state);
        Reply::Done
    }

    fn apply_meta(&mut self, state: &mut impl State, command: &MetaCommand) -> Reply {
        if self.id != GroupId::META {
            return Reply::Refused(Refusal::NotMeta);
        }
        crate::meta::apply(state, command)
    }

    /// Whether a Yes of this entry outlived it: what came after it in the same entry may have
    /// rolled it back or forgotten it, and nobody would remove the proof later. At home it goes
    /// with the outcome.
    fn needs_proof(&self, state: &impl Read, tid: Tid) -> bool {
        let rolled_back = |txn: Txn| matches!(txn.decision, Some(Decision::RolledBack(_)));
        let known = || tables::load::<Txn>(state, &tables::txn(tid));
        tid.home == self.id || known().is_some_and(|txn| !rolled_back(txn))
    }

    /// Closes the entry's tree over its commands' leaves and all that it wrote; moves the chain.
    /// Answers the proofs that it wrote.
    fn extend_chain(
        &mut self,
        state: &mut impl State,
        index: u64,
        (mut leaves, writes): (Vec<Hash>, Hasher),
        mut effects: Vec<(usize, Hash, YesEffect)>,
    ) -> BTreeMap<Tid, Proof> {
        let mut proofs = BTreeMap::new();
        let ChainHead { index: last, digest: before } = self.head.chain;
        debug_assert!(index > last, "an entry was applied twice");
        if !effects.is_empty() {
            self.head.voted = index;
        }
        effects.retain(|(_, _, yes)| self.needs_proof(state, yes.tid));
        let writes = effects.iter().fold(writes, |writes, (leaf, ..)| writes.u64(*leaf as u64));
        leaves.push(self.head.feed(writes.u64(effects.len() as u64)).finish());
        if !effects.is_empty() {
            let mut paths = merkle::paths(&leaves);
            for (leaf, command, YesEffect { tid, ts, images, .. }) in effects {
                let siblings = core::mem::take(&mut paths[leaf].siblings);
                let path = merkle::Path { siblings, ..paths[leaf] };
                let proof = Proof { group: self.id, index, ts, images, command, path, before };
                tables::save(state, tables::proof(tid), &proof);
                proofs.insert(tid, proof);
            }
        }
        let digest = receipt::chain_step(&before, self.id, index, &merkle::root(&leaves));
        self.head.chain = ChainHead { index, digest };
        self.keep_head(state, last);
        proofs
    }
}

/// Puts the proof beside a reply that says Yes or committed, so that a repeated question gets the
/// same answer as the first.
fn prove(
    state: &impl Read,
    written: &BTreeMap<Tid, Proof>,
    reply: Reply,
    tid: Option<Tid>,
) -> Applied {
    let voted_yes = matches!(
        reply,
        Reply::Standing(Standing::Yes { .. } | Standing::Decided(Decision::Committed { .. }))
    );
    let find = |tid| written.get(&tid).cloned().or_else(|| tables::load_proof(state, tid));
    let proof = tid.filter(|_| voted_yes).and_then(find);
    Applied { reply, proof }
}

fn laid_out(config: &Config) -> Option<Arc<Ring>> {
    config.ring.clone().map(|spec| Arc::new(Ring::new(spec)))
}

fn reply_effect(reply: &Reply) -> Hash {
    Hasher::new("vatic/reply/v1").bytes(&codec::encode(reply)).finish()
}
