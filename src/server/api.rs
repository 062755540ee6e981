//! What the client services share: the gateway's front.

use crate::{cluster::Cluster, status::ApiError, time};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;
use tonic::{Request, metadata::MetadataMap};
use vatic_core::{draft::Draft, hash::Hash};
use vatic_proto::metadata::PRINCIPAL;

/// Longest name of who asks, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 64;

/// The client services of one node.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) cluster: Arc<Cluster>,
}

impl Gateway {
    /// Refuses new work while the node closes.
    pub(crate) fn admit(&self) -> Result<(), ApiError> {
        if self.cluster.is_draining() { Err(ApiError::ShuttingDown) } else { Ok(()) }
    }

    /// When a unary call must be answered: the client's own deadline, or the node's.
    pub(crate) fn deadline<T>(&self, request: &Request<T>) -> Instant {
        let limit_ms = self.cluster.config.limits.call_deadline_ms;
        let asked = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let asked_ms = asked.and_then(timeout_ms).unwrap_or(limit_ms);
        time::deadline_in(asked_ms.min(limit_ms))
    }

    /// A draft that begins now; the seed is the client's or drawn here.
    pub(crate) fn draft(&self, seed: Option<Hash>) -> Result<Draft, ApiError> {
        let ring = self.cluster.ring().ok_or(ApiError::NotReady)?;
        let seed = seed.unwrap_or_else(|| Hash(rand::random()));
        let limits = self.cluster.config.group_limits.clone();
        Ok(Draft::begin(ring, limits, time::now(), rand::random(), seed))
    }

    /// How far a client's clock may run ahead.
    pub(crate) fn clock_ahead_max_ms(&self) -> u64 {
        self.cluster.config.limits.clock_ahead_max_ms
    }

    /// Refuses a delta that is larger than the limit.
    pub(crate) fn check_delta(&self, bytes: &[u8]) -> Result<(), ApiError> {
        let (max, actual) = (self.cluster.config.limits.delta_bytes_max, bytes.len() as u64);
        if actual > max {
            return Err(ApiError::Limit { limit: "delta_bytes_max", max, actual });
        }
        Ok(())
    }
}

/// Who asks, as far as the metadata says.
pub(crate) fn principal(metadata: &MetadataMap) -> Result<String, ApiError> {
    let Some(value) = metadata.get(PRINCIPAL) else { return Ok(String::new()) };
    match value.to_str() {
        Ok(name) if name.len() <= PRINCIPAL_BYTES_MAX => Ok(name.into()),
        _ => Err(ApiError::BadRequestId { what: "vatic-principal has 0 to 64 bytes of ASCII" }),
    }
}

/// A place among the streams that a node serves at once; freed when dropped.
pub(crate) struct Slot(Arc<Cluster>);

impl Slot {
    pub(crate) fn take(cluster: &Arc<Cluster>) -> Result<Slot, ApiError> {
        let max = cluster.config.limits.streams_max;
        let slot = Slot(cluster.clone());
        if slot.count().fetch_add(1, Ordering::AcqRel) >= max {
            return Err(ApiError::QueueFull { limit: "streams_max", max });
        }
        Ok(slot)
    }

    fn count(&self) -> &AtomicU64 {
        &self.0.streams
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::AcqRel);
    }
}

/// Bytes that one running transaction keeps in this node's memory; given back when dropped.
pub(crate) struct Memory {
    cluster: Arc<Cluster>,
    bytes: u64,
}

impl Memory {
    pub(crate) fn new(cluster: &Arc<Cluster>) -> Memory {
        Memory { cluster: cluster.clone(), bytes: 0 }
    }

    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), ApiError> {
        let max = self.cluster.config.limits.gateway_bytes_max;
        let before = self.cluster.gateway_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        if before + bytes > max {
            return Err(ApiError::QueueFull { limit: "gateway_bytes_max", max });
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.cluster.gateway_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
fn timeout_ms(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => amount * 3_600_000,
        "M" => amount * 60_000,
        "S" => amount * 1_000,
        "m" => amount,
        "u" => amount / 1_000,
        "n" => amount / 1_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::timeout_ms;

    #[test]
    fn grpc_timeout_units_are_read_and_others_refused() {
        assert_eq!(timeout_ms("2S"), Some(2_000));
        assert_eq!(timeout_ms("1500m"), Some(1_500));
        assert_eq!(timeout_ms("2500000u"), Some(2_500));
        assert_eq!(timeout_ms(""), None);
        assert_eq!(timeout_ms("5x"), None);
        assert_eq!(timeout_ms("18446744073709551615H"), None);
    }
}
