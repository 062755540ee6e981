//! The end of the process, when going on would be worse.
//!
//! Why a hook: a node that cannot write its log or state, or whose apply panicked, must not
//! answer any more, since what it would say may not survive or not be what its peers say. In
//! production that is an abort; a test wants to see it happen.

use std::fmt;
use std::sync::Arc;

/// Called with what happened, at most a few times; the default never returns.
#[derive(Clone)]
pub struct Fatal(Arc<dyn Fn(&str) + Send + Sync>);

impl Fatal {
    pub fn new(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Writes the reason to stderr and aborts.
    pub fn abort() -> Self {
        Self::new(|reason| {
            tracing::error!(reason, "this node cannot go on");
            eprintln!("vatic: this node cannot go on: {reason}");
            std::process::abort();
        })
    }

    pub(crate) fn raise(&self, reason: &str) {
        (self.0)(reason);
    }

    /// Runs `work`; if it panics, raises that first and lets the panic go on.
    pub(crate) fn guard<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let alarm = Alarm { fatal: self, what };
        let result = work();
        std::mem::forget(alarm);
        result
    }
}

impl Default for Fatal {
    fn default() -> Self {
        Self::abort()
    }
}

impl fmt::Debug for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fatal")
    }
}

/// Dropped only while `guard` unwinds.
struct Alarm<'a> {
    fatal: &'a Fatal,
    what: &'a str,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.fatal.raise(&format!("{} panicked", self.what));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::Fatal;

    #[test]
    fn panic_in_guarded_work_raises_the_hook() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let fatal = Fatal::new({
            let seen = seen.clone();
            move |reason| seen.lock().unwrap().push(reason.to_owned())
        });
        assert_eq!(fatal.guard("sum", || 1 + 1), 2);
        assert!(seen.lock().unwrap().is_empty());
        let work = AssertUnwindSafe(|| fatal.guard("apply of group 1", || panic!("on purpose")));
        assert!(catch_unwind(work).is_err());
        assert_eq!(*seen.lock().unwrap(), ["apply of group 1 panicked"]);
    }
}
