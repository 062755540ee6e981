//! What is looked up when somebody scrapes, and costs nothing before.

use super::metrics::register;
use crate::{cluster::Cluster, load::Ingress};
use prometheus::{Counter, Gauge, IntGauge, IntGaugeVec, Opts, Registry};
use std::sync::Mutex;
use vatic_consensus::GroupHandle;
use vatic_core::{conflict::fixed::MILLION, group::Group, id::GroupId, rules::Rules};

/// Clock ticks a second in `/proc/self/stat`: the kernel's fixed unit for user space.
const TICKS_PER_S: f64 = 100.0;

pub(crate) struct Gauges {
    streams: IntGauge,
    operations: IntGauge,
    drivers: IntGauge,
    gateway_bytes: IntGauge,
    reads_held_bytes: IntGauge,
    ready: IntGauge,
    has_room: IntGauge,
    log_full: IntGauge,
    groups: GroupGauges,
    store: StoreGauges,
    load: LoadGauges,
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    /// One scrape at a time: each sets what all show.
    turn: Mutex<()>,
}

struct GroupGauges {
    applied: IntGaugeVec,
    committed: IntGaugeVec,
    last: IntGaugeVec,
    flushed: IntGaugeVec,
    purged: IntGaugeVec,
    set_aside: IntGaugeVec,
    term: IntGaugeVec,
    is_leader: IntGaugeVec,
    undecided: IntGaugeVec,
    held_bytes: IntGaugeVec,
    promised_bytes: IntGaugeVec,
}

struct StoreGauges {
    overlay_bytes: IntGauge,
    map_used_bytes: IntGauge,
    disk_free_bytes: IntGauge,
}

struct LoadGauges {
    load: Gauge,
    share: Gauge,
    places: IntGauge,
    running: IntGauge,
    waiting: IntGauge,
}

impl Gauges {
    pub(super) fn new(registry: &Registry, node: u32) -> Gauges {
        let gauge = |name, what| gauge(registry, name, what);
        info(registry, node);
        let cpu = "CPU time of the process, user and system, in seconds.";
        let cpu_seconds = Counter::new("process_cpu_seconds_total", cpu).expect("a sound name");
        register(registry, &cpu_seconds);
        Gauges {
            streams: gauge("vatic_streams", "Open Transact streams."),
            operations: gauge("vatic_operations", "Submits and pipeline operations in flight."),
            drivers: gauge("vatic_drivers", "Sealed transactions that are driven here."),
            gateway_bytes: gauge("vatic_gateway_bytes", "Deltas of running transactions here."),
            reads_held_bytes: gauge("vatic_reads_held_bytes", "Reads on their way to clients."),
            ready: gauge("vatic_ready", "1 where the node is ready."),
            has_room: gauge("vatic_has_room", "0 where new work is refused for want of room."),
            log_full: gauge("vatic_log_full", "1 where the log's disk is full."),
            groups: GroupGauges::new(registry),
            store: StoreGauges {
                overlay_bytes: gauge("vatic_store_overlay_bytes", "Memory of all overlays."),
                map_used_bytes: gauge("vatic_store_map_used_bytes", "Pages of LMDB with data."),
                disk_free_bytes: gauge("vatic_store_disk_free_bytes", "Room left on the disk."),
            },
            load: LoadGauges::new(registry),
            cpu_seconds,
            resident_bytes: gauge("process_resident_memory_bytes", "Resident memory."),
            turn: Mutex::default(),
        }
    }

    /// Looks everything up, and gathers what is to be shown. It reads the groups' state: not for a
    /// thread that serves.
    pub(super) fn gather(&self, cluster: &Cluster) -> Vec<prometheus::proto::MetricFamily> {
        let _turn = self.turn.lock().expect("no holder panics");
        self.look_up(cluster);
        cluster.metrics.registry.gather()
    }

    fn look_up(&self, cluster: &Cluster) {
        set(&self.streams, cluster.streams.inside());
        set(&self.operations, cluster.operations.inside());
        set(&self.drivers, cluster.driving.len() as u64);
        set(&self.gateway_bytes, cluster.gateway_bytes.inside());
        set(&self.reads_held_bytes, cluster.reads_held.inside());
        self.load.look_up(&cluster.ingress);
        set(&self.ready, cluster.readiness.lack(cluster).is_none().into());
        set(&self.has_room, cluster.shortage().is_none().into());
        set(&self.log_full, cluster.consensus.log_is_full().into());
        let usage = cluster.store.usage();
        set(&self.store.overlay_bytes, usage.overlay_bytes as u64);
        set(&self.store.map_used_bytes, usage.map_used_bytes);
        set(&self.store.disk_free_bytes, usage.disk_free_bytes);
        for (&group, handle) in &cluster.groups {
            self.groups.look_up(group, handle);
            let aside = cluster.set_aside.contains(group);
            set(&self.groups.set_aside.with_label_values(&[&group.0.to_string()]), aside.into());
        }
        let (cpu_seconds, resident_bytes) = process();
        self.cpu_seconds.reset();
        self.cpu_seconds.inc_by(cpu_seconds);
        set(&self.resident_bytes, resident_bytes);
    }
}

