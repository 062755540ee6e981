//! Processes that die: this test binary starts itself, kills the child or lets it abort at a
//! failpoint, and looks at what is left.
//!
//! State at index `n` is a function of `n`, so that mark and state can be compared after any
//! crash. A killed process keeps what the kernel has; power cuts are LMDB's promise, not tested.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vatic_core::state::State;

use crate::fixture::{Entries, entries, eventually, manual, mark, open, temp_dir, unfenced};
use crate::{Limits, Replica, Store};

const KEYS: u64 = 40;

/// What index `n` does to the state.
fn write(state: &mut dyn FnMut(String, Option<String>), index: u64) {
    for part in 0..3 {
        let key = format!("key {:02}", (index * 7 + part * 11) % KEYS);
        let value =
            (!(index + part).is_multiple_of(4)).then(|| format!("{index} {}", "x".repeat(50)));
        state(key, value);
    }
}

fn state_at(index: u64) -> Entries {
    let mut map = BTreeMap::new();
    for index in 1..=index {
        write(
            &mut |key, value| match value {
                Some(value) => drop(map.insert(key.into_bytes(), value.into_bytes())),
                None => drop(map.remove(key.as_bytes())),
            },
            index,
        );
    }
    map.into_iter().collect()
}

/// Applies up to `last`, from where the state is.
fn apply(replica: &Replica, last: u64, mut each: impl FnMut(u64)) {
    let mut writer = replica.writer();
    let first = replica.applied().map_or(1, |mark| mark.index + 1);
    for index in first..=last {
        write(
            &mut |key, value| match value {
                Some(value) => writer.put(key.into_bytes(), value.into_bytes()),
                None => writer.delete(key.as_bytes()),
            },
            index,
        );
        writer.publish(mark(index));
        each(index);
    }
}

/// Runs only in a child process, as the parent's environment says.
#[test]
#[ignore = "the child process of the other tests"]
fn child() {
    let Ok(role) = std::env::var("VATIC_STORE_TEST_ROLE") else { return };
    arm(&std::env::var("VATIC_STORE_TEST_DIES_AT").expect("the parent says where, or nowhere"));
    let dir = std::env::var("VATIC_STORE_TEST_DIR").expect("the parent names a directory");
    let dir = Path::new(&dir);
    match role.as_str() {
        "busy" => {
            let store = open(dir, Limits { flush_interval_ms: 1, ..Limits::simulation() });
            apply(&unfenced(&store), u64::MAX, |_| {});
        }
        "flush" => {
            let store = open(dir, manual());
            apply(&unfenced(&store), 100, |index| {
                if index % 10 == 0 {
                    store.flush_now();
                }
            });
        }
        "install" => {
            let store = open(dir, manual());
            let file = dir.join("incoming.snap");
            let installed = unfenced(&store).install(&file, mark(200));
            installed.expect("the parent made the file");
            // Give the sweep its time; a failpoint in it ends this.
            eventually("swept", || base_entries(&unfenced(&store)) == state_at(200).len() as u64);
        }
        "install forever" => loop {
            let store = open(dir, manual());
            let file = dir.join("incoming.snap");
            unfenced(&store).install(&file, mark(200)).expect("the parent made the file");
            unfenced(&store).install(&dir.join("old.snap"), mark(100)).expect("so it did this");
        },
        "snapshot" => {
            let store = open(dir, manual());
            apply(&unfenced(&store), 200, |_| {});
            unfenced(&store).snapshot().expect("there is a state");
        }
        role => panic!("no role {role}"),
    }
}

/// `POINT:N` aborts at the N-th time (from 1) that the failpoint is reached.
fn arm(dies_at: &str) {
    let Some((point, nth)) = dies_at.rsplit_once(':') else { return };
    let (nth, hits) = (nth.parse().expect("a count"), AtomicU64::new(0));
    let hit = move || {
        if hits.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            std::process::abort();
        }
    };
    fail::cfg_callback(point, hit).expect("a failpoint can be armed");
}

fn spawn(role: &str, dir: &Path, dies_at: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "crash_test::child", "--ignored", "--nocapture"]);
    command.env("VATIC_STORE_TEST_ROLE", role).env("VATIC_STORE_TEST_DIR", dir);
    command.env("VATIC_STORE_TEST_DIES_AT", dies_at);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().expect("this binary starts")
}

fn died(status: ExitStatus) -> bool {
    status.signal().is_some()
}

fn base_entries(replica: &Replica) -> u64 {
    replica.cell.pair().base.entries()
}

