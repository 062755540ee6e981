//! For cargo-fuzz: one frame of the log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("log_frame", bytes));
