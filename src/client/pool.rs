//! The endpoints of a cluster: one lazy connection each, and which to ask next.
//!
//! Invariant: `pick` always answers; an endpoint that failed a moment ago is asked only when nobody
//! better is left, so that a dead node costs each client one refused call per cooldown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::error::ClientError;
use crate::limits::Limits;

/// One node as this client reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) endpoint: Arc<str>,
    pub(crate) channel: Channel,
}

impl Node {
    /// The same node over a connection of its own.
    pub(crate) fn reopened(&self, limits: &Limits) -> Result<Node, ClientError> {
        let channel = open(&self.endpoint, limits)?;
        Ok(Node { endpoint: self.endpoint.clone(), channel })
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    slots: Mutex<Vec<Slot>>,
    turn: AtomicUsize,
    in_order: bool,
    limits: Limits,
}

#[derive(Debug)]
struct Slot {
    node: Node,
    failed: Option<Instant>,
}

impl Pool {
    /// `in_order`: always the first endpoint that works; otherwise they take turns.
    pub(crate) fn new(
        endpoints: &[String],
        in_order: bool,
        limits: &Limits,
    ) -> Result<Self, ClientError> {
        if endpoints.is_empty() {
            return Err(ClientError::Input("no endpoint is given".to_owned()));
        }
        let pool = Pool {
            slots: Mutex::default(),
            turn: AtomicUsize::new(0),
            in_order,
            limits: limits.clone(),
        };
        for endpoint in endpoints {
            pool.learn(endpoint)?;
        }
        Ok(pool)
    }

    /// Adds an endpoint unless it is known.
    pub(crate) fn learn(&self, endpoint: &str) -> Result<Node, ClientError> {
        let endpoint = endpoint.trim_end_matches('/');
        let mut slots = self.slots.lock().expect("no panic under the lock");
        if let Some(slot) = slots.iter().find(|slot| *slot.node.endpoint == *endpoint) {
            return Ok(slot.node.clone());
        }
        let node = Node { endpoint: endpoint.into(), channel: open(endpoint, &self.limits)? };
        slots.push(Slot { node: node.clone(), failed: None });
        Ok(node)
    }

    /// The node to ask: the wanted one unless it failed a moment ago.
    pub(crate) fn pick(&self, wanted: Option<&str>) -> Node {
        if let Some(wanted) = wanted {
            let known = self.learn(wanted).ok();
            if let Some(node) = known.filter(|node| !self.cooling(&node.endpoint)) {
                return node;
            }
        }
        let slots = self.slots.lock().expect("no panic under the lock");
        let start = if self.in_order { 0 } else { self.turn.fetch_add(1, Ordering::Relaxed) };
        let order = (0..slots.len()).map(|step| &slots[(start + step) % slots.len()]);
        let best = order.clone().find(|slot| !self.is_cooling(slot));
        let chosen = best.or_else(|| order.min_by_key(|slot| slot.failed));
        chosen.expect("a pool has at least one endpoint").node.clone()
    }

    pub(crate) fn failed(&self, endpoint: &str) {
        self.mark(endpoint, Some(Instant::now()));
    }

    pub(crate) fn worked(&self, endpoint: &str) {
        self.mark(endpoint, None);
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        let slots = self.slots.lock().expect("no panic under the lock");
        slots.iter().map(|slot| slot.node.endpoint.to_string()).collect()
    }

    fn mark(&self, endpoint: &str, failed: Option<Instant>) {
        let mut slots = self.slots.lock().expect("no panic under the lock");
        if let Some(slot) = slots.iter_mut().find(|slot| *slot.node.endpoint == *endpoint) {
            slot.failed = failed;
        }
    }

    fn cooling(&self, endpoint: &str) -> bool {
        let slots = self.slots.lock().expect("no panic under the lock");
        slots.iter().any(|slot| *slot.node.endpoint == *endpoint && self.is_cooling(slot))
    }

    fn is_cooling(&self, slot: &Slot) -> bool {
        let cooldown = Duration::from_millis(self.limits.endpoint_cooldown_ms);
        slot.failed.is_some_and(|failed| failed.elapsed() < cooldown)
    }
}

fn open(endpoint: &str, limits: &Limits) -> Result<Channel, ClientError> {
    let bad = |error| ClientError::Input(format!("endpoint {endpoint:?}: {error}"));
    if endpoint.starts_with("https://") {
        return Err(bad("there is no TLS yet; use http://".to_owned()));
    }
    let with_scheme = endpoint.starts_with("http://");
    if !with_scheme {
        return Err(bad("it must look like http://HOST:PORT".to_owned()));
    }
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(|e| bad(e.to_string()))?;
    Ok(endpoint
        .connect_timeout(Duration::from_millis(limits.connect_ms))
        .http2_keep_alive_interval(Duration::from_millis(limits.keepalive_interval_ms))
        .keep_alive_timeout(Duration::from_millis(limits.keepalive_timeout_ms))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "http://127.0.0.1:1";
    const B: &str = "http://127.0.0.1:2";

    fn pool(in_order: bool) -> Pool {
        Pool::new(&[A.to_owned(), B.to_owned()], in_order, &Limits::simulation()).unwrap()
    }

    #[tokio::test]
    async fn endpoints_take_turns() {
        let pool = pool(false);
        let picked: Vec<_> = (0..4).map(|_| pool.pick(None).endpoint.to_string()).collect();
        assert_eq!(picked, [A, B, A, B]);
    }

    #[tokio::test(start_paused = true)]
    async fn failed_endpoint_rests_for_its_cooldown() {
        let pool = pool(true);
        pool.failed(A);
        assert_eq!(*pool.pick(None).endpoint, *B);
        assert_eq!(*pool.pick(Some(A)).endpoint, *B);
        tokio::time::advance(Duration::from_millis(21)).await;
        assert_eq!(*pool.pick(None).endpoint, *A);
    }

    #[tokio::test(start_paused = true)]
    async fn all_failed_picks_the_one_that_failed_first() {
        let pool = pool(true);
        pool.failed(B);
        tokio::time::advance(Duration::from_millis(1)).await;
        pool.failed(A);
        assert_eq!(*pool.pick(None).endpoint, *B);
        pool.worked(A);
        assert_eq!(*pool.pick(None).endpoint, *A);
    }

    #[tokio::test]
    async fn unknown_leader_is_learnt() {
        let pool = pool(true);
        assert_eq!(*pool.pick(Some("http://127.0.0.1:3/")).endpoint, *"http://127.0.0.1:3");
        assert_eq!(pool.endpoints().len(), 3);
    }

    #[tokio::test]
    async fn endpoint_without_scheme_is_refused_by_name() {
        let error = Pool::new(&["localhost:1".to_owned()], true, &Limits::simulation());
        assert!(error.unwrap_err().to_string().contains("localhost:1"));
    }
}
