//! The binary `vatic`: server, client and demo in one.

use std::process::ExitCode;

/// A node allocates for every command in several layers and on every replica; with glibc's
/// allocator that is a quarter of its CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vatic::run()
}
