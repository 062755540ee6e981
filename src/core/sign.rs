//! Ed25519 keys of nodes, and what a client pins of them.
//!
//! A node signs digests that [`crate::checkpoint`] makes, never bytes that somebody else chose. The
//! scheme is Ed25519 of RFC 8032, verified strictly: the scalar is reduced, and neither the key nor
//! the signature's point is of small order. A signature has therefore one form only, and a changed
//! one never passes for the one that was given.

use crate::{hash::Hash, id::GroupId};
use alloc::{collections::BTreeMap, string::String};
use core::fmt;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// A node's signing key. It is not printed, and wiped when dropped.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

/// A node's public key: the 32 bytes of RFC 8032.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

/// A node's signature: the 64 bytes of RFC 8032 are `r` and then `s`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct NodeSignature {
    /// Who signed.
    pub node: u64,
    /// The encoded point.
    pub r: [u8; 32],
    /// The encoded scalar.
    pub s: [u8; 32],
}

/// What whoever verifies trusts: the cluster's name and, for each group, the public keys of the
/// nodes that hold its replicas. It has to come from somewhere else than the receipt.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TrustedKeys {
    /// The cluster's name, which is part of everything signed.
    pub cluster: String,
    /// The replicas' nodes and keys by group.
    pub groups: BTreeMap<GroupId, BTreeMap<u64, PublicKey>>,
}

/// Why a signature counts for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureFault {
    /// The pinned bytes are not a public key.
    #[error("the public key is not a point of the curve")]
    Key,
    /// Somebody else signed, or something else was signed.
    #[error("the signature does not verify")]
    Signature,
}

impl NodeKey {
    /// The key of a secret seed of 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> NodeKey {
        NodeKey(SigningKey::from_bytes(seed))
    }

    /// What others verify with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the 32 bytes of a digest in the name of a node.
    pub(crate) fn sign(&self, node: u64, digest: &Hash) -> NodeSignature {
        let signature = self.0.sign(&digest.0);
        NodeSignature { node, r: *signature.r_bytes(), s: *signature.s_bytes() }
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey of {}", self.public())
    }
}

impl PublicKey {
    pub(crate) fn verify(
        &self,
        digest: &Hash,
        signature: &NodeSignature,
    ) -> Result<(), SignatureFault> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureFault::Key)?;
        let signature = Signature::from_components(signature.r, signature.s);
        key.verify_strict(&digest.0, &signature).map_err(|_| SignatureFault::Signature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hash(self.0), f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Hash(self.0), f)
    }
}

/// How many of this many replicas are a majority.
pub fn quorum(replicas: usize) -> usize {
    replicas / 2 + 1
}
