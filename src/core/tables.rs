//! Where things lie in a group's ordered map: one tag byte, then a key that sorts as meant.
//!
//! | tag | key | value |
//! | --- | --- | --- |
//! | `c` | – | [`Config`] |
//! | `o` | – | [`Head`] |
//! | `r` | encoded key | [`Stored`]: the latest version, or a tombstone |
//! | `h` | encoded key, inverted version | [`Stored`]: an older version |
//! | `g` | due time, an item | more items: what can go once the horizon reaches the due time |
//! | `t` | tid | [`Kept`]: vote and decision; at the home group all that is asked for afterwards |
//! | `p` | tid | [`Prepared`]: a Yes vote without decision |
//! | `e` | log index | [`Leaves`] of an entry with Yes votes: what their proofs are made of |
//! | `l` | encoded key | tid and vote timestamp: a write lock |
//! | `k` | encoded key, tid | empty: a read lock |
//! | `x` | tid | the ranges that it locks against writers |
//! | `s` | tid, seq | a staged delta |
//! | `n` | log index | digest: the chain head after that entry, for the last `heads_max` |
//! | `q` | last log index | [`Attested`]: a signed checkpoint and its heads |
//! | `v` | – | [`Tolerance`](crate::tolerance::Tolerance): what verdicts are held to |
//! | `w` | – | [`Ledger`](crate::history::Ledger): where the history begins and ends |
//! | `y` | place | [`Row`](crate::history::Row): an event of the history |
//! | `m` | name | what group 0 keeps |

use crate::{
    aggregate::{Aggregate, AggregateRef},
    body::Body,
    checkpoint::Checkpoint,
    codec,
    command::{Cause, ChainHead, Config, Decision},
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    merkle::Tree,
    quota::Quota,
    receipt::Proof,
    sign::NodeSignature,
    state::{Read, State},
    value::Fields,
};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The scalars of a group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) clock: Timestamp,
    pub(crate) horizon: Timestamp,
    pub(crate) watermark: Option<Timestamp>,
    pub(crate) chain: ChainHead,
    /// The last entry that a kept checkpoint covered.
    pub(crate) attested: u64,
    /// The last entry with a Yes vote, which wants a checkpoint.
    pub(crate) voted: u64,
    pub(crate) quota: Quota,
}

impl Head {
    /// Feeds what applying decides; the chain is what the digest becomes part of.
    pub(crate) fn feed(&self, hasher: Hasher) -> Hasher {
        let Head { clock, horizon, watermark, chain: _, attested, voted, quota } = self;
        let (some, mark) = watermark.map_or((0, 0), |watermark| (1, watermark.0));
        let hasher = hasher.u64(clock.0).u64(horizon.0).u64(some).u64(mark);
        hasher.u64(*attested).u64(*voted).u64(quota.held).u64(quota.promised)
    }
}

/// A checkpoint with its signatures and the heads that it is made of.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Attested {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) signatures: Vec<NodeSignature>,
    pub(crate) heads: Vec<ChainHead>,
}

/// One version of a record; no fields is a tombstone.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) version: Timestamp,
    /// What it counts against the quota while it is the latest.
    pub(crate) bytes: u64,
    pub(crate) fields: Option<Fields>,
}

/// A [`Stored`] to be written, with fields that lie elsewhere.
#[derive(Serialize)]
pub(crate) struct StoredRef<'a> {
    pub(crate) version: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) fields: Option<&'a Fields>,
}

/// Version and bytes of an encoded [`Stored`].
pub(crate) fn measure_of(stored: &[u8]) -> (Timestamp, u64) {
    codec::decode_first(stored).expect("stored bytes are of this release's format")
}

/// What a group keeps of a transaction. Which outcomes are asked for, and where a vote stands in
/// the chain, is needed less often than vote and decision: [`load_txn`] reads those alone.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) txn: Txn,
    /// Of a Yes vote that is not rolled back.
    pub(crate) place: Option<Place>,
    /// The aggregate record: at the home group, from the first sure answer on.
    pub(crate) aggregate: Option<Aggregate>,
}

/// A [`Kept`] to be written, of what lies elsewhere.
#[derive(Serialize)]
pub(crate) struct KeptRef<'a> {
    pub(crate) txn: &'a Txn,
    pub(crate) place: Option<Place>,
    pub(crate) aggregate: Option<AggregateRef<'a>>,
}

/// Where a Yes vote stands in the chain: with its entry's [`Leaves`] this is its proof.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The entry.
    pub(crate) index: u64,
    /// The vote's leaf in the entry's tree.
    pub(crate) leaf: u64,
    /// Digest of the vote's command bytes.
    pub(crate) command: Hash,
    /// Digest of the after-images.
    pub(crate) images: Hash,
}

/// The tree of an entry, and the chain before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Leaves {
    pub(crate) before: Hash,
    pub(crate) leaves: Vec<Hash>,
}

