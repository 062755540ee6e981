//! What a replica applied, as it writes it down, and how that is played again.
//!
//! A diary is a row of pages. One shows the state over which the group was opened: none yet, what a
//! restart found, what a snapshot brought. Each further one is an entry: its commands, the chain
//! after it, and a digest of the replies where somebody waited for them. The chain runs over all
//! that was answered and written, so who comes to the same chain has done the same.
//!
//! Invariant: no byte can be altered without [`play`] naming the page. A last page that is cut off
//! is let pass, and told: its writer died over it.

use crate::{
    codec,
    command::ChainHead,
    group::Group,
    hash::{Hash, Hasher},
    id::GroupId,
    memory::MemoryState,
    rules::Rules,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Before each page: its length, and the same once more with all bits turned.
const HEADER_BYTES: usize = 8;

/// One page.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Page {
    /// The group was opened over this state.
    Opened {
        /// Which group.
        group: GroupId,
        /// Keys and values, in order.
        rows: Vec<(ByteBuf, ByteBuf)>,
        /// Of the fields above.
        digest: Hash,
    },
    /// An entry was applied.
    Entry {
        /// Its place in the log.
        index: u64,
        /// Its commands, as they lie in the log.
        commands: Vec<ByteBuf>,
        /// The group's chain after it.
        chain: ChainHead,
        /// Of the replies, where somebody waited for them.
        replies: Option<Hash>,
    },
    /// There was no room for more.
    Full,
}

impl Page {
    /// A group is opened over these rows.
    pub fn opened(group: GroupId, rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Page {
        let rows = rows.into_iter().map(|(key, value)| (key.into(), value.into()));
        let rows: Vec<(ByteBuf, ByteBuf)> = rows.collect();
        let digest = digest_of(group, &rows);
        Page::Opened { group, rows, digest }
    }

    /// An entry that was applied, with its replies as they are sent.
    pub fn entry<B: AsRef<[u8]>>(
        index: u64,
        commands: &[B],
        chain: ChainHead,
        replies: Option<&[B]>,
    ) -> Page {
        let commands = commands.iter().map(|command| ByteBuf::from(command.as_ref())).collect();
        let replies = replies.map(|replies| digest_of_replies(replies));
        Page::Entry { index, commands, chain, replies }
    }

    /// As it lies in a diary.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = codec::encode(self);
        let length = body.len() as u32;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend(length.to_be_bytes());
        bytes.extend((!length).to_be_bytes());
        bytes.extend(body);
        bytes
    }
}

/// What was played again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Played {
    /// Pages.
    pub pages: u64,
    /// Entries among them.
    pub entries: u64,
    /// Commands of those.
    pub commands: u64,
    /// The last page is cut off.
    pub cut: bool,
    /// The writer had no room for more.
    pub full: bool,
}

/// Where playing it again came to something else.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("page {page} at byte {at}: {why}")]
pub struct Difference {
    /// The page, from 1.
    pub page: u64,
    /// Where it begins.
    pub at: usize,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a page.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// It cannot be read.
    #[error("it is damaged")]
    Damaged,
    /// The state that it shows is not what its digest says.
    #[error("the state has another digest")]
    State,
    /// An entry comes before the group was opened.
    #[error("entry {0} comes before a state to apply it to")]
    Unopened(u64),
    /// The group halts.
    #[error("the group halts at entry {0}")]
    Halt(u64),
    /// Applying it gives other replies.
    #[error("entry {0} is answered differently")]
    Replies(u64),
    /// It does not come after the one before it.
    #[error("entry {0} does not come after the one before it")]
    Order(u64),
    /// Applying it leads elsewhere.
    #[error("entry {0} leads to another chain")]
    Chain(u64),
}

/// Plays a diary again through the core under these rules.
pub fn play(diary: &[u8], rules: Rules) -> Result<Played, Difference> {
    let (mut played, mut at, mut stage) = (Played::default(), 0, None);
    while at < diary.len() {
        let page = played.pages + 1;
        let differs = |why| Difference { page, at, why };
        let Some(body) = next_page(&diary[at..]).map_err(differs)? else {
            played.cut = true;
            break;
        };
        match codec::decode(body).map_err(|_| differs(Why::Damaged))? {
            Page::Opened { group, rows, digest } => {
                if digest != digest_of(group, &rows) {
                    return Err(differs(Why::State));
                }
                let rows = rows.into_iter().map(|(key, value)| (key.into_vec(), value.into_vec()));
                let state = MemoryState(rows.collect());
                stage = Some((Group::open(group, &state, rules), state));
            }
            Page::Entry { index, commands, chain, replies } => {
                let unopened = || differs(Why::Unopened(index));
                let (group, state) = stage.as_mut().ok_or_else(unopened)?;
                if index <= group.chain().index {
                    return Err(differs(Why::Order(index)));
                }
                played.entries += 1;
                played.commands += commands.len() as u64;
                let now = again(group, state, index, &commands, replies.is_some());
                let now = now.ok_or_else(|| differs(Why::Halt(index)))?;
                if group.chain() != chain {
                    return Err(differs(Why::Chain(index)));
                }
                if now != replies {
                    return Err(differs(Why::Replies(index)));
                }
            }
            Page::Full => played.full = true,
        }
        played.pages = page;
        at += HEADER_BYTES + body.len();
    }
    Ok(played)
}

/// Nothing where the group halts.
fn again(
    group: &mut Group,
    state: &mut MemoryState,
    index: u64,
    commands: &[ByteBuf],
    answered: bool,
) -> Option<Option<Hash>> {
    let commands = commands.iter().map(|command| command.as_slice());
    if answered {
        let replies = group.apply_entry(state, index, commands).ok()?;
        let replies: Vec<Vec<u8>> = replies.iter().map(codec::encode).collect();
        return Some(Some(digest_of_replies(&replies)));
    }
    group.follow_entry(state, index, commands).ok()?;
    Some(None)
}

/// The body of the page that comes next; nothing where it is cut off.
fn next_page(diary: &[u8]) -> Result<Option<&[u8]>, Why> {
    let Some((header, rest)) = diary.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [length, turned] = [&header[..4], &header[4..]]
        .map(|half| u32::from_be_bytes(half.try_into().expect("a half has four bytes")));
    if length != !turned {
        return Err(Why::Damaged);
    }
    Ok(rest.get(..length as usize))
}

fn digest_of(group: GroupId, rows: &[(ByteBuf, ByteBuf)]) -> Hash {
    let begun = Hasher::new("vatic/diary-state/v1").u64(group.0.into());
    rows.iter().fold(begun, |hasher, (key, value)| hasher.bytes(key).bytes(value)).finish()
}

fn digest_of_replies(replies: &[impl AsRef<[u8]>]) -> Hash {
    let begun = Hasher::new("vatic/diary-replies/v1");
    replies.iter().fold(begun, |hasher, reply| hasher.bytes(reply.as_ref())).finish()
}
