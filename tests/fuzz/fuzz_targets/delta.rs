//! For cargo-fuzz: a delta, read and applied.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("delta", bytes));
