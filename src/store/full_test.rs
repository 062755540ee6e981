//! Disks without room: nothing stops, nothing is lost, and it ends by itself.

use std::path::PathBuf;

use vatic_core::state::Read;

use crate::fixture::{ID, entries, eventually, manual, mark, noted, open, put, temp_dir, unfenced};
use crate::job::Job;
use crate::{InstallError, Limits, SnapshotError, Store};

#[test]
fn full_disk_holds_flushes_back_refuses_room_and_ends_by_itself() {
    let dir = temp_dir();
    let (reasons, action) = noted();
    let limits = Limits { flush_interval_ms: 5, ..manual() };
    let store = Store::open_with(dir.path(), limits, action).expect("a fresh directory opens");
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    put(&mut writer, "a", "before");
    writer.publish(mark(1));
    eventually("flushed", || replica.flushed() == Some(mark(1)));

    store.shared().room.pretend_full.set(true);
    put(&mut writer, "a", "while full");
    writer.publish(mark(2));
    eventually("noticed", || !store.has_room());
    assert_eq!(store.flush_now().held_back, [ID]);
    assert!(store.usage().disk_full);
    put(&mut writer, "b", "while full");
    writer.publish(mark(3));
    assert_eq!(replica.view().get(b"a"), Some(b"while full".to_vec()), "reads go on");
    assert_eq!(replica.flushed(), Some(mark(1)), "so the log is not purged past it");

    store.shared().room.pretend_full.set(false);
    eventually("room", || store.has_room() && replica.flushed() == Some(mark(3)));
    assert!(reasons.lock().unwrap().is_empty(), "{reasons:?}");
    let before = entries(&replica.view());
    drop((writer, replica, store));
    let store = open(dir.path(), manual());
    assert_eq!(entries(&unfenced(&store).view()), before);
}

#[test]
fn flush_that_found_no_room_is_believed_rather_than_the_disk_until_one_succeeds() {
    let dir = temp_dir();
    let limits = Limits { flush_interval_ms: 5, disk_reserve_bytes: 0, ..manual() };
    let store = open(dir.path(), limits);
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    assert!(replica.disk_has_room() && replica.disk_has_ample_room());
    store.shared().room.pretend_unwritable.set(true);
    put(&mut writer, "a", "not written");
    writer.publish(mark(1));
    eventually("noticed", || !replica.disk_has_room() && !replica.disk_has_ample_room());
    assert!(store.shared().disk_free() > 0, "the disk says otherwise");
    let refused = replica.snapshot();
    assert!(matches!(refused, Err(SnapshotError::DiskFull)), "{refused:?}");
    store.shared().room.pretend_unwritable.set(false);
    eventually("room", || replica.disk_has_room() && replica.flushed() == Some(mark(1)));
}

#[test]
fn flush_that_found_no_room_is_forgotten_with_what_it_would_have_written() {
    let dir = temp_dir();
    let limits = Limits { flush_interval_ms: 5, disk_reserve_bytes: 0, ..manual() };
    let store = open(dir.path(), limits);
    let replica = unfenced(&store);
    store.shared().room.pretend_unwritable.set(true);
    let mut writer = replica.writer();
    put(&mut writer, "a", "not written");
    writer.publish(mark(1));
    eventually("noticed", || !replica.disk_has_room());
    replica.hide();
    eventually("forgotten", || replica.disk_has_room());
}

#[test]
fn room_is_measured_again_while_nothing_is_written() {
    let dir = temp_dir();
    let store = open(dir.path(), Limits { flush_interval_ms: 5, ..manual() });
    store.shared().room.set_disk(0, 0);
    eventually("room", || store.has_room());
}

#[test]
fn install_on_a_full_disk_is_refused_and_leaves_the_old_state() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    (0..60).for_each(|number| put(&mut writer, &format!("{number:03}"), "value"));
    writer.publish(mark(9));
    let file = replica.snapshot().unwrap();
    let before = replica.view().digest();
    let shared = store.shared();
    let installing = shared.ask(|reply| Job::BeginInstall(ID, reply)).unwrap().unwrap();
    shared.room.pretend_full.set(true);
    let entry = (b"key".to_vec(), b"value".to_vec());
    let fill = |reply| Job::Fill(installing, vec![entry], reply);
    assert!(!shared.ask(fill).unwrap(), "there is no room");
    shared.ask(|reply| Job::Abandon(installing, reply)).unwrap();
    let refused = replica.install(&file.path, mark(9));
    assert!(matches!(refused, Err(InstallError::DiskFull)), "{refused:?}");
    let refused = replica.snapshot();
    assert!(matches!(refused, Err(SnapshotError::DiskFull)), "{refused:?}");
    shared.room.pretend_full.set(false);
    assert_eq!(replica.view().digest(), before);
    replica.install(&file.path, mark(9)).expect("there is room again");
    eventually("swept", || replica.cell.pair().base.entries() == 60);
    assert_eq!(replica.view().digest(), before);
}

#[test]
fn snapshot_that_fails_leaves_nothing_behind_however_often_it_is_tried() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    let files = || std::fs::read_dir(replica.snapshot_dir()).unwrap().count();
    for index in 1..=3 {
        put(&mut writer, "a", &format!("{index}"));
        writer.publish(mark(index));
        // What stands in the way of its name fails the last step; the file is written by then.
        let name = replica.snapshot_dir().join(format!("3-1-{index:020}.snap"));
        std::fs::create_dir_all(name).unwrap();
        let failed = replica.snapshot();
        assert!(matches!(failed, Err(SnapshotError::Io { .. })), "{failed:?}");
        assert_eq!(files(), index as usize, "only what stands in the way");
    }
}

/// On a real disk: `VATIC_STORE_SMALL_DISK` names a folder on a file system of a few MiB.
#[test]
#[ignore = "needs a small disk"]
fn small_real_disk_fills_and_empties_again() {
    let small = PathBuf::from(std::env::var("VATIC_STORE_SMALL_DISK").unwrap());
    let (reasons, action) = noted();
    let limits = Limits { flush_interval_ms: 5, disk_reserve_bytes: 0, ..manual() };
    let store = Store::open_with(small.join("store"), limits, action).unwrap();
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    let mut index = 0;
    while !store.usage().disk_full {
        index += 1;
        put(&mut writer, &format!("{index}"), &"x".repeat(50_000));
        writer.publish(mark(index));
        assert!(index < 20_000, "the disk is not small");
        store.flush_now();
    }
    let filler = small.join("filler");
    assert!(replica.flushed().unwrap().index < index);
    assert_eq!(store.flush_now().held_back, [ID]);
    assert!(reasons.lock().unwrap().is_empty(), "{reasons:?}");
    std::fs::remove_file(&filler).expect("who runs this puts a file there");
    eventually("flushed", || store.has_room() && replica.flushed() == Some(mark(index)));
    drop((writer, replica, store));
    let store = open(&small.join("store"), manual());
    assert_eq!(entries(&unfenced(&store).view()).len() as u64, index);
}
