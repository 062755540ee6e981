//! For cargo-fuzz: a transaction script.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("script", bytes));
