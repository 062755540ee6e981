//! For cargo-fuzz: a node's configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("config_file", bytes));
