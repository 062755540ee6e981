//! For cargo-fuzz: a record of a queue, and a ticket's name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vatic_fuzz::run("ticket", bytes));
