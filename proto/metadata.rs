//! The keys of gRPC metadata that vatic reads.

/// Who asks, 0 to 64 bytes of ASCII; absent is the same as empty. Request ids are unique for each
/// principal.
pub const PRINCIPAL: &str = "vatic-principal";
