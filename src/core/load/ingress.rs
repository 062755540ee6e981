//! The way in: the bar, the queue, the places.

use super::{
    gradient::{Gradient, Seen},
    limits::LoadLimits,
    rank::Rank,
    share::Share,
};
use crate::conflict::fixed::MILLION;
use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::Reverse;

/// Of memory or network, from which on it is an overload though nothing waits for long.
const EXHAUSTED_PPM: u32 = 950_000;
/// How long to stay away, in microseconds, where all but few are let in; the fewer, the longer.
const RETRY_US: u64 = 100_000;
const RETRY_US_MAX: u64 = 2_000_000;

/// One who waits, by a number that is used once.
pub type WaiterId = u64;

/// What becomes of one who comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It has a place.
    Enters,
    /// It will be called.
    Waits(WaiterId),
    /// There is no room for it.
    Refused,
}

/// One who waited, and whether it enters now or is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Called {
    /// Who.
    pub waiter: WaiterId,
    /// It has a place.
    pub enters: bool,
}

/// How it ended that somebody had a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// How long it had it.
    pub took_us: u64,
    /// It was rolled back for a conflict.
    pub conflict: bool,
}

/// What the machine has to give, of which so much is used. Parts per million.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gauges {
    /// Of the CPUs' time.
    pub cpu_ppm: u32,
    /// Of the memory.
    pub memory_ppm: u32,
    /// Of what the network takes before it loses too much.
    pub network_ppm: u32,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ingress {
    limits: LoadLimits,
    gradient: Gradient,
    share: Share,
    inside: u32,
    /// The highest class first, and in it who came first.
    waiting: BTreeMap<(Reverse<u8>, WaiterId), u64>,
    last_id: WaiterId,
    window: Window,
    load_ppm: u32,
}

/// What happened since the last step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Window {
    seen: Seen,
    /// Those who were called, or entered at once, and how long they had waited, all together. Those
    /// who were refused in the end count: the higher classes may not have to wait at all.
    called: u64,
    waited_us: u64,
}

impl Ingress {
    /// Empty, and open to all.
    pub fn new(limits: LoadLimits) -> Ingress {
        Ingress {
            gradient: Gradient::new(&limits),
            share: Share::new(&limits),
            limits,
            inside: 0,
            waiting: BTreeMap::new(),
            last_id: 0,
            window: Window::default(),
            load_ppm: 0,
        }
    }

    /// Somebody comes. Where the queue is full of lower classes, the last of them gives way.
    pub fn arrive(&mut self, rank: Rank, now_us: u64) -> (Arrival, Option<Called>) {
        if !self.share.admits(rank) {
            return (Arrival::Refused, None);
        }
        if self.waiting.is_empty() && self.inside < self.gradient.places() {
            self.enter(0);
            return (Arrival::Enters, None);
        }
        let mut gives_way = None;
        if self.waiting.len() >= self.limits.waiting_max as usize {
            let last = self.waiting.last_entry().filter(|last| last.key().0.0 < rank.class());
            let Some(last) = last else { return (Arrival::Refused, None) };
            let ((_, waiter), since) = last.remove_entry();
            self.window.count(now_us.saturating_sub(since));
            gives_way = Some(Called { waiter, enters: false });
        }
        self.last_id += 1;
        self.waiting.insert((Reverse(rank.class()), self.last_id), now_us);
        (Arrival::Waits(self.last_id), gives_way)
    }

    /// A place is free again; of one that was given up before anything was known, nothing is
    /// learnt.
    pub fn leave(&mut self, ended: Option<Ended>, now_us: u64) -> Vec<Called> {
        debug_assert!(self.inside > 0, "who leaves has entered");
        self.inside = self.inside.saturating_sub(1);
        if let Some(Ended { took_us, conflict }) = ended {
            let seen = &mut self.window.seen;
            seen.ended += 1;
            seen.took_us = seen.took_us.saturating_add(took_us);
            seen.conflicts += u64::from(conflict);
        }
        self.call(now_us)
    }

    /// Somebody waits no more; nothing if it was called already.
    pub fn give_up(&mut self, waiter: WaiterId) {
        self.waiting.retain(|(_, id), _| *id != waiter);
    }

    /// A window is over: what it showed takes effect, and who waited too long is refused.
    pub fn step(&mut self, gauges: Gauges, now_us: u64) -> Vec<Called> {
        let Window { seen, called, waited_us } = core::mem::take(&mut self.window);
        let mean_us = waited_us.checked_div(called).unwrap_or(0);
        let waits = self.waiting.values().map(|since| now_us.saturating_sub(*since));
        // Where nobody is called, those who wait say how long it takes.
        let wait_us = if called == 0 { waits.max().unwrap_or(0) } else { mean_us };
        let wait_ppm = wait_us.saturating_mul(MILLION.into()) / self.limits.wait_us.max(1);
        let wait_ppm = wait_ppm.min(MILLION.into()) as u32;
        // A busy CPU alone is none: that is what it is for.
        let scarce_ppm = gauges.memory_ppm.max(gauges.network_ppm).min(MILLION);
        let overload = wait_ppm == MILLION || scarce_ppm >= EXHAUSTED_PPM;
        self.load_ppm = scarce_ppm.max(gauges.cpu_ppm.min(MILLION)).max(wait_ppm);
        let exhausted = scarce_ppm.max(gauges.cpu_ppm) >= EXHAUSTED_PPM;
        self.share.step(overload);
        self.gradient.observe(Seen { overload, exhausted, ..seen });
        self.window.seen.inside = self.inside;
        let mut called = self.call(now_us);
        let (longest_us, window) = (self.limits.wait_max_us, &mut self.window);
        self.waiting.retain(|(_, waiter), since| {
            let waited_us = now_us.saturating_sub(*since);
            if waited_us < longest_us {
                return true;
            }
            window.count(waited_us);
            called.push(Called { waiter: *waiter, enters: false });
            false
        });
        called
    }

    /// When to come back, for one who is refused.
    pub fn retry_us(&self) -> u64 {
        (RETRY_US * u64::from(MILLION) / u64::from(self.share.ppm())).min(RETRY_US_MAX)
    }

    /// How loaded the node is: of CPU, memory, network and waiting whichever is worst, in parts per
    /// million.
    pub fn load_ppm(&self) -> u32 {
        self.load_ppm
    }

    /// Most that may be inside at once.
    pub fn places(&self) -> u32 {
        self.gradient.places()
    }

    /// Those who have a place.
    pub fn inside(&self) -> u32 {
        self.inside
    }

    /// Those who wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Which share of those who come is let in, in parts per million.
    pub fn share_ppm(&self) -> u32 {
        self.share.ppm()
    }

    /// Calls those in for whom there are places.
    fn call(&mut self, now_us: u64) -> Vec<Called> {
        let mut called = Vec::new();
        while self.inside < self.gradient.places()
            && let Some(((_, waiter), since)) = self.waiting.pop_first()
        {
            self.enter(now_us.saturating_sub(since));
            called.push(Called { waiter, enters: true });
        }
        called
    }

    fn enter(&mut self, waited_us: u64) {
        self.inside += 1;
        self.window.seen.inside = self.window.seen.inside.max(self.inside);
        self.window.count(waited_us);
    }
}

impl Window {
    fn count(&mut self, waited_us: u64) {
        self.called += 1;
        self.waited_us = self.waited_us.saturating_add(waited_us);
    }
}
