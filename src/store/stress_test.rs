//! Readers against a writer, background flushes and installs, on real threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vatic_core::state::{Read, State};

use crate::fixture::{ID, entries, eventually, manual, mark, open, put, temp_dir, unfenced};
use crate::published::Published;
use crate::{Limits, View};

const ACCOUNTS: u64 = 20;
const TOTAL: u64 = 1_000;
const DURATION: Duration = Duration::from_millis(1_500);

#[test]
fn readers_during_flushes_see_only_published_states() {
    let dir = temp_dir();
    let store = open(dir.path(), Limits { flush_interval_ms: 1, ..Limits::simulation() });
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    for account in 0..ACCOUNTS {
        set(&mut writer, account, TOTAL / ACCOUNTS);
    }
    put(&mut writer, "index", "1");
    writer.publish(mark(1));

    let stop = AtomicBool::new(false);
    let (flushes, views) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let view = replica.view();
                    let index = check(&view).expect("every view is a published state");
                    assert!(index >= last, "time went back from {last} to {index}");
                    last = index;
                    views.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut flushed = None;
        let mut seed = 1u64;
        let deadline = Instant::now() + DURATION;
        for index in 2.. {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (from, to) = ((seed >> 33) % ACCOUNTS, (seed >> 43) % ACCOUNTS);
            let before = balance(&writer, from).unwrap_or(0);
            let taken = before.min(7);
            set_or_delete(&mut writer, from, before - taken);
            let after = balance(&writer, to).unwrap_or(0) + taken;
            set_or_delete(&mut writer, to, after);
            put(&mut writer, "index", &index.to_string());
            writer.publish(mark(index));
            if replica.flushed() != flushed {
                flushed = replica.flushed();
                flushes.fetch_add(1, Ordering::Relaxed);
            }
            if Instant::now() >= deadline {
                break;
            }
        }
    });
    let (flushes, views) = (flushes.into_inner(), views.into_inner());
    assert!(flushes > 10 && views > 100, "{flushes} flushes, {views} views: too few to tell");
}

/// The check above must be able to fail: take overlays and LMDB apart, and it does.
#[test]
fn pair_taken_apart_is_caught_by_the_check() {
    let dir = temp_dir();
    let store = open(dir.path(), manual());
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    for account in 0..ACCOUNTS {
        set(&mut writer, account, TOTAL / ACCOUNTS);
    }
    put(&mut writer, "index", "1");
    writer.publish(mark(1));
    let before = replica.view();
    store.flush_now();
    let after = replica.view();
    assert_eq!((check(&before), check(&after)), (Ok(1), Ok(1)));

    let torn = Published { base: before.pair.base.clone(), ..(*after.pair).clone() };
    let torn = View { pair: Arc::new(torn), ..after };
    assert!(check(&torn).is_err(), "overlays from after the flush, LMDB from before it");
}

#[test]
fn reader_during_an_install_sees_the_old_state_or_the_new_one() {
    let dir = temp_dir();
    let store = open(dir.path(), Limits { flush_interval_ms: 1, ..Limits::simulation() });
    let replica = unfenced(&store);
    let mut writer = replica.writer();
    let mut files = Vec::new();
    for index in 1..=2 {
        for account in 0..ACCOUNTS {
            set(&mut writer, account, TOTAL / ACCOUNTS);
        }
        put(&mut writer, "index", &index.to_string());
        writer.publish(mark(index));
        let file = replica.snapshot().expect("there is a state");
        let copy = dir.path().join(format!("copy-{index}"));
        std::fs::copy(&file.path, &copy).expect("the file is there");
        files.push((copy, file.mark));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let view = replica.view();
                    let index = check(&view).expect("every view is a whole state");
                    assert_eq!(view.mark().map(|mark| mark.index), Some(index));
                }
            });
        }
        for round in 0..40 {
            let (file, mark) = &files[round % 2];
            replica.install(file, mark.clone()).expect("the file is whole");
            assert_eq!(check(&replica.view()), Ok(mark.index));
        }
    });
    let live = ACCOUNTS + 1;
    eventually("old incarnations deleted", || replica.cell.pair().base.entries() == live);
    assert_eq!(entries(&replica.view()).len() as u64, live);
    assert_eq!(store.replicas(), [ID]);
}

/// Ends the reader threads, also where the writing thread panics: a failure must not hang.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The index of the state that `view` shows, if it is one that was published.
fn check(view: &View) -> Result<u64, String> {
    let mut sum = 0;
    for account in 0..ACCOUNTS {
        sum += balance(view, account).unwrap_or(0);
    }
    let mut scanned = 0;
    view.scan(b"account", b"account~", &mut |_, value| {
        scanned += parse(value);
        true
    });
    let index = view.get(b"index").map(|value| parse(&value)).ok_or("no index")?;
    let mark = view.mark().map(|mark| mark.index);
    if (sum, scanned, mark) == (TOTAL, TOTAL, Some(index)) {
        return Ok(index);
    }
    Err(format!("got {sum}, scanned {scanned}, index {index}, mark {mark:?}"))
}

fn name(account: u64) -> String {
    format!("account {account:02}")
}

fn balance(state: &impl Read, account: u64) -> Option<u64> {
    state.get(name(account).as_bytes()).map(|value| parse(&value))
}

fn set(state: &mut impl State, account: u64, amount: u64) {
    state.put(name(account).into_bytes(), amount.to_string().into_bytes());
}

fn set_or_delete(state: &mut impl State, account: u64, amount: u64) {
    if amount == 0 { state.delete(name(account).as_bytes()) } else { set(state, account, amount) }
}

fn parse(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}
