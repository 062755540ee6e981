//! For cargo-fuzz: keys and transaction ids.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("key", bytes));
