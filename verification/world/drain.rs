//! How long a healed cluster has until all is decided.
//!
//! Whatever is under way has a minute. Tickets happen a few at a time, and where little is in the
//! way of clients many of them are left at the end of the load: as long as any goes within each
//! minute, the others have another one. None comes once the load has ended, so that this ends.

/// The time that is left.
pub(super) struct Drain {
    ends: u64,
    minute_us: u64,
    tickets: usize,
}

impl Drain {
    /// From a moment on, of so long a minute.
    pub(super) fn from(now: u64, minute_us: u64) -> Drain {
        Drain { ends: now + minute_us, minute_us, tickets: usize::MAX }
    }

    /// Whether it is over; asks how many tickets wait where it would be.
    pub(super) fn is_over(&mut self, now: u64, tickets: impl FnOnce() -> usize) -> bool {
        if now <= self.ends {
            return false;
        }
        let before = std::mem::replace(&mut self.tickets, tickets());
        let progress = (1..before).contains(&self.tickets);
        if progress {
            self.ends = now + self.minute_us;
        }
        !progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minute_is_followed_by_another_one_while_tickets_go() {
        let mut drain = Drain::from(100, 60);
        assert!(!drain.is_over(160, || unreachable!("nobody asks before the end")));
        assert!(!drain.is_over(161, || 9), "how many there were is not known yet");
        assert!(!drain.is_over(221, || unreachable!("it has begun anew")));
        assert!(!drain.is_over(222, || 8));
        assert!(drain.is_over(283, || 8), "none went");
        let mut drain = Drain::from(100, 60);
        assert!(drain.is_over(161, || 0), "something else is left");
    }
}
