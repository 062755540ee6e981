//! Places where a test can stop the process dead, as `kill -9` would. Nothing in other builds.
//!
//! `VATIC_STORE_CRASH_AT=name:n` aborts at the n-th time (from 1) that `name` is reached.

#[cfg(not(test))]
pub(crate) fn hit(_name: &str) {}

#[cfg(test)]
pub(crate) fn hit(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static TARGET: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let setting = std::env::var("VATIC_STORE_CRASH_AT").ok()?;
        let (name, count) = setting.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    static HITS: AtomicU64 = AtomicU64::new(0);

    if let Some((target, count)) = &*TARGET
        && target == name
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        std::process::abort();
    }
}
