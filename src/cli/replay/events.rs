//! Streams of steps: each is forecast from its prefix, and its end held against the forecast.

use std::path::Path;

use crate::args::Output;

pub(crate) fn run(file: &Path, output: Output) -> anyhow::Result<()> {
    unimplemented!("{file:?} {output:?}")
}
