//! Twins: a seed that is run again in processes of its own must report the same bytes.
//!
//! Within one process a run could lean on what its runs share by chance: the order of a hash map,
//! an address, what an earlier run left behind. Two fresh processes share none of it.

use crate::report;
use anyhow::{Context, bail};
use std::{
    env,
    process::{Child, Command, Stdio},
};
use vatic_verification::{Check, Options, Run, Violation, arguments};

/// Where the twins of a run differ from it.
pub(crate) fn difference(run: &Run, options: &Options) -> anyhow::Result<Option<Violation>> {
    let twins = [start(run, options)?, start(run, options)?];
    let own = format!("{}\n", report::line(run));
    for twin in twins {
        let twin = twin.wait_with_output()?;
        if twin.stdout.is_empty() {
            bail!("seed {} alone: {}", run.seed, String::from_utf8_lossy(&twin.stderr));
        }
        if let Some(detail) = first_difference(own.as_bytes(), &twin.stdout) {
            return Ok(Some(Violation { check: Check::Repeats, detail }));
        }
    }
    Ok(None)
}

fn start(run: &Run, options: &Options) -> anyhow::Result<Child> {
    let own = env::current_exe().context("this program's own file")?;
    let mut command = Command::new(own);
    command.arg("once").args(arguments(run.seed, options));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("starting a twin")
}

/// Most bytes of either report that are shown.
const SHOWN_BYTES: usize = 60;

fn first_difference(one: &[u8], other: &[u8]) -> Option<String> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let shown = |bytes: &[u8]| {
        let end = bytes.len().min(same + SHOWN_BYTES);
        String::from_utf8_lossy(&bytes[same..end]).trim_end().to_owned()
    };
    let (here, there) = (shown(one), shown(other));
    let told = || format!("byte {same} of the report is {here:?}, in another process {there:?}");
    (one != other).then(told)
}
