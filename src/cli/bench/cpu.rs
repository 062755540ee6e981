//! CPU time of processes, from `/proc`: our own, and the servers', where they are on this machine.
//!
//! A server is found by the socket on which it listens for clients: `/proc/net/tcp` names the
//! socket, and one process holds it open.
//!
//! `vatic-bench` compiles this file too, for the processes that it starts.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// `utime` and `stime` count in these; it is 100 on every Linux that glibc knows.
const TICKS_PER_SECOND: u64 = 100;

/// Processes whose CPU time is added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes(BTreeSet<u32>);

impl FromIterator<u32> for Processes {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Processes {
        Processes(numbers.into_iter().collect())
    }
}

impl Processes {
    pub(crate) fn own() -> Processes {
        Processes(BTreeSet::from([std::process::id()]))
    }

    /// Those that listen at the endpoints; `None` unless all of them are found here.
    pub(crate) fn listening(endpoints: &[String]) -> Option<Processes> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let table: String =
            tables.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        let mut found = BTreeSet::new();
        for endpoint in endpoints {
            let sockets = listeners(&table, local_port(endpoint)?);
            found.insert(holder_of(&sockets)?);
        }
        (!found.is_empty()).then_some(Processes(found))
    }

    /// User and system time of all of them since they started; `None` once one has ended.
    pub(crate) fn time(&self) -> Option<Duration> {
        let ticks: Option<u64> = self.0.iter().map(|process| ticks(*process)).sum();
        Some(Duration::from_millis(ticks? * 1_000 / TICKS_PER_SECOND))
    }
}

/// The port of an endpoint on the loopback.
fn local_port(endpoint: &str) -> Option<u16> {
    let address = endpoint.split_once("://")?.1.trim_end_matches('/');
    let (host, port) = address.rsplit_once(':')?;
    let local = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    port.parse().ok().filter(|_| local)
}

/// The inodes of the sockets that listen on a port.
fn listeners(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let wanted = format!("{port:04X}");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| {
        let at = row.get(1).and_then(|local| local.rsplit_once(':'));
        row.get(3) == Some(&LISTEN) && at.is_some_and(|(_, port)| port == wanted)
    });
    listening.filter_map(|row| row.get(9).map(|inode| (*inode).to_owned())).collect()
}

fn holder_of(sockets: &[String]) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.find(|process: &u32| holds(*process, sockets))
}

fn holds(process: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| sockets.iter().any(|socket| socket == inode))
    })
}

fn ticks(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows does not.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(field(11)? + field(12)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn listener_of_this_process_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let found = Processes::listening(&[endpoint]).unwrap();
        assert_eq!(found.0, BTreeSet::from([std::process::id()]));
    }

    #[test]
    fn endpoint_elsewhere_or_without_listener_is_not() {
        assert!(Processes::listening(&["http://192.0.2.1:7400".to_owned()]).is_none());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert!(Processes::listening(&[endpoint]).is_none());
    }

    #[test]
    fn time_of_a_busy_process_grows() {
        let own = Processes::own();
        let before = own.time().unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while own.time().unwrap() <= before {
            assert!(std::time::Instant::now() < end, "no CPU time was counted");
        }
    }
}
