//! For cargo-fuzz: a client's keys, ranges and requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("client_names", bytes));
