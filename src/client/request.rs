//! Request ids: what makes a repeated request one effect.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use vatic_core::id::Tid;

/// The name of one intended effect, the same for all of its attempts.
#[derive(Debug, Clone)]
pub struct Request {
    id: [u8; 16],
    mint_unix_ms: u64,
    route: OnceLock<String>,
}

/// Whose outcome is asked for.
#[derive(Debug, Clone, Copy)]
pub enum OutcomeOf<'a> {
    /// One attempt's.
    Transaction(Tid),
    /// Of whichever attempt at the request committed.
    Request(&'a Request),
}

impl Request {
    /// A fresh random id. Its route is the first partition that it touches.
    pub fn mint() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Request { id: rand::random(), mint_unix_ms: now.as_millis() as u64, route: OnceLock::new() }
    }

    /// The id in hexadecimal.
    pub fn to_hex(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Fixes the partition whose group remembers the id; the first call counts.
    pub(crate) fn route_by(&self, partition: &str) {
        self.route.get_or_init(|| partition.to_owned());
    }

    /// The parts of the id, once it has a route.
    pub(crate) fn parts(&self) -> Option<(&[u8], &str, u64)> {
        Some((&self.id, self.route.get()?, self.mint_unix_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_partition_touched_stays_the_route() {
        let request = Request::mint();
        assert!(request.parts().is_none());
        request.route_by("a");
        request.route_by("b");
        assert_eq!(request.parts().unwrap().1, "a");
    }

    #[test]
    fn two_requests_differ() {
        assert_ne!(Request::mint().to_hex(), Request::mint().to_hex());
    }
}
