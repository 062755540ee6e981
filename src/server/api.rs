//! What the client services share: the gateway's front.

use crate::{cluster::Cluster, foresight::Foresight, status::ApiError, time};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tonic::{Request, metadata::MetadataMap};
use vatic_core::{draft::Draft, hash::Hash};
use vatic_proto::metadata::PRINCIPAL;
use vatic_sync::Shut;

/// Longest name of who asks, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 64;

/// How long what is said of a stream that is over waits for a client that takes nothing.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(1);

/// The client services of one node.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) foresight: Foresight,
}

impl Gateway {
    /// Refuses new work while the node closes; it does not close while this is held.
    pub(crate) fn admit(&self) -> Result<Admitted, ApiError> {
        let entered = self.cluster.submits.enter(1, u64::from(u32::MAX));
        entered.map_err(|_| ApiError::ShuttingDown)?;
        Ok(Admitted(self.cluster.clone()))
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

/// A place among the streams that a node serves at once, and none while it closes; freed when
/// dropped.
pub(crate) struct Slot(Arc<Cluster>);

impl Slot {
    pub(crate) fn take(cluster: &Arc<Cluster>) -> Result<Slot, ApiError> {
        let max = cluster.config.limits.streams_max;
        match cluster.streams.enter(1, max) {
            Ok(()) => Ok(Slot(cluster.clone())),
            Err(Shut::Closed) => Err(ApiError::ShuttingDown),
            Err(Shut::Full) => Err(ApiError::QueueFull { limit: "streams_max", max }),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.leave(1);
    }
}

/// A one-shot that was admitted; over when dropped.
pub(crate) struct Admitted(Arc<Cluster>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.submits.leave(1);
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
        let full = |_| ApiError::QueueFull { limit: "gateway_bytes_max", max };
        self.cluster.gateway_bytes.enter(bytes, max).map_err(full)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.cluster.gateway_bytes.leave(self.bytes);
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
