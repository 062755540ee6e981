//! What the store counts, for whoever watches the node. The store itself reads none of it.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, exponential_buckets};

pub(crate) struct Metrics {
    /// Of the one transaction that writes all overlays that are ready, its commit included.
    pub(crate) flush_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let what = "Time of one flush of overlays into LMDB, its commit included.";
        let buckets = exponential_buckets(0.001, 2.0, 14).expect("the first is above zero");
        let options = HistogramOpts::new("vatic_store_flush_seconds", what).buckets(buckets);
        Metrics { flush_seconds: Histogram::with_opts(options).expect("the name is sound") }
    }

    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.flush_seconds.clone())]
    }
}
