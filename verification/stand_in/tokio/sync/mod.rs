//! What tasks share: tokio's own, but for the watch.

pub mod watch;

pub use tokio_itself::sync::*;
