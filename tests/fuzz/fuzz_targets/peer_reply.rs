//! For cargo-fuzz: a peer's answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("peer_reply", bytes));
