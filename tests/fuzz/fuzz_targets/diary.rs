//! For cargo-fuzz: what a node wrote down of what it applied.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("diary", bytes));
