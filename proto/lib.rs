//! Wire types of vatic, generated from the `.proto` files beside this one.
//!
//! Why a crate of its own: the client, the server and the checks speak one protocol, and the
//! generator runs once. Nothing here has behaviour; each user converts at its own edge.
//!
//! Shapes that hold in every message: `bytes` fields are `bytes::Bytes`, maps are `BTreeMap`s.

pub mod metadata;
pub mod reason;

/// The API for clients, package `vatic.v1`.
pub mod v1 {
    #![allow(clippy::all, clippy::pedantic, missing_docs)]
    include!(concat!(env!("OUT_DIR"), "/vatic.v1.rs"));
}

/// What the nodes of one cluster say to each other.
pub mod peer {
    /// Package `vatic.peer.v1`.
    pub mod v1 {
        #![allow(clippy::all, clippy::pedantic, missing_docs)]
        include!(concat!(env!("OUT_DIR"), "/vatic.peer.v1.rs"));
    }
}

/// The compiled descriptors of all packages, as a serialized `google.protobuf.FileDescriptorSet`:
/// what the reflection service serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
