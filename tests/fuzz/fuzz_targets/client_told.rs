//! For cargo-fuzz: what a node tells of its cluster, of conflicts, of what it foresees.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("client_told", bytes));
