//! The store's seam, one promise a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vatic_core::state::{Read, State};

use crate::fixture::{ID, entries, eventually, manual, mark, noted, open, panics, put};
use crate::fixture::{temp_dir, text, unfenced, unlocked};
use crate::job::Job;
use crate::{KEY_BYTES_MAX, Limits, OpenError, ReplicaId, Store};

#[test]
fn writer_reads_its_own_writes_before_readers_do() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    put(&mut writer, "a", "1");
    assert_eq!(text(&writer, "a").as_deref(), Some("1"));
    assert_eq!(text(&replica.view(), "a"), None);
    writer.publish(mark(1));
    let view = replica.view();
    assert_eq!(text(&view, "a").as_deref(), Some("1"));
    assert_eq!(view.mark(), Some(mark(1)));
}

#[test]
fn view_stays_at_its_moment_through_publishes_and_flushes() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    put(&mut writer, "a", "old");
    writer.publish(mark(1));
    let before = replica.view();
    put(&mut writer, "a", "new");
    put(&mut writer, "b", "new");
    writer.publish(mark(2));
    assert_eq!(store.flush_now().held_back, []);
    writer.delete(b"a");
    writer.publish(mark(3));
    assert_eq!(store.flush_now().held_back, []);
    assert_eq!(entries(&before), [(b"a".to_vec(), b"old".to_vec())]);
    assert_eq!(before.mark(), Some(mark(1)));
    assert_eq!(entries(&replica.view()), [(b"b".to_vec(), b"new".to_vec())]);
}

#[test]
fn reopened_store_is_at_the_last_flush_and_not_beyond() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    put(&mut writer, "a", "flushed");
    writer.publish(mark(1));
    store.flush_now();
    assert_eq!(replica.flushed(), Some(mark(1)));
    put(&mut writer, "a", "published");
    writer.publish(mark(2));
    drop((writer, replica, store));

    let replica = open(dir.path(), manual()).replica(ID);
    assert_eq!(replica.applied(), Some(mark(1)));
    assert_eq!(text(&replica.view(), "a").as_deref(), Some("flushed"));
}

#[test]
fn fence_behind_the_mark_holds_the_flush_back() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let durable = Arc::new(AtomicU64::new(4));
    let held = store.replica(ID);
    held.set_fence({
        let durable = durable.clone();
        move || durable.load(Ordering::SeqCst)
    });
    let free = store.replica(ReplicaId { group: 9, generation: 1 });
    free.set_fence(|| u64::MAX);
    let (mut writer, mut other) = (held.writer(), free.writer());
    put(&mut writer, "a", "1");
    writer.publish(mark(5));
    put(&mut other, "b", "2");
    other.publish(mark(70));

    assert_eq!(store.flush_now().held_back, [ID]);
    assert_eq!(held.flushed(), None, "index 5 is not durable in the log");
    assert_eq!(free.flushed(), Some(mark(70)), "others are not held up");
    put(&mut writer, "a", "2");
    writer.publish(mark(6));
    durable.store(5, Ordering::SeqCst);
    assert_eq!(store.flush_now().held_back, [ID]);
    assert_eq!(held.flushed(), Some(mark(5)), "the frozen overlay went, the later one did not");
    durable.store(6, Ordering::SeqCst);
    assert_eq!(store.flush_now().held_back, []);
    assert_eq!(held.flushed(), Some(mark(6)));
    drop((writer, other, held, free, store));
    let replica = open(dir.path(), manual()).replica(ID);
    assert_eq!(text(&replica.view(), "a").as_deref(), Some("2"));
}

#[test]
fn replica_without_a_fence_is_never_flushed() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = store.replica(ID);
    let mut writer = replica.writer();
    put(&mut writer, "a", "1");
    writer.publish(mark(1));
    assert_eq!(store.flush_now().held_back, [ID]);
    assert_eq!(replica.flushed(), None);
}

#[test]
fn log_that_holds_nothing_fences_even_entry_zero() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = store.replica(ID);
    let durable = Arc::new(std::sync::Mutex::new(None));
    let fence = durable.clone();
    replica.set_fence(move || *fence.lock().unwrap());
    let mut writer = replica.writer();
    put(&mut writer, "a", "founded");
    writer.publish(mark(0));
    assert_eq!(store.flush_now().held_back, [ID]);
    *durable.lock().unwrap() = Some(0);
    assert_eq!(store.flush_now().held_back, []);
    assert_eq!(replica.flushed(), Some(mark(0)));
}

#[test]
fn background_flush_comes_by_time_and_by_size() {
    for limits in
        [Limits { flush_interval_ms: 5, ..manual() }, Limits { overlay_flush_bytes: 1, ..manual() }]
    {
        let dir = temp_dir();
        let store = open(dir.path(), limits);
        let replica = unfenced(&store);
        let mut writer = replica.writer();
        put(&mut writer, "a", "1");
        writer.publish(mark(1));
        eventually("flushed", || replica.flushed() == Some(mark(1)));
        eventually("overlays freed", || store.usage().overlay_bytes == 0);
    }
}

