//! What part of a node a sampled stack belongs to.
//!
//! A stack counts for the innermost frame that a part claims: what the allocator, the kernel or a
//! hash takes is charged to whoever called it.

use std::collections::BTreeMap;

/// Parts, in the order in which they are printed, with what their functions' names hold. Of a frame
/// that two could claim, the first has it.
const STAGES: [(&str, &[&str]); 9] = [
    ("sockets: reads and writes in the kernel", &["TcpStream as "]),
    ("LMDB: flush, and reads of what is not in memory", &["mdb_", "vatic_store::lmdb"]),
    (LOG, &["vatic_log::"]),
    (
        "state: overlay, what is shown to readers",
        &["vatic_store::", "state_machine::StateMachine::publish"],
    ),
    ("core: votes, decisions, digests, receipts", &["vatic_core::", "ed25519_dalek::"]),
    ("openraft, its transport, batching", &["openraft", "vatic_consensus::"]),
    ("gateway, drivers, lanes, foresight", &["vatic_server::", "vatic_learn::"]),
    ("gRPC: h2, hyper, tonic", &["h2::", "hyper::", "tonic", "prost::"]),
    ("scheduling: tokio, timers, wake-ups", &["tokio::", "mio::", "vatic_sync::"]),
];
const LOG: &str = "log: frames, writes, fsync";
/// Threads whose stacks may show nothing of theirs, and the part that they are of.
const THREADS: [(&str, &str); 1] = [("vatic-log", LOG)];
const OTHER: &str = "the rest";

/// Samples by stage.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Samples {
    by_stage: BTreeMap<usize, u64>,
    pub(crate) count: u64,
}

impl Samples {
    /// Reads what `perf script -F comm,ip,sym` prints: a line with the thread's name, the frames
    /// from the innermost on, an empty line.
    pub(crate) fn read(script: &str) -> Samples {
        let mut samples = Samples::default();
        for sample in script.split("\n\n") {
            let mut lines = sample.lines().filter(|line| !line.is_empty());
            let Some(thread) = lines.next() else { continue };
            let frames = lines.filter_map(|line| line.trim_start().split_once(' '));
            let stage = stage_of(thread, frames.map(|(_, name)| name));
            *samples.by_stage.entry(stage).or_default() += 1;
            samples.count += 1;
        }
        samples
    }

    /// The stages in order, each with its share of the samples.
    pub(crate) fn shares(&self) -> Vec<(&'static str, f64)> {
        let share = |at: &usize| *self.by_stage.get(at).unwrap_or(&0) as f64 / self.count as f64;
        let names = STAGES.iter().map(|(name, _)| *name).chain([OTHER]);
        names.enumerate().map(|(at, name)| (name, share(&at))).collect()
    }
}

fn stage_of<'f>(thread: &str, mut frames: impl Iterator<Item = &'f str>) -> usize {
    let claims = |frame: &str| {
        STAGES.iter().position(|(_, names)| names.iter().any(|name| frame.contains(name)))
    };
    let of_thread = || {
        let found = THREADS.iter().find(|(name, _)| thread.trim().starts_with(name));
        let stage = found.and_then(|(_, of)| STAGES.iter().position(|(stage, _)| stage == of));
        stage.unwrap_or(STAGES.len())
    };
    frames.find_map(claims).unwrap_or_else(of_thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
tokio-rt-worker \n\
\t 48273e sha2::sha256::compress\n\
\t c26ff3 vatic_core::hash::Hasher::feed_bytes\n\
\t bd94e7 vatic_consensus::state_machine::StateMachine::apply_entry\n\
\n\
tokio-rt-worker \n\
\t fde9d __GI___writev\n\
\t 4f0d05 <tokio::net::tcp::stream::TcpStream as tokio::io::AsyncWrite>::poll_write\n\
\t 880b87 h2::codec::framed_write::FramedWrite<T,B>::flush\n\
\n\
vatic-log \n\
\t 1 finish_task_switch\n\
\n\
learner \n\
\t ffffffffffffffff [unknown]\n\
\n";

    #[test]
    fn stack_counts_for_its_innermost_frame_that_is_claimed() {
        let samples = Samples::read(SCRIPT);
        assert_eq!(samples.count, 4);
        let shares = samples.shares();
        let share = |of: &str| shares.iter().find(|(name, _)| name.starts_with(of)).unwrap().1;
        for stage in ["core", "sockets", "log", "the rest"] {
            assert_eq!(share(stage), 0.25, "{stage}: {shares:?}");
        }
        assert_eq!(shares.iter().map(|(_, share)| share).sum::<f64>(), 1.0);
    }
}
