//! For cargo-fuzz: a finished stream, and what forecasters make of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("course", bytes));