#[test]
fn full_overlays_make_publish_wait_for_the_flush() {
    let dir = temp_dir();
    let limits = Limits {
        overlay_flush_bytes: 1 << 10,
        overlay_max_bytes: 4 << 10,
        publish_wait_max_ms: 60_000,
        ..manual()
    };
    let store = open(dir.path(), limits);
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    for index in 1..=200 {
        writer.put(format!("key {index}").into_bytes(), vec![0; 500]);
        writer.publish(mark(index));
        let usage = store.usage();
        assert!(usage.overlay_bytes < usage.overlay_max_bytes, "{usage:?}");
    }
}

#[test]
fn stuck_log_refuses_room_and_slows_publish_without_blocking_it() {
    let dir = temp_dir();
    let limits = Limits { overlay_max_bytes: 1 << 10, publish_wait_max_ms: 1, ..manual() };
    let store = open(dir.path(), limits);
    let replica = store.replica(ID);
    replica.set_fence(|| 0);
    assert!(store.has_room());
    let mut writer = replica.writer();
    writer.put(b"a".to_vec(), vec![0; 2 << 10]);
    writer.publish(mark(1));
    assert!(!store.has_room());
    replica.set_fence(|| 1);
    store.flush_now();
    assert!(store.has_room());
}

#[test]
fn map_near_its_end_refuses_room() {
    let dir = temp_dir();
    let limits = Limits { map_bytes: 4 << 20, map_reserve_bytes: 2 << 20, ..manual() };
    let store = open(dir.path(), limits);
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    let mut index = 0;
    while store.has_room() {
        index += 1;
        assert!(index < 1_000, "four megabytes never fill: {:?}", store.usage());
        writer.put(format!("{index}").into_bytes(), vec![0; 20_000]);
        writer.publish(mark(index));
        store.flush_now();
    }
    for old in 1..=index {
        writer.delete(format!("{old}").as_bytes());
    }
    writer.publish(mark(index + 1));
    store.flush_now();
    assert!(store.has_room(), "pages that were freed are room again: {:?}", store.usage());
}

#[test]
fn full_map_stops_the_node() {
    let dir = temp_dir();
    let (reasons, action) = noted();
    let limits = Limits { map_bytes: 1 << 20, ..manual() };
    let store = Store::open_with(dir.path(), limits, action).unwrap();
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    writer.put(b"large".to_vec(), vec![0; 2 << 20]);
    writer.publish(mark(1));
    assert!(panics(|| store.flush_now()));
    let reasons = reasons.lock().unwrap();
    assert!(reasons.len() == 1 && reasons[0].contains("MDB_MAP_FULL"), "{reasons:?}");
}

#[test]
fn damaged_value_stops_the_node_on_get_and_on_scan() {
    type Ask = fn(&dyn Read);
    let asks: [Ask; 2] =
        [|view| drop(view.get(b"a")), |view| view.scan(b"", b"z", &mut |_, _| true)];
    for ask in asks {
        for at in [0, 3, 4, 6] {
            let dir = temp_dir();
            let (reasons, action) = noted();
            let store = Store::open_with(dir.path(), manual(), action).unwrap();
            let replica = unfenced(&store);
            let mut writer = replica.writer();
            put(&mut writer, "a", "abc");
            writer.publish(mark(1));
            store.flush_now();
            ask(&replica.view());
            let prefix = replica.cell.pair().prefix;
            let spoil = move |batch: &mut crate::lmdb::Batch<'_>| {
                batch.spoil(&prefix, b"a", |sealed| sealed[at] ^= 1);
            };
            store.shared().ask(|reply| Job::Tamper(Box::new(spoil), reply)).unwrap();
            let view = replica.view();
            assert!(panics(|| ask(&view)), "byte {at} of the stored value was flipped");
            assert!(reasons.lock().unwrap()[0].contains("damaged"), "{reasons:?}");
        }
    }
}

#[test]
fn value_under_another_key_stops_the_node() {
    let dir = temp_dir();
    let (reasons, action) = noted();
    let store = Store::open_with(dir.path(), manual(), action).unwrap();
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    put(&mut writer, "a", "123");
    put(&mut writer, "b", "456");
    writer.publish(mark(1));
    store.flush_now();
    let prefix = replica.cell.pair().prefix;
    let swap = move |batch: &mut crate::lmdb::Batch<'_>| {
        let mut of_a = Vec::new();
        batch.spoil(&prefix, b"a", |sealed| of_a = sealed.to_vec());
        batch.spoil(&prefix, b"b", |sealed| sealed.copy_from_slice(&of_a));
    };
    store.shared().ask(|reply| Job::Tamper(Box::new(swap), reply)).unwrap();
    assert_eq!(text(&replica.view(), "a").as_deref(), Some("123"));
    assert!(panics(|| replica.view().get(b"b")));
    assert_eq!(reasons.lock().unwrap().len(), 1);
}

