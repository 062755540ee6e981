//! For cargo-fuzz: what replicas say to each other outside of Raft.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("introduction", bytes));