/// A transaction's vote and decision in this group.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Txn {
    /// Absent where ForceVote or a rollback came first.
    pub(crate) body: Option<Hash>,
    pub(crate) participants: Vec<GroupId>,
    pub(crate) vote: VoteCast,
    pub(crate) decision: Option<Decision>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) enum VoteCast {
    Yes { ts: Timestamp },
    No(Cause),
}

/// A Yes vote that waits for its decision.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Prepared {
    pub(crate) body: Body,
    pub(crate) ts: Timestamp,
    pub(crate) reads: Vec<Key>,
    pub(crate) ranges: Vec<KeyRange>,
    pub(crate) images: Vec<Image>,
    /// By how many bytes installing the images makes the group larger.
    pub(crate) growth: i64,
}

/// What a record becomes; no fields is a tombstone.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) key: Key,
    pub(crate) fields: Option<Fields>,
}

/// What a due garbage item is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) enum Garbage {
    /// An older version: delete it.
    Version { key: Key, version: Timestamp },
    /// A record to delete if it still has this version: a tombstone, or an expired request.
    Latest { key: Key, version: Timestamp },
    /// What the home group keeps of a finished transaction, once it is forgotten everywhere else.
    Outcome(Tid),
    /// A signed checkpoint.
    Checkpoint { last: u64 },
    /// The leaves of an entry.
    Leaves { index: u64 },
}

impl Place {
    /// The proof, by the tree of the entry and the chain before it.
    pub(crate) fn proof(self, group: GroupId, ts: Timestamp, before: Hash, tree: &Tree) -> Proof {
        let Place { index, leaf, command, images } = self;
        Proof { group, index, ts, images, command, path: tree.path(leaf as usize), before }
    }
}

pub(crate) const CONFIG: &[u8] = b"c";
pub(crate) const HEAD: &[u8] = b"o";
pub(crate) const TOLERANCE: &[u8] = b"v";
pub(crate) const LEDGER: &[u8] = b"w";
pub(crate) const LATEST: u8 = b'r';
pub(crate) const GARBAGE: u8 = b'g';
pub(crate) const TXN: u8 = b't';
pub(crate) const PREPARED: u8 = b'p';
pub(crate) const WRITE_LOCK: u8 = b'l';
pub(crate) const READ_LOCK: u8 = b'k';
pub(crate) const RANGE_LOCK: u8 = b'x';
pub(crate) const STAGE: u8 = b's';
pub(crate) const META: u8 = b'm';
pub(crate) const CHAIN_HEAD: u8 = b'n';
pub(crate) const ATTESTED: u8 = b'q';
pub(crate) const EVENT: u8 = b'y';

pub(crate) fn latest(key: &Key) -> Vec<u8> {
    named(LATEST, key)
}

pub(crate) fn history(key: &Key, version: Timestamp) -> Vec<u8> {
    let mut bytes = named(b'h', key);
    bytes.extend_from_slice(&(!version.0).to_be_bytes());
    bytes
}

/// Bounds of the older versions of a key at or before `at`, newest first.
pub(crate) fn history_at(key: &Key, at: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let mut to = named(b'h', key);
    to.extend_from_slice(&[0xFF; 9]);
    (history(key, at), to)
}

pub(crate) fn garbage(due: Timestamp, item: &Garbage) -> Vec<u8> {
    let mut bytes = tagged(GARBAGE, &due.0.to_be_bytes());
    bytes.extend_from_slice(&codec::encode(item));
    bytes
}

/// The items of a row of garbage: that in its key, and those in its value.
pub(crate) fn garbage_items(key: &[u8], value: &[u8]) -> Vec<Garbage> {
    let mut items = alloc::vec![stored(&key[9..])];
    if !value.is_empty() {
        items.extend(stored::<Vec<Garbage>>(value));
    }
    items
}

pub(crate) fn write_lock(key: &Key) -> Vec<u8> {
    named(WRITE_LOCK, key)
}

/// Bounds of the write locks in a range.
pub(crate) fn write_locks(range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = range.bounds();
    (tagged(WRITE_LOCK, &from), tagged(WRITE_LOCK, &to))
}

pub(crate) fn read_lock(key: &Key, tid: Tid) -> Vec<u8> {
    let (mut bytes, _) = read_locks(key);
    bytes.extend_from_slice(&tid.to_bytes());
    bytes
}

/// Bounds of the read locks on a key; the first is the prefix that all share.
pub(crate) fn read_locks(key: &Key) -> (Vec<u8>, Vec<u8>) {
    let from = named(READ_LOCK, key);
    let mut to = from.clone();
    to.extend_from_slice(&[0xFF; 21]);
    (from, to)
}

pub(crate) fn range_lock(tid: Tid) -> Vec<u8> {
    tagged(RANGE_LOCK, &tid.to_bytes())
}

