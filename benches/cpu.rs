//! CPU time of other processes of this machine, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// `utime` and `stime` count in these; it is 100 on every Linux that glibc knows.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all of them since they were started.
pub(crate) fn taken(processes: &[u32]) -> anyhow::Result<Duration> {
    processes.iter().map(|process| Ok(TICK * ticks(*process)?)).sum()
}

fn ticks(process: u32) -> anyhow::Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    let stat = stat.with_context(|| format!("process {process} has ended"))?;
    // The name in parentheses may hold anything; what follows does not.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse().ok());
    let both = next().zip(next()).map(|(user, system): (u32, u32)| user + system);
    both.with_context(|| format!("not what /proc tells of a process: {stat}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn time_of_a_busy_child_grows() {
        let mut child = Command::new("sha256sum")
            .arg("/dev/zero")
            .stdout(Stdio::null())
            .spawn()
            .expect("coreutils are there");
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while taken(&[child.id()]).unwrap().is_zero() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let took = taken(&[child.id()]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(took.unwrap() > Duration::ZERO, "no CPU time was counted");
        assert!(taken(&[child.id()]).is_err(), "it has ended");
    }
}
