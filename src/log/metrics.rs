//! What the log counts, for whoever watches the node.
//!
//! The cells are lock-free, and the writer's thread writes them once a batch. The log itself reads
//! none of them, so that a simulation goes its way whatever they say.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, exponential_buckets};

use crate::index::Index;

/// The log's own account; the disk has one of its fsyncs.
#[derive(Clone)]
pub(crate) struct Metrics {
    written_bytes: IntCounter,
    batch_records: Histogram,
    segments: IntGauge,
    live_bytes: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let written = "Bytes written to the log, frames and all.";
        let records = "Records in one batch, which is one fsync.";
        let segments = "Segments that hold something.";
        let live = "Bytes of entries that are neither purged nor truncated.";
        Metrics {
            written_bytes: IntCounter::new("vatic_log_written_bytes_total", written)
                .expect("the name is sound"),
            batch_records: histogram("vatic_log_batch_records", records, 1.0, 14),
            segments: IntGauge::new("vatic_log_segments", segments).expect("the name is sound"),
            live_bytes: IntGauge::new("vatic_log_live_bytes", live).expect("the name is sound"),
        }
    }

    /// A batch is on disk.
    pub(crate) fn batch(&self, bytes: usize, records: usize, index: &Index) {
        self.written_bytes.inc_by(bytes as u64);
        self.batch_records.observe(records as f64);
        self.hold(index);
    }

    /// What there is now, also as recovery found it.
    pub(crate) fn hold(&self, index: &Index) {
        self.segments.set(index.segment_count() as i64);
        self.live_bytes.set(index.live_bytes() as i64);
    }

    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let Metrics { written_bytes, batch_records, segments, live_bytes } = self.clone();
        let (segments, live_bytes) = (Box::new(segments), Box::new(live_bytes));
        vec![Box::new(written_bytes), Box::new(batch_records), segments, live_bytes]
    }
}

/// Times of fsyncs, from 50 µs to 1.6 s.
pub(crate) fn fsync_seconds() -> Histogram {
    histogram("vatic_log_fsync_seconds", "Time of one fdatasync of the log.", 50e-6, 16)
}

/// Each bucket is twice as wide as the one before.
fn histogram(name: &str, what: &str, first: f64, count: usize) -> Histogram {
    let buckets = exponential_buckets(first, 2.0, count).expect("the first bucket is above zero");
    let options = HistogramOpts::new(name, what).buckets(buckets);
    Histogram::with_opts(options).expect("the name is sound")
}
