//! The admin port: `/metrics` in Prometheus' text format, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! It answers from the first moment, when the log is still being read, so that a node that takes
//! long to start is seen to live. It has no authentication and changes nothing; bind it to where
//! only operators are.

use crate::cluster::Cluster;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing,
};
use prometheus::{TEXT_FORMAT, TextEncoder};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpListener;

/// The node, once it is there.
pub(crate) type Watched = Arc<OnceLock<Arc<Cluster>>>;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, watched: Watched) {
    let routes = Router::new()
        .route("/metrics", routing::get(metrics))
        .route("/healthz", routing::get(|| async { "alive\n" }))
        .route("/readyz", routing::get(ready))
        .with_state(watched);
    // It retries what fails for a moment, and does not end.
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "the admin port is closed");
    }
}

async fn metrics(State(watched): State<Watched>) -> Response {
    let Some(cluster) = watched.get().cloned() else { return starting() };
    let gathering = move || {
        let families = cluster.metrics.gauges.gather(&cluster);
        TextEncoder::new().encode_to_string(&families)
    };
    match tokio::task::spawn_blocking(gathering).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

async fn ready(State(watched): State<Watched>) -> Response {
    let Some(cluster) = watched.get() else { return starting() };
    match cluster.readiness.lack(cluster) {
        None => "ready\n".into_response(),
        Some(lack) => (StatusCode::SERVICE_UNAVAILABLE, format!("{lack}\n")).into_response(),
    }
}

fn starting() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the node is starting\n").into_response()
}

fn failed(error: &dyn std::error::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}
