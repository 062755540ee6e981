//! The binary `vatic`: server, client and demo in one.

use std::process::ExitCode;

fn main() -> ExitCode {
    vatic::run()
}
