//! For cargo-fuzz: a receipt file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("receipt_file", bytes));
