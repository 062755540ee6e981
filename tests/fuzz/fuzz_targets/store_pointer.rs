//! For cargo-fuzz: a replica's record in the store.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("store_pointer", bytes));
