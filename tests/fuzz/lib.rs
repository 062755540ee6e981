//! Fuzz targets of every decoder: what comes from a disk, from a peer, from a client, from a file.
//!
//! A target takes bytes, must not panic, and says whether it took them for something; where it did,
//! it checks that writing and reading again gives the same. The very functions run three ways:
//! under cargo-fuzz (`fuzz_targets/`, nightly), replayed on the committed corpus, and on mutants of
//! it with a fixed seed (`replay.rs`, stable, in CI).
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --features libfuzzer TARGET
//! cargo test -p vatic-fuzz             # VATIC_FUZZ_TRIES=N for more mutants
//! cargo run -p vatic-fuzz --bin corpus # the samples that the corpus begins with
//! ```

mod mutate;
mod sample;
mod targets;

pub use mutate::Mutator;
pub use targets::{Target, run, targets};
