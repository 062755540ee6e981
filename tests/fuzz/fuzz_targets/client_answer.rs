//! For cargo-fuzz: a node's answer to a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("client_answer", bytes));
