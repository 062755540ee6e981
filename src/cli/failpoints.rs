//! The binary `vatic-failpoints`: `vatic` with places where a test can stop or delay it.
//!
//! Why a binary of its own: what is built for tests must not be taken for what users run, and the
//! program proper reads none of this. Built with the feature `failpoints` alone, as the tests are;
//! without it nothing of the points is left in the crates.
//!
//! `FAILPOINTS` holds `POINT=ACTION`, several with `;` between, and is armed before anything runs.
//! `FAILPOINTS_FILE` names a file of the same form, for a process that runs already: whenever it is
//! there it is armed, then removed, which tells whoever wrote it. An action is `abort` (the process
//! dies as by SIGKILL), `N*off->abort` (at the time after N), or what the crate `fail` knows, such
//! as `1*sleep(500)`, `pause`, `off`.
//!
//! Names are CRATE::MOMENT: a bare verb is before it, a participle after it. A name that is not in
//! the table is refused, so that no test arms what nobody reaches. Some points are reached by one
//! group at a time: `POINT@GROUP` is armed for that group alone.
//!
//! Some points break the node instead of stopping it, when armed with `return`: what checks nodes
//! must find out, or the node itself.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// As in `vatic`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Between two looks at the file.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Every failpoint, and where a process is that stops there.
const POINTS: &[(&str, &str)] = &[
    ("log::disk_free", "broken with `return`: the log's disk has no room for a segment"),
    ("log::sync", "a batch is written, not fsynced"),
    ("log::synced", "the batch is fsynced, nobody is told"),
    ("store::disk_free", "broken with `return`: the state's disk is full"),
    ("store::flush_room", "broken with `return`: a flush finds no room on a disk that has some"),
    ("store::create_commit", "LMDB has a new replica, not committed"),
    ("store::create_committed", "and committed"),
    ("store::remove_commit", "a replica is removed, not committed"),
    ("store::remove_committed", "and committed"),
    ("store::flush_commit", "the overlays are in LMDB, not committed"),
    ("store::flush_committed", "they are committed, readers still have the overlays"),
    ("store::begin_commit", "an install has its incarnation, not committed"),
    ("store::begin_committed", "and committed, it is empty"),
    ("store::fill_commit", "a part of the snapshot is written, not committed"),
    ("store::fill_committed", "and committed; the old state still stands"),
    ("store::flip_commit", "the new state is in the old one's place, not committed"),
    ("store::flip_committed", "and committed, readers still have the old one"),
    ("store::sweep_commit", "a part of an old state is deleted, not committed"),
    ("store::sweep_committed", "and committed"),
    ("store::snapshot_rename", "a snapshot is written and fsynced under a temporary name"),
    ("consensus::propose", "a batch of commands is closed, Raft does not have it"),
    ("consensus::append", "entries are about to go into the log"),
    ("consensus::append_durable", "they are durable here, Raft is not told"),
    ("consensus::apply", "an entry is committed and about to be applied"),
    ("consensus::apply_published", "it is applied, whoever proposed it is not told"),
    ("consensus::snapshot_write", "the file of a snapshot to be sent is about to be written"),
    ("consensus::snapshot_build", "a snapshot is due"),
    ("consensus::snapshot_install", "a received snapshot is whole, nothing of it installed"),
    ("consensus::snapshot_installed", "it is installed, Raft is not told"),
    ("consensus::change", "before a step of a change of membership"),
    ("consensus::rejoin", "a replica begins a new generation"),
    ("consensus::rejoin_noted", "the generation is on disk, the replica is not made"),
    ("consensus::retire", "before an old generation is deleted"),
    ("server::again", "broken with `return`: a seal that comes again begins another transaction"),
    ("server::scan_view", "broken with `return`: a scan keeps a view until its client has gone"),
    ("server::claim", "broken with `return`: the gateway forgets the request id of a Submit"),
    ("server::seal", "gateway: a transaction is sealed, nobody has the seal"),
    ("server::seal_sent", "gateway: the seal is on its way to another node"),
    ("server::sealed", "gateway: the outcome is here, the client is not told"),
    ("server::tolerance", "broken with `return`: a gateway does not hear what groups tolerate"),
    ("server::leave_full_disk", "broken with `return`: leadership stays on a full disk"),
    ("server::vote", "driver: before a vote is proposed, each group's for itself"),
    ("server::voted", "driver: all have voted Yes, nobody is told"),
    ("server::decide", "driver: before a commit is proposed, each group's for itself"),
    ("server::apply", "replica: before an entry's commands are applied"),
    ("server::applied", "replica: they are applied, not published"),
];

/// Those that can be armed for one group.
const OF_GROUPS: [&str; 4] = ["log::sync", "log::synced", "server::apply", "server::applied"];

fn main() -> ExitCode {
    let armed = std::env::var("FAILPOINTS").map_or(Ok(()), |said| arm(&said));
    let watched = armed.and_then(|()| std::env::var_os("FAILPOINTS_FILE").map_or(Ok(()), watch));
    if let Err(error) = watched {
        eprintln!("failpoints: {error}");
        return ExitCode::from(2);
    }
    vatic::run()
}

/// Arms what the file says now, and from a thread whenever it is there again.
fn watch(file: impl Into<PathBuf>) -> Result<(), String> {
    let file = file.into();
    take(&file)?;
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK_AGAIN);
            if let Err(error) = take(&file) {
                eprintln!("failpoints: {error}");
                std::process::exit(2);
            }
        }
    });
    Ok(())
}

fn take(file: &PathBuf) -> Result<(), String> {
    let Ok(said) = fs::read_to_string(file) else { return Ok(()) };
    arm(&said)?;
    fs::remove_file(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn arm(said: &str) -> Result<(), String> {
    let mut settings = said.split(';').map(str::trim).filter(|setting| !setting.is_empty());
    settings.try_for_each(arm_one)
}

fn is_known(point: &str) -> bool {
    match point.split_once('@') {
        Some((point, group)) => OF_GROUPS.contains(&point) && group.parse::<u32>().is_ok(),
        None => POINTS.iter().any(|(known, _)| *known == point),
    }
}

fn arm_one(setting: &str) -> Result<(), String> {
    let (point, action) = setting.split_once('=').ok_or(format!("{setting:?} sets nothing"))?;
    if !is_known(point) {
        let known: Vec<String> = POINTS.iter().map(|(name, at)| format!("{name}: {at}")).collect();
        return Err(format!("no point {point:?}; there are\n{}", known.join("\n")));
    }
    let passes = match action.strip_suffix("abort") {
        None => return fail::cfg(point, action),
        Some("") => 0,
        Some(before) => {
            let passes = before.strip_suffix("*off->").and_then(|passes| passes.parse().ok());
            passes.ok_or(format!("{action:?} is neither `abort` nor `N*off->abort`"))?
        }
    };
    let hits = AtomicU64::new(0);
    fail::cfg_callback(point, move || {
        if hits.fetch_add(1, Ordering::SeqCst) == passes {
            std::process::abort();
        }
    })
}
