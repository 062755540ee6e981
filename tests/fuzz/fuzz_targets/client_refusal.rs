//! For cargo-fuzz: the details of a status that a call ended with.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("client_refusal", bytes));