#[test]
fn other_format_version_is_refused() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let change = |batch: &mut crate::lmdb::Batch<'_>| batch.set_format(2);
    store.shared().ask(|reply| Job::Tamper(Box::new(change), reply)).unwrap();
    drop(store);
    let error = unlocked(|| Store::open(dir.path(), manual())).err();
    assert!(matches!(error, Some(OpenError::Version { found: 2, expected: 1 })), "{error:?}");
}

#[test]
fn second_store_on_one_directory_is_refused() {
    let dir = temp_dir();
    let _store = open(dir.path(), manual());
    let error = Store::open(dir.path(), manual()).err();
    assert!(matches!(error, Some(OpenError::Locked { .. })), "{error:?}");
}

#[test]
fn replicas_do_not_see_each_other() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let ids = [(0, 0), (0, 1), (1, 0), (u32::MAX, u32::MAX)];
    let ids = ids.map(|(group, generation)| ReplicaId { group, generation });
    for (index, id) in ids.iter().enumerate() {
        let replica = store.replica(*id);
        replica.set_fence(|| u64::MAX);
        let mut writer = replica.writer();
        put(&mut writer, "a", &index.to_string());
        writer.publish(mark(1));
        if index % 2 == 0 {
            store.flush_now();
        }
    }
    for flushed in [false, true] {
        for (index, id) in ids.iter().enumerate() {
            let view = store.replica(*id).view();
            let expected = [(b"a".to_vec(), index.to_string().into_bytes())];
            assert_eq!(entries(&view), expected, "flushed: {flushed}");
        }
        store.flush_now();
    }
    assert_eq!(store.replicas(), ids);
}

#[test]
fn removed_replica_is_gone_at_once_and_its_state_in_time() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    for index in 1..=100 {
        put(&mut writer, &format!("{index}"), "x");
    }
    writer.publish(mark(1));
    store.flush_now();
    let before = replica.view();
    put(&mut writer, "late", "x");
    store.remove_replica(ID);
    writer.publish(mark(2));
    store.flush_now();
    assert_eq!(entries(&before).len(), 100, "a view taken before stays whole");
    assert_eq!(entries(&replica.view()), []);
    assert_eq!(store.replicas(), []);
    drop((writer, before, replica, store));
    let store = open(dir.path(), manual());
    assert_eq!(store.replicas(), [], "the removal is durable");
    let again = unfenced(&store);
    assert_eq!(again.applied(), None);
    assert_eq!(entries(&again.view()), []);
    eventually("all of it deleted", || again.cell.pair().base.entries() == 0);
    assert_eq!(store.usage().overlay_bytes, 0);
}

#[test]
fn second_writer_is_refused_until_the_first_is_dropped() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut first = replica.writer();
    put(&mut first, "a", "unpublished");
    assert!(panics(|| replica.writer()));
    drop(first);
    assert_eq!(text(&replica.writer(), "a"), None, "what was not published is gone");
}

#[test]
fn longest_key_fits_and_a_longer_one_stops_the_node() {
    let dir = temp_dir();
    let (reasons, action) = noted();
    let store = Store::open_with(dir.path(), manual(), action).unwrap();
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    let longest = vec![0xff; KEY_BYTES_MAX];
    writer.put(longest.clone(), b"x".to_vec());
    writer.put(Vec::new(), b"of the empty key".to_vec());
    writer.publish(mark(1));
    store.flush_now();
    let view = replica.view();
    assert_eq!(view.get(&longest).as_deref(), Some(&b"x"[..]));
    assert_eq!(view.get(b"").as_deref(), Some(&b"of the empty key"[..]));
    assert_eq!(view.get(&[0xff; KEY_BYTES_MAX + 1]), None);
    assert_eq!(entries(&view).len(), 2);
    assert!(panics(|| writer.put(vec![0; KEY_BYTES_MAX + 1], Vec::new())));
    assert_eq!(reasons.lock().unwrap().len(), 1);
}

#[test]
fn scan_past_a_chunk_misses_no_key_that_extends_the_last_one() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    for zeros in 0..200 {
        writer.put([&b"key"[..], &vec![0; zeros]].concat(), b"x".to_vec());
    }
    writer.publish(mark(1));
    store.flush_now();
    assert_eq!(entries(&replica.view()).len(), 200);
}

#[test]
fn handles_go_where_threads_need_them() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Store>();
    shared::<crate::Replica>();
    shared::<crate::View>();
    moved::<crate::Writer>();
}

#[test]
fn visitor_may_read_the_view_it_scans() {
    let dir = temp_dir();
    let store = open(dir.path(), Limits { base_shards: 1, ..manual() });
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    for index in 0..100 {
        put(&mut writer, &format!("{index:03}"), "x");
    }
    writer.publish(mark(1));
    store.flush_now();
    let view = replica.view();
    let mut seen = 0;
    view.scan(b"010", b"020", &mut |key, value| {
        assert_eq!(view.get(key).as_deref(), Some(value));
        seen += 1;
        seen < 5
    });
    assert_eq!(seen, 5, "the visitor ended it");
}