/// Opens what a crash left, compares state with mark, and waits for the sweep. The index.
fn check(dir: &Path) -> u64 {
    let store = open(dir, manual());
    let replica = unfenced(&store);
    let index = replica.applied().map_or(0, |mark| mark.index);
    assert_eq!(replica.applied(), (index > 0).then(|| mark(index)), "the mark's meta");
    assert_eq!(entries(&replica.view()), state_at(index), "the state at index {index}");
    let live = entries(&replica.view()).len() as u64;
    eventually("nothing left of other incarnations", || base_entries(&replica) == live);
    index
}

/// A store at index 100, with snapshots at 100 and 200 beside it.
fn prepare_install(dir: &Path) {
    let store = open(dir, manual());
    let replica = unfenced(&store);
    apply(&replica, 200, |_| {});
    std::fs::copy(replica.snapshot().unwrap().path, dir.join("incoming.snap")).unwrap();
    drop((replica, store));
    for name in ["data.mdb", "lock.mdb"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    let store: Store = open(dir, manual());
    let replica = unfenced(&store);
    apply(&replica, 100, |_| {});
    std::fs::copy(replica.snapshot().unwrap().path, dir.join("old.snap")).unwrap();
}

#[test]
fn process_killed_while_flushing_leaves_the_state_of_its_mark() {
    let dir = temp_dir();
    let mut last = 0;
    for round in 0..12 {
        let mut child = spawn("busy", dir.path(), "");
        std::thread::sleep(Duration::from_millis(30 + 17 * round));
        child.kill().unwrap();
        assert!(died(child.wait().unwrap()));
        let index = check(dir.path());
        assert!(index >= last, "went back from {last} to {index}");
        last = index;
    }
    assert!(last > 0, "no round got as far as a flush");
}

#[test]
fn process_that_dies_around_a_flush_commit_leaves_either_side_of_it() {
    for (point, expected) in [("store::flush_commit:4", 30), ("store::flush_committed:4", 40)] {
        let dir = temp_dir();
        let mut child = spawn("flush", dir.path(), point);
        assert!(died(child.wait().unwrap()), "{point} was not reached");
        assert_eq!(check(dir.path()), expected, "{point}");
    }
}

/// Every commit of an install and of the sweep after it, with the moment before and after each.
#[test]
fn process_that_dies_at_any_commit_of_an_install_leaves_the_old_or_the_new_state() {
    let mut deaths = 0;
    for (commit, before, after) in
        [("begin", 100, 100), ("fill", 100, 100), ("flip", 100, 200), ("sweep", 200, 200)]
    {
        for (side, expected) in [("commit", before), ("committed", after)] {
            for nth in 1.. {
                let point = format!("store::{commit}_{side}:{nth}");
                let dir = temp_dir();
                prepare_install(dir.path());
                if !died(spawn("install", dir.path(), &point).wait().unwrap()) {
                    assert!(nth > 1, "{point} was not reached");
                    break;
                }
                deaths += 1;
                assert_eq!(check(dir.path()), expected, "{point}");
                // And what it left can be installed over.
                let store = open(dir.path(), manual());
                unfenced(&store).install(&dir.path().join("incoming.snap"), mark(200)).unwrap();
                drop(store);
                assert_eq!(check(dir.path()), 200);
            }
        }
    }
    assert!(deaths > 30, "an install of {deaths} steps is too short to mean anything");
}

#[test]
fn process_killed_while_installing_leaves_the_old_or_the_new_state() {
    let dir = temp_dir();
    prepare_install(dir.path());
    for round in 0..8 {
        let mut child = spawn("install forever", dir.path(), "");
        std::thread::sleep(Duration::from_millis(40 + 13 * round));
        child.kill().unwrap();
        assert!(died(child.wait().unwrap()));
        let index = check(dir.path());
        assert!(index == 100 || index == 200, "{index}");
    }
}

#[test]
fn process_that_dies_before_a_snapshot_is_renamed_leaves_the_one_before() {
    let dir = temp_dir();
    prepare_install(dir.path());
    let mut child = spawn("snapshot", dir.path(), "store::snapshot_rename:1");
    assert!(died(child.wait().unwrap()), "the failpoint was not reached");
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let latest = replica.latest_snapshot().expect("the older one is there");
    assert_eq!(latest.mark, mark(100));
    assert_eq!(std::fs::read_dir(replica.snapshot_dir()).unwrap().count(), 1);
}
