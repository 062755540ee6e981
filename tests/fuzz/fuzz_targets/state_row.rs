//! For cargo-fuzz: a row of a group's state.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("state_row", bytes));
