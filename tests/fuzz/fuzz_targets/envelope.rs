//! For cargo-fuzz: the envelopes of a peer's messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("envelope", bytes));
