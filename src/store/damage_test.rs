//! Bytes that rot in the real file: noticed, named, never answered with; and the scrub, which finds
//! them before anybody asks.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use vatic_core::state::Read;

use crate::fixture::{
    ID, entries, eventually, manual, mark, noted, open, panics, put, temp_dir, unfenced, unlocked,
};
use crate::{
    Damage, Limits, OpenError, Probe, Replica, ReplicaId, ScrubReport, SnapshotError, SnapshotFile,
    Store,
};

const KEYS: u32 = 300;

fn value(number: u32) -> String {
    format!("the value of {number:04} {}", "v".repeat(number as usize % 90))
}

fn fill(replica: &Replica, index: u64) {
    let mut writer = replica.writer();
    (0..KEYS).for_each(|number| put(&mut writer, &format!("key {number:04}"), &value(number)));
    writer.publish(mark(index));
}

/// A store at index 7, flushed and closed.
fn prepare(dir: &Path) {
    let store = open(dir, manual());
    fill(&unfenced(&store), 7);
    assert_eq!(store.flush_now().held_back, []);
}

/// Changes a byte in every place of the file where `text` lies (freed pages keep old copies).
fn rot(file: &Path, text: &str, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    let places: Vec<usize> =
        (0..bytes.len()).filter(|from| bytes[*from..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty(), "{text} is not in the file");
    places.iter().for_each(|place| bytes[place + at] ^= 0x40);
    fs::write(file, bytes).unwrap();
}

fn scrub(replica: &Replica) -> (usize, ScrubReport) {
    let mut scrub = replica.scrub();
    let mut steps = 1;
    while scrub.step() {
        steps += 1;
    }
    (steps, scrub.report().clone())
}

#[test]
fn rotten_value_in_the_file_stops_the_node_and_names_database_replica_and_key() {
    let dir = temp_dir();
    prepare(dir.path());
    rot(&dir.path().join("data.mdb"), "the value of 0123", 5);
    let (reasons, action) = noted();
    let store = unlocked(|| Store::open_with(dir.path(), manual(), action.clone())).unwrap();
    let view = unfenced(&store).view();
    assert_eq!(view.get(b"key 0122"), Some(value(122).into_bytes()), "the others are whole");
    assert!(panics(|| view.get(b"key 0123")));
    let reason = reasons.lock().unwrap()[0].clone();
    let key: String = b"key 0123".iter().map(|byte| format!("{byte:02x}")).collect();
    for part in ["database \"state\"", "group 3", "generation 1", &key] {
        assert!(reason.contains(part), "{reason} does not say {part}");
    }
    assert!(panics(|| entries(&view)), "a scan meets it too");
}

#[test]
fn hidden_state_is_neither_read_nor_changed_and_marks_go_on() {
    let dir = temp_dir();
    prepare(dir.path());
    rot(&dir.path().join("data.mdb"), "the value of 0000", 5);
    let (reasons, action) = noted();
    let store = unlocked(|| Store::open_with(dir.path(), manual(), action.clone())).unwrap();
    let replica = unfenced(&store);
    replica.hide();
    assert_eq!((replica.view().get(b"key 0000"), entries(&replica.view())), (None, vec![]));
    let mut writer = replica.writer();
    writer.publish(mark(8));
    assert_eq!(store.flush_now().held_back, [ID]);
    assert_eq!((replica.applied(), replica.flushed()), (Some(mark(8)), Some(mark(7))));
    assert!(matches!(replica.snapshot(), Err(SnapshotError::Empty)), "there is nothing to send");
    assert_eq!(scrub(&replica).1.damaged, 1, "the scrub reads it all the same");
    assert!(reasons.lock().unwrap().is_empty(), "{reasons:?}");
    drop((writer, replica, store));
    let replica = unfenced(&open(dir.path(), manual()));
    assert_eq!(replica.applied(), Some(mark(7)));
    assert_eq!(replica.view().get(b"key 0001"), Some(value(1).into_bytes()), "it is as it was");
}

/// Two replicas that lie one behind the other, in a store that was closed; of each the rows that
/// `prepare` writes. The later one's first row has rotted.
fn prepare_beside_a_damaged_one(dir: &Path) -> ReplicaId {
    let behind = ReplicaId { group: ID.group + 1, generation: 1 };
    let store = open(dir, manual());
    fill(&unfenced(&store), 7);
    let replica = store.replica(behind);
    replica.set_fence(|| u64::MAX);
    let mut writer = replica.writer();
    put(&mut writer, "a", "the first row of another replica");
    writer.publish(mark(7));
    drop(writer);
    assert_eq!(store.flush_now().held_back, []);
    drop((replica, store));
    rot(&dir.join("data.mdb"), "the first row of another replica", 5);
    behind
}

/// What is read ends with the first row behind it, which nobody asked for.
#[test]
fn damage_in_a_neighbours_first_row_is_the_neighbours_alone() {
    let dir = temp_dir();
    let behind = prepare_beside_a_damaged_one(dir.path());
    let (reasons, action) = noted();
    let store = unlocked(|| Store::open_with(dir.path(), manual(), action.clone())).unwrap();
    let replica = unfenced(&store);
    assert_eq!(entries(&replica.view()).len() as u32, KEYS);
    assert_eq!(scrub(&replica).1.damaged, 0);
    assert_eq!(scrub(&store.replica(behind)).1.damaged, 1);
    // One that is made anew lies beside what is left of the damaged one.
    let fresh = store.replica(ReplicaId { generation: 2, ..ID });
    assert_eq!((entries(&fresh.view()), scrub(&fresh).1.damaged), (vec![], 0));
    // What is left of it once it is removed is nobody's, until it is swept.
    store.remove_replica(behind);
    assert_eq!((entries(&fresh.view()), scrub(&fresh).1.damaged), (vec![], 0));
    assert!(reasons.lock().unwrap().is_empty(), "{reasons:?}");
}

/// A key that rotted seems to be of a replica that nobody knows.
#[test]
fn damaged_key_that_seems_to_lie_behind_its_replica_is_not_taken_for_a_neighbours() {
    let dir = temp_dir();
    prepare(dir.path());
    // The generation, in the row of the last key.
    let file = dir.path().join("data.mdb");
    let mut bytes = fs::read(&file).unwrap();
    let key = format!("key {:04}", KEYS - 1);
    let places: Vec<usize> =
        (12..bytes.len()).filter(|at| bytes[*at..].starts_with(key.as_bytes())).collect();
    places.iter().for_each(|place| bytes[place - 5] ^= 0x40);
    fs::write(&file, bytes).unwrap();
    let (reasons, action) = noted();
    let store = unlocked(|| Store::open_with(dir.path(), manual(), action.clone())).unwrap();
    let replica = unfenced(&store);
    assert!(scrub(&replica).1.damaged > 0);
    assert!(panics(|| entries(&replica.view())), "an entry is not missed in silence");
    assert_eq!(reasons.lock().unwrap().len(), 1);
}

#[test]
fn probe_keeps_the_damage_that_a_view_would_stop_at() {
    let dir = temp_dir();
    prepare(dir.path());
    let whole = unfenced(&open(dir.path(), manual())).probe();
    let scanned = |probe: &Probe| {
        let mut rows = 0;
        probe.scan(b"key 0000", b"l", &mut |_, _| {
            rows += 1;
            true
        });
        rows
    };
    assert_eq!((scanned(&whole), whole.damage()), (KEYS, None));
    drop(whole);
    rot(&dir.path().join("data.mdb"), "the value of 0123", 5);
    let store = open(dir.path(), manual());
    let probe = unfenced(&store).probe();
    assert_eq!(probe.get(b"key 0122"), Some(value(122).into_bytes()));
    assert_eq!((probe.get(b"key 0123"), probe.damage().map(|it| it.key)), {
        (None, Some(b"key 0123".to_vec()))
    });
    let probe = unfenced(&store).probe();
    assert!(scanned(&probe) < KEYS && probe.damage().is_some());
}

#[test]
fn rotten_record_of_a_replica_refuses_to_open_and_names_it() {
    let dir = temp_dir();
    prepare(dir.path());
    rot(&dir.path().join("data.mdb"), "meta of 7", 3);
    let refused = unlocked(|| Store::open(dir.path(), manual()));
    let Err(OpenError::Damaged(damage)) = refused.map(drop) else {
        panic!("it opened, or failed otherwise")
    };
    assert_eq!((damage.database, damage.replica), ("replicas", Some(ID)));
}

#[test]
fn scrub_reads_everything_in_small_steps_and_finds_what_rotted() {
    let dir = temp_dir();
    prepare(dir.path());
    let store = open(dir.path(), manual());
    let (steps, whole) = scrub(&unfenced(&store));
    assert_eq!((whole.records, whole.damaged), (u64::from(KEYS), 0));
    assert!(steps as u64 > whole.bytes / 1024, "{steps} steps for {} bytes", whole.bytes);
    drop(store);

    for number in [17, 200, 299] {
        rot(&dir.path().join("data.mdb"), &format!("the value of {number:04}"), 0);
    }
    let store = open(dir.path(), manual());
    let (_, found) = scrub(&unfenced(&store));
    assert_eq!((found.records, found.damaged), (u64::from(KEYS), 3), "it reads past damage");
    let first = Damage {
        database: "state",
        replica: Some(ID),
        key: b"key 0017".to_vec(),
        what: "checksum".into(),
    };
    assert_eq!(found.first_damage, Some(first));
}

#[test]
fn scrub_reads_the_latest_snapshot_file_too() {
    let dir = temp_dir();
    prepare(dir.path());
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let file = replica.snapshot().unwrap().path;
    let (_, whole) = scrub(&replica);
    assert_eq!((whole.records, whole.damaged), (2 * u64::from(KEYS), 0));
    rot(&file, "the value of 0123", 9);
    let (_, found) = scrub(&replica);
    assert_eq!((found.damaged, found.snapshots_discarded), (0, 1), "the replica itself is whole");
    assert_eq!(replica.latest_snapshot(), None);
}

#[test]
fn snapshot_file_that_rotted_is_made_anew_when_it_is_needed() {
    let dir = temp_dir();
    prepare(dir.path());
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let first = replica.snapshot_from(7).unwrap();
    let written = |file: &SnapshotFile| fs::metadata(&file.path).unwrap().modified().unwrap();
    let before = written(&first);
    assert_eq!(replica.snapshot_from(7).unwrap(), first);
    assert_eq!(written(&first), before, "one that is whole is taken as it is");
    rot(&first.path, "the value of 0123", 9);
    let second = replica.snapshot_from(7).unwrap();
    assert_eq!(second, first);
    replica.install(&second.path, mark(7)).expect("it is whole");
}

#[test]
fn state_that_was_prepared_and_is_not_wanted_is_swept() {
    let dir = temp_dir();
    prepare(dir.path());
    let store = open(dir.path(), Limits { flush_interval_ms: 5, ..manual() });
    let replica = unfenced(&store);
    let file = replica.snapshot().unwrap().path;
    let before = replica.view().digest();
    let prepared = replica.prepare(&file, 7).unwrap();
    assert_eq!(replica.cell.pair().base.entries(), 2 * u64::from(KEYS));
    assert_eq!(replica.applied(), Some(mark(7)));
    drop(prepared);
    eventually("swept", || replica.cell.pair().base.entries() == u64::from(KEYS));
    assert_eq!(replica.view().digest(), before);
}

#[test]
fn scrub_follows_an_install_and_ends_with_the_replica() {
    let dir = temp_dir();
    prepare(dir.path());
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let file = replica.snapshot().unwrap().path;
    let copy = dir.path().join("copy");
    fs::copy(file, &copy).unwrap();
    let mut scrub = replica.scrub();
    (0..20).for_each(|_| assert!(scrub.step()));
    replica.install(&copy, mark(7)).unwrap();
    while scrub.step() {}
    assert_eq!((scrub.report().records, scrub.report().damaged), (2 * u64::from(KEYS), 0));

    let mut scrub = replica.scrub();
    (0..20).for_each(|_| assert!(scrub.step()));
    store.remove_replica(ID);
    while scrub.step() {}
    assert_eq!(scrub.report().damaged, 0);
}

/// Rewrites all keys many times while something is held; by how much the file grows.
fn growth(hold: impl FnOnce(&Replica) -> Box<dyn std::any::Any>) -> u64 {
    let dir = temp_dir();
    prepare(dir.path());
    let store = open(dir.path(), Limits { map_bytes: 256 << 20, ..manual() });
    let replica = unfenced(&store);
    let size = || fs::metadata(dir.path().join("data.mdb")).unwrap().len();
    for index in 8..12 {
        fill(&replica, index);
        store.flush_now();
    }
    let held = hold(&replica);
    let before = size();
    for index in 12..60 {
        fill(&replica, index);
        store.flush_now();
    }
    drop(held);
    size() - before
}

#[test]
fn scrub_that_pauses_halfway_keeps_no_page_from_being_reused() {
    let paused = growth(|replica| {
        let mut scrub = replica.scrub();
        (0..20).for_each(|_| assert!(scrub.step()));
        Box::new(scrub)
    });
    let pinned = growth(|replica| Box::new(replica.view()));
    assert!(pinned > 8 * paused.max(64 << 10), "a view costs {pinned}, a scrub {paused} bytes");
}

/// Runs only in a child process: reads all of a store whose file was tampered with.
#[test]
#[ignore = "the child process of the other tests"]
fn child() {
    let Ok(dir) = std::env::var("VATIC_STORE_TEST_DIR") else { return };
    let end: crate::FatalAction = std::sync::Arc::new(|_| std::process::exit(STOPPED));
    let Ok(store) = Store::open_with(dir, manual(), end) else { std::process::exit(STOPPED) };
    if !store.replicas().contains(&ID) {
        std::process::exit(MISSING);
    }
    let view = unfenced(&store).view();
    let mut missing = 0;
    for number in 0..KEYS {
        match view.get(format!("key {number:04}").as_bytes()) {
            Some(found) if found == value(number).into_bytes() => {}
            Some(_) => std::process::exit(WRONG),
            None => missing += 1,
        }
    }
    let scrub_finds_it = || scrub(&unfenced(&store)).1.damaged > 0;
    std::process::exit(match missing {
        0 => WHOLE,
        _ if scrub_finds_it() => SCRUBBED,
        _ => MISSING,
    })
}

const WHOLE: i32 = 40;
const STOPPED: i32 = 41;
const MISSING: i32 = 42;
const SCRUBBED: i32 = 43;
const WRONG: i32 = 44;

/// One bit anywhere in the file, LMDB's own structure included, which has no checksum: a process
/// that dies of it has not answered either. What cannot be excluded is that an entry is missed: one
/// whose key rotted, which the scrub finds, and one that a damaged page no longer lists, which only
/// a comparison of replicas does.
#[test]
fn any_bit_of_the_file_flipped_never_yields_a_wrong_value() {
    let whole = temp_dir();
    prepare(whole.path());
    let bytes = fs::read(whole.path().join("data.mdb")).unwrap();
    let mut outcomes = std::collections::BTreeMap::new();
    const ROUNDS: usize = 120;
    for round in 0..ROUNDS {
        let dir = temp_dir();
        let mut rotten = bytes.clone();
        let at = round * bytes.len() / ROUNDS + round * 37 % 97;
        rotten[at.min(bytes.len() - 1)] ^= 1 << (round % 8);
        fs::write(dir.path().join("data.mdb"), rotten).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "damage_test::child", "--ignored"]);
        command.env("VATIC_STORE_TEST_DIR", dir.path());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        let outcome = match (status.code(), status.signal()) {
            (Some(WHOLE), _) => "whole",
            (Some(STOPPED), _) => "stopped",
            (Some(SCRUBBED), _) => "missing, found by the scrub",
            (Some(MISSING), _) => "missing",
            (_, Some(_)) => "died",
            other => panic!("byte {at}: {other:?}"),
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    println!("{outcomes:?}");
    assert!(outcomes.get("stopped").is_some_and(|stopped| *stopped > 20), "{outcomes:?}");
    assert!(outcomes.get("missing").is_none_or(|missing| *missing <= 2), "{outcomes:?}");
}
