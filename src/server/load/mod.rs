//! Load control at the gateway: what `Submit`, the pipeline's submissions, the seal of a stream and
//! the dispatch of tickets pass before they take anything of the cluster.
//!
//! `vatic_core::load` decides. Here are its clock, what the machine has left (`gauges`), and those
//! who wait (`ingress`).
//!
//! Why at the gateway: who is refused must cost next to nothing, so it is refused before anything
//! of it is decoded, sent on or proposed. It works by how long transactions take from here: a
//! leader elsewhere that cannot keep up shows in that.

mod gauges;
mod ingress;

pub(crate) use ingress::{Entering, Ingress, Place};

use crate::{
    api::Gateway, cluster::Cluster, config::Config, mechanisms::Mechanism, status::ApiError,
};
use gauges::Machine;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use vatic_core::{conflict::fixed, lane::Urgency, load::LoadLimits};

/// One window: between two steps of the control.
const WINDOW: Duration = Duration::from_millis(100);
/// Windows between two looks at the machine.
const LOOK_WINDOWS: u32 = 10;

/// Steps the control, window by window.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    let cluster = cluster.clone();
    tasks.spawn(async move {
        let mut machine = Machine::default();
        for window in 0u32.. {
            tokio::time::sleep(WINDOW).await;
            if window.is_multiple_of(LOOK_WINDOWS) {
                let bytes_max = cluster.config.limits.gateway_bytes_max;
                machine.look(cluster.gateway_bytes.inside(), bytes_max);
            }
            cluster.ingress.step(machine.gauges());
        }
    });
}

/// The core's limits by the node's.
pub(crate) fn limits(config: &Config) -> LoadLimits {
    let limits = &config.limits;
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    LoadLimits {
        places_first: count(limits.running_first),
        places_min: count(limits.running_min),
        places_max: count(limits.running_max),
        waiting_max: count(limits.ingress_waiting_max),
        wait_max_us: limits.ingress_wait_max_ms * 1_000,
        wait_us: match config.has(Mechanism::Threshold) {
            true => limits.ingress_overload_ms * 1_000,
            false => u64::MAX,
        },
        ..LoadLimits::production()
    }
}

impl Gateway {
    /// Asks for a place; at once refused where there is none to wait for.
    pub(crate) fn arrive(&self, priority: u32, principal: &str) -> Result<Entering, ApiError> {
        let class = class(priority)?;
        let user = fixed::name_id(principal.as_bytes());
        self.cluster.ingress.arrive(class, user).map_err(|error| self.refused(error))
    }

    /// Waits for the place.
    pub(crate) async fn entered(
        &self,
        entering: Entering,
        deadline: Instant,
    ) -> Result<Place, ApiError> {
        entering.entered(deadline).await.map_err(|error| self.refused(error))
    }

    /// A place for work that is refused to nobody: it comes again by itself.
    pub(crate) async fn place_of(
        &self,
        class: u8,
        principal: &str,
        deadline: Instant,
    ) -> Result<Place, ApiError> {
        let user = fixed::name_id(principal.as_bytes());
        self.cluster.ingress.arrive(class, user)?.entered(deadline).await
    }

    fn refused(&self, error: ApiError) -> ApiError {
        self.cluster.metrics.left_out.inc();
        error
    }
}

/// How urgent a request says that it is.
pub(crate) fn urgency(priority: u32, rollbacks: u32) -> Result<Urgency, ApiError> {
    Ok(Urgency { class: class(priority)?, rollbacks, ..Urgency::default() })
}

/// A priority class, as requests name it.
pub(crate) fn class(priority: u32) -> Result<u8, ApiError> {
    let (limit, max, actual) = ("priority", u64::from(u8::MAX), u64::from(priority));
    u8::try_from(priority).map_err(|_| ApiError::Limit { limit, max, actual })
}
