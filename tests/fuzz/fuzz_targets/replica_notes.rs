//! For cargo-fuzz: what a node has on disk of a group's replicas.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("replica_notes", bytes));
