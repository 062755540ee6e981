//! For cargo-fuzz: one segment of the log, opened.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("log_segment", bytes));
