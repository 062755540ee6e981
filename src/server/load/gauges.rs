//! What the machine has left, from `/proc`: all of the machine, since whatever else runs on it
//! takes of the same.
//!
//! Where the system does not tell, nothing is used: the waits still tell of an overload.

use std::fs;
use vatic_core::{conflict::fixed::MILLION, load::Gauges};

/// Share of segments sent again at which a network takes no more: TCP halves its window long
/// before.
const RESENT_FULL_PPM: u64 = 50_000;

/// Remembers the last look: most of these are counters.
#[derive(Default)]
pub(super) struct Machine {
    cpu: Used,
    network: Used,
    gauges: Gauges,
}

/// Two counters: of what there was, so much was used.
#[derive(Clone, Copy, Default)]
struct Used {
    used: u64,
    all: u64,
}

impl Machine {
    /// Looks, and notes what the gateway keeps in memory.
    pub(super) fn look(&mut self, gateway_bytes: u64, gateway_bytes_max: u64) {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpu_ppm = cpu(&read("/proc/stat")).map_or(0, |now| self.cpu.grown_to(now));
        let resent = segments(&read("/proc/net/snmp"));
        let resent_ppm = resent.map_or(0, |now| self.network.grown_to(now));
        let network_ppm = u64::from(resent_ppm) * u64::from(MILLION) / RESENT_FULL_PPM;
        let machine = memory(&read("/proc/meminfo")).map_or(0, share_ppm);
        let gateway = share_ppm(Used { used: gateway_bytes, all: gateway_bytes_max });
        self.gauges = Gauges {
            cpu_ppm,
            memory_ppm: machine.max(gateway),
            network_ppm: network_ppm.min(MILLION.into()) as u32,
        };
    }

    /// As of the last look.
    pub(super) fn gauges(&self) -> Gauges {
        self.gauges
    }
}

impl Used {
    /// The share of what has come since the last time; 0 at the first.
    fn grown_to(&mut self, now: Used) -> u32 {
        let before = std::mem::replace(self, now);
        if before.all == 0 {
            return 0;
        }
        let used = now.used.saturating_sub(before.used);
        share_ppm(Used { used, all: now.all.saturating_sub(before.all) })
    }
}

fn share_ppm(Used { used, all }: Used) -> u32 {
    let ppm = u128::from(used) * u128::from(MILLION) / u128::from(all.max(1));
    ppm.min(MILLION.into()) as u32
}

/// Ticks of all CPUs: `user nice system idle iowait irq softirq steal`.
fn cpu(stat: &str) -> Option<Used> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Option<Vec<u64>> =
        line.split_whitespace().take(8).map(|ticks| ticks.parse().ok()).collect();
    let ticks = ticks.filter(|ticks| ticks.len() == 8)?;
    let all: u64 = ticks.iter().sum();
    Some(Used { used: all - ticks[3] - ticks[4], all })
}

/// Segments that TCP sent, and those of them that it sent again.
fn segments(snmp: &str) -> Option<Used> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let of = |name| {
        let at = names.split_whitespace().position(|found| found == name)?;
        values.split_whitespace().nth(at)?.parse::<u64>().ok()
    };
    Some(Used { used: of("RetransSegs")?, all: of("OutSegs")? })
}

fn memory(meminfo: &str) -> Option<Used> {
    let of = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let all = of("MemTotal:")?;
    Some(Used { used: all.saturating_sub(of("MemAvailable:")?), all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_proc_are_read_and_nonsense_is_nothing() {
        let now = cpu("cpu  10 0 20 60 5 0 5 0 0 0\ncpu0 1 2\n").unwrap();
        assert_eq!((now.used, now.all), (35, 100));
        let snmp = "Ip: A\nIp: 1\nTcp: InSegs OutSegs RetransSegs\nTcp: 1 200 3\n";
        let now = segments(snmp).unwrap();
        assert_eq!((now.used, now.all), (3, 200));
        let now = memory("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:  40 kB\n").unwrap();
        assert_eq!(share_ppm(now), 600_000);
        assert!(cpu("cpu 1 2").is_none() && segments("Tcp: x\n").is_none());
        assert!(memory("MemTotal: many kB").is_none());
    }

    #[test]
    fn shares_are_of_what_came_since_the_last_look() {
        let mut counter = Used::default();
        assert_eq!(counter.grown_to(Used { used: 900, all: 1_000 }), 0);
        assert_eq!(counter.grown_to(Used { used: 925, all: 1_100 }), 250_000);
        assert_eq!(counter.grown_to(Used { used: 925, all: 1_100 }), 0);
    }

    #[test]
    fn this_machine_tells() {
        let mut machine = Machine::default();
        machine.look(1, 2);
        assert!(machine.gauges().memory_ppm >= 500_000, "the gateway's half is the least");
    }
}
