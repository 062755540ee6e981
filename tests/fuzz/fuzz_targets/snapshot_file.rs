//! For cargo-fuzz: a snapshot file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("snapshot_file", bytes));
