//! For cargo-fuzz: a sealed body and its parts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("body", bytes));
