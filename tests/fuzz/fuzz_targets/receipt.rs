//! For cargo-fuzz: a receipt.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("receipt", bytes));
