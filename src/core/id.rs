//! Names of groups, transactions and moments.
//!
//! A transaction id holds its mint time and names its home group outright: anybody who has the id
//! can ask its home for the outcome, and a watermark on mint times can forget old transactions.

use alloc::string::String;
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// One Raft group. Group 0 (meta) holds the ring and the node registry; others hold records.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The meta group.
    pub const META: GroupId = GroupId(0);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Hybrid logical time in microseconds: wall clock as a hint, order by rule.
///
/// Also the version of a record: the commit timestamp that wrote it, 0 where there is none.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before every commit; as a version it means absent.
    pub const ZERO: Timestamp = Timestamp(0);

    /// The next moment.
    #[must_use]
    pub fn next(self) -> Self {
        Timestamp(self.0.saturating_add(1))
    }

    /// Later by `us` microseconds.
    #[must_use]
    pub fn plus_us(self, us: u64) -> Self {
        Timestamp(self.0.saturating_add(us))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A transaction id. Every attempt has its own. Ordered by mint time first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tid {
    /// When the gateway minted it, by its wall clock.
    pub mint: Timestamp,
    /// The group that keeps the aggregate record: that of the first record touched.
    pub home: GroupId,
    /// Random; tells apart what was minted in the same microsecond.
    pub nonce: u64,
}

impl Tid {
    /// Bytes that sort as the id does.
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.mint.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.home.0.to_be_bytes());
        bytes[12..].copy_from_slice(&self.nonce.to_be_bytes());
        bytes
    }

    /// Reads what [`Tid::to_bytes`] wrote; `None` where the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Tid> {
        let bytes: &[u8; 20] = bytes.try_into().ok()?;
        let (mint, rest) = bytes.split_first_chunk::<8>()?;
        let (home, nonce) = rest.split_first_chunk::<4>()?;
        Some(Tid {
            mint: Timestamp(u64::from_be_bytes(*mint)),
            home: GroupId(u32::from_be_bytes(*home)),
            nonce: u64::from_be_bytes(nonce.try_into().ok()?),
        })
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}-{:016x}", self.mint.0, self.home.0, self.nonce)
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{:x}.{:x}@{}", self.mint.0, self.nonce, self.home.0)
    }
}

/// The text is not a transaction id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("transaction id {0:?} is not of the form MINT-GROUP-NONCE in hexadecimal")]
pub struct TidError(pub String);

impl FromStr for Tid {
    type Err = TidError;

    fn from_str(text: &str) -> Result<Self, TidError> {
        let parse = || {
            let mut parts = text.split('-');
            let mint = u64::from_str_radix(parts.next()?, 16).ok()?;
            let home = u32::from_str_radix(parts.next()?, 16).ok()?;
            let nonce = u64::from_str_radix(parts.next()?, 16).ok()?;
            parts.next().is_none().then_some(Tid {
                mint: Timestamp(mint),
                home: GroupId(home),
                nonce,
            })
        };
        parse().ok_or_else(|| TidError(text.into()))
    }
}
