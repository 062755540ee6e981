//! For cargo-fuzz: a client's transition.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("client_transition", bytes));