impl LoadGauges {
    fn new(registry: &Registry) -> LoadGauges {
        let ratio = |name, what| {
            let gauge = Gauge::new(name, what).expect("the name is sound");
            register(registry, &gauge);
            gauge
        };
        let gauge = |name, what| gauge(registry, name, what);
        LoadGauges {
            load: ratio("vatic_load", "Of CPU, memory, network, waiting the worst: 0 to 1."),
            share: ratio("vatic_load_admitted_share", "Which part of those who come is let in."),
            places: gauge("vatic_load_places", "Transactions that may run here at once."),
            running: gauge("vatic_load_running", "Transactions that run here."),
            waiting: gauge("vatic_load_waiting", "Transactions that wait to run here."),
        }
    }

    fn look_up(&self, ingress: &Ingress) {
        let told = ingress.told();
        let ratio = |ppm: u32| f64::from(ppm) / f64::from(MILLION);
        self.load.set(ratio(told.load_ppm));
        self.share.set(ratio(told.share_ppm));
        set(&self.places, told.places.into());
        set(&self.running, told.inside.into());
        set(&self.waiting, told.waiting as u64);
    }
}

impl GroupGauges {
    fn new(registry: &Registry) -> GroupGauges {
        let gauge = |name: &str, what: &str| {
            let all = IntGaugeVec::new(Opts::new(name, what), &["group"]);
            let all = all.expect("the name is sound");
            register(registry, &all);
            all
        };
        GroupGauges {
            applied: gauge("vatic_group_applied_index", "Last log entry applied here."),
            committed: gauge("vatic_group_committed_index", "Last entry known to be committed."),
            last: gauge("vatic_group_last_index", "Last log entry that is here."),
            flushed: gauge("vatic_group_flushed_index", "Last log entry that LMDB has."),
            purged: gauge("vatic_group_purged_index", "Last log entry that is gone from here."),
            set_aside: gauge("vatic_group_set_aside", "1 where this replica differs or rotted."),
            term: gauge("vatic_group_term", "Raft's term."),
            is_leader: gauge("vatic_group_is_leader", "1 where this replica leads."),
            undecided: gauge("vatic_group_undecided", "Yes votes without a decision."),
            held_bytes: gauge("vatic_group_held_bytes", "Bytes of records, as quota counts them."),
            promised_bytes: gauge(
                "vatic_group_promised_bytes",
                "Bytes of quota promised to undecided Yes votes.",
            ),
        }
    }

    fn look_up(&self, group: GroupId, handle: &GroupHandle) {
        let name = group.0.to_string();
        let set = |all: &IntGaugeVec, value: u64| set(&all.with_label_values(&[&name]), value);
        let (status, view) = (handle.status(), handle.view());
        set(&self.applied, view.mark().map_or(0, |mark| mark.index));
        set(&self.committed, status.committed.unwrap_or(0));
        set(&self.last, status.last.unwrap_or(0));
        set(&self.flushed, status.flushed.unwrap_or(0));
        set(&self.purged, status.purged.unwrap_or(0));
        set(&self.term, status.leadership.term);
        set(&self.is_leader, status.leadership.local.into());
        let group = Group::of_view(group, &view, Rules::default());
        set(&self.undecided, group.undecided(&view).len() as u64);
        set(&self.held_bytes, group.quota().held);
        set(&self.promised_bytes, group.quota().promised);
    }
}

fn gauge(registry: &Registry, name: &str, what: &str) -> IntGauge {
    let gauge = IntGauge::new(name, what).expect("the name is sound");
    register(registry, &gauge);
    gauge
}

fn info(registry: &Registry, node: u32) {
    let options = Opts::new("vatic_info", "Always 1; what runs here is in the labels.")
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("node", node.to_string());
    let info = IntGauge::with_opts(options).expect("the name is sound");
    info.set(1);
    register(registry, &info);
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// CPU seconds and resident bytes of this process; zeros where the system does not tell.
fn process() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (cpu_seconds(&stat).unwrap_or(0.0), resident_bytes(&status).unwrap_or(0))
}

/// `utime` and `stime`, the 14th and 15th fields. The second is the program's name in brackets,
/// which may hold blanks.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS_PER_S)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_memory_are_read_from_proc_and_nonsense_is_nothing() {
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("7 (cut off"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    12 kB\n"), Some(12 * 1024));
        assert_eq!(resident_bytes("VmRSS: many kB"), None);
        let (_, resident) = process();
        assert!(resident > 0, "this process has memory");
    }
}
