//! For cargo-fuzz: a file of a cluster's keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("keys_file", bytes));
