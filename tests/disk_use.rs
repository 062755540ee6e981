//! What a node takes of its disk over a run, and whether that stays bounded.
//!
//! Bounded means: no measure is above its own peak of the second quarter of the run by more than a
//! quarter and a slack. What is still warming up in the first quarter does not count, and what the
//! run leaves behind for good shows as a peak that moves with it. The slack is what may come on top
//! at any time: the log goes up and down by whole segments, and keeps what the state's flush and
//! the slowest replica have not taken yet, on a machine whose disk and processors others use too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::scrape::Scrape;

const LOG_SLACK_BYTES: u64 = 16 << 20;
const STATE_SLACK_BYTES: u64 = 1 << 20;

/// What is measured of a node, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// The log's segments, spares included.
    Log,
    /// LMDB's file, with the snapshots beside it.
    State,
    /// Pages of LMDB with data, which its file may hide.
    Pages,
}

impl Measure {
    fn slack_bytes(self) -> u64 {
        match self {
            Measure::Log => LOG_SLACK_BYTES,
            Measure::State | Measure::Pages => STATE_SLACK_BYTES,
        }
    }
}

/// One look at all nodes.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Of the run, from 0 to 1.
    pub progress: f64,
    /// By node from 0.
    pub bytes: BTreeMap<(usize, Measure), u64>,
}

impl Sample {
    /// Adds what a node takes. `metrics` is what it says itself.
    pub fn look(&mut self, node: usize, dir: &Path, metrics: &Scrape) {
        self.bytes.insert((node, Measure::Log), bytes_below(&dir.join("log")));
        self.bytes.insert((node, Measure::State), bytes_below(&dir.join("state")));
        let pages = metrics.is("vatic_store_map_used_bytes") as u64;
        self.bytes.insert((node, Measure::Pages), pages);
    }
}

/// The first measure that went on growing, as a sentence.
pub fn growth(samples: &[Sample]) -> Option<String> {
    let measures = samples.first()?.bytes.keys();
    measures.copied().find_map(|of| {
        let early = peak(samples, of, 0.25, 0.5)?;
        let late = peak(samples, of, 0.75, 1.0)?;
        let (node, measure) = (of.0 + 1, of.1);
        let bound = early + early / 4 + measure.slack_bytes();
        (late > bound).then(|| {
            format!(
                "node {node}: {measure:?} took {early} bytes at most in the second quarter and \
                 {late} in the last: bounded would be {bound}"
            )
        })
    })
}

/// The most that any node took, by measure, within a part of the run.
pub fn peaks(samples: &[Sample], from: f64, to: f64) -> BTreeMap<Measure, u64> {
    let mut peaks = BTreeMap::new();
    let Some(first) = samples.first() else { return peaks };
    for &of in first.bytes.keys() {
        let most = peaks.entry(of.1).or_default();
        *most = peak(samples, of, from, to).unwrap_or(0).max(*most);
    }
    peaks
}

fn peak(samples: &[Sample], of: (usize, Measure), from: f64, to: f64) -> Option<u64> {
    let within = samples.iter().filter(|sample| (from..=to).contains(&sample.progress));
    within.filter_map(|sample| sample.bytes.get(&of).copied()).max()
}

/// Bytes that all files below a directory take. One that vanishes meanwhile takes none.
pub fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => allocated(&found),
        Err(_) => 0,
    });
    sizes.sum()
}

/// What a file takes, not how long it says it is: LMDB's may have holes.
fn allocated(file: &fs::Metadata) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    file.blocks() * BLOCK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bytes: impl Fn(f64) -> u64) -> Vec<Sample> {
        let progress = (0..=40).map(|step| f64::from(step) / 40.0);
        progress
            .map(|progress| {
                let bytes = BTreeMap::from([((0, Measure::Pages), bytes(progress))]);
                Sample { progress, bytes }
            })
            .collect()
    }

    #[test]
    fn use_that_grows_with_the_operations_is_caught() {
        let grown = growth(&run(|progress| (progress * 20e6) as u64)).unwrap();
        assert!(grown.contains("node 1: Pages"), "{grown}");
    }

    #[test]
    fn use_that_warms_up_and_then_goes_up_and_down_is_not() {
        let saw = |progress: f64| 30_000_000 + ((progress * 40.0) as u64 % 7) * 1_000_000;
        let warming = |progress: f64| (progress * 4.0).min(1.0);
        assert_eq!(growth(&run(|at| (warming(at) * saw(at) as f64) as u64)), None);
        assert_eq!(growth(&[]), None);
    }

    #[test]
    fn files_count_in_all_folders() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        fs::write(dir.path().join("inner/a"), vec![7; 10_000]).unwrap();
        fs::write(dir.path().join("b"), vec![7; 10_000]).unwrap();
        assert!((20_000..100_000).contains(&bytes_below(dir.path())));
    }
}
