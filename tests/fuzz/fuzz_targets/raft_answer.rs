//! For cargo-fuzz: what a peer answers to Raft.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("raft_answer", bytes));