pub(crate) fn txn(tid: Tid) -> Vec<u8> {
    tagged(TXN, &tid.to_bytes())
}

pub(crate) fn prepared(tid: Tid) -> Vec<u8> {
    tagged(PREPARED, &tid.to_bytes())
}

pub(crate) fn leaves(index: u64) -> Vec<u8> {
    tagged(b'e', &index.to_be_bytes())
}

pub(crate) fn chain_head(index: u64) -> Vec<u8> {
    tagged(CHAIN_HEAD, &index.to_be_bytes())
}

/// Bounds of the heads after these entries.
pub(crate) fn chain_heads(indexes: RangeInclusive<u64>) -> (Vec<u8>, Vec<u8>) {
    let to = match indexes.end().checked_add(1) {
        Some(end) => chain_head(end),
        None => alloc::vec![CHAIN_HEAD + 1],
    };
    (chain_head(*indexes.start()), to)
}

pub(crate) fn attested(last: u64) -> Vec<u8> {
    tagged(ATTESTED, &last.to_be_bytes())
}

/// An event of the history, by its place there.
pub(crate) fn event(place: u64) -> Vec<u8> {
    tagged(EVENT, &place.to_be_bytes())
}

/// Bounds of the checkpoints that end at or after this entry.
pub(crate) fn attested_from(index: u64) -> (Vec<u8>, Vec<u8>) {
    (attested(index), alloc::vec![ATTESTED + 1])
}

/// The number in a key of a table by log index, or by place.
pub(crate) fn index_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[1..9].try_into().expect("keys by number hold a u64"))
}

pub(crate) fn stage(tid: Tid, seq: u64) -> Vec<u8> {
    let mut bytes = tagged(STAGE, &tid.to_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes
}

/// Bounds of what a transaction staged.
pub(crate) fn stage_of(tid: Tid) -> (Vec<u8>, Vec<u8>) {
    let mut to = tagged(STAGE, &tid.to_bytes());
    to.extend_from_slice(&[0xFF; 9]);
    (stage(tid, 0), to)
}

/// Bounds of a per-transaction table for ids minted after `above`, up to and with `mint`.
pub(crate) fn minted(tag: u8, above: Option<Timestamp>, mint: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let after = |at: Timestamp| match at.0.checked_add(1) {
        Some(next) => tagged(tag, &next.to_be_bytes()),
        None => alloc::vec![tag + 1],
    };
    (above.map_or_else(|| alloc::vec![tag], after), after(mint))
}

/// Bounds of a whole table.
pub(crate) fn whole(tag: u8) -> (Vec<u8>, Vec<u8>) {
    (alloc::vec![tag], alloc::vec![tag + 1])
}

/// The transaction id in a key of a per-transaction table.
pub(crate) fn tid_of(key: &[u8]) -> Tid {
    Tid::from_bytes(&key[1..21]).expect("per-transaction keys hold an id")
}

pub(crate) fn meta(name: &str) -> Vec<u8> {
    tagged(META, name.as_bytes())
}

pub(crate) fn load<T: DeserializeOwned>(state: &(impl Read + ?Sized), key: &[u8]) -> Option<T> {
    state.get(key).map(|bytes| stored(&bytes))
}

pub(crate) fn save<T: Serialize>(state: &mut (impl State + ?Sized), key: Vec<u8>, value: &T) {
    state.put(key, codec::encode(value));
}

/// Decodes what this crate itself wrote. Bytes that do not parse mean that the store broke its
/// promise never to answer wrongly, or that the data is of another release: going on would diverge.
pub(crate) fn stored<T: DeserializeOwned>(bytes: &[u8]) -> T {
    codec::decode(bytes).expect("stored bytes are of this release's format")
}

pub(crate) fn load_kept(state: &(impl Read + ?Sized), tid: Tid) -> Option<Kept> {
    load(state, &txn(tid))
}

/// Vote and decision alone.
pub(crate) fn load_txn(state: &(impl Read + ?Sized), tid: Tid) -> Option<Txn> {
    state.get(&txn(tid)).map(|kept| txn_of(&kept))
}

/// The [`Txn`] of an encoded [`Kept`].
pub(crate) fn txn_of(kept: &[u8]) -> Txn {
    codec::decode_first(kept).expect("stored bytes are of this release's format")
}

pub(crate) fn load_config(state: &(impl Read + ?Sized)) -> Option<Config> {
    load(state, CONFIG)
}

fn named(tag: u8, key: &Key) -> Vec<u8> {
    // Room for what most tables put behind the key.
    let mut bytes = Vec::with_capacity(64);
    bytes.push(tag);
    key.encode_into(&mut bytes);
    bytes
}

fn tagged(tag: u8, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(tag);
    bytes.extend_from_slice(key);
    bytes
}
