//! For cargo-fuzz: what peers send to Raft, and what Raft keeps.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("raft_message", bytes));
