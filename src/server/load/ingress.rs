//! Those who wait for a place, and those who have one.
//!
//! Invariants: a place is given back when it is dropped, wherever that happens, also on its way to
//! somebody who waits no more; nobody is told anything while the lock is held, since what is told
//! to nobody is dropped then and there.

use crate::{status::ApiError, time};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{sync::oneshot, time::Instant};
use vatic_core::load::{self, Arrival, Called, Ended, Gauges, LoadLimits, Rank, WaiterId};

const HOUR_US: u64 = 3_600_000_000;

/// See the module. Clones are the same.
#[derive(Clone)]
pub(crate) struct Ingress(Arc<Inside>);

struct Inside {
    by_class: bool,
    began: Instant,
    desk: Mutex<Desk>,
}

struct Desk {
    core: load::Ingress,
    waiting: BTreeMap<WaiterId, oneshot::Sender<Place>>,
}

/// One who was not refused at once.
pub(crate) enum Entering {
    At(Place),
    Waits(Wait),
}

/// Gives up when dropped.
pub(crate) struct Wait {
    ingress: Ingress,
    waiter: WaiterId,
    called: oneshot::Receiver<Place>,
}

/// Whoever has it may run.
pub(crate) struct Place {
    ingress: Ingress,
    since: Instant,
    ended: Option<Ended>,
}

/// What there is to tell of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) load_ppm: u32,
    pub(crate) share_ppm: u32,
    pub(crate) places: u32,
    pub(crate) inside: u32,
    pub(crate) waiting: usize,
}

impl Ingress {
    /// `by_class`: whether a higher class goes first.
    pub(crate) fn new(limits: LoadLimits, by_class: bool) -> Ingress {
        let desk = Desk { core: load::Ingress::new(limits), waiting: BTreeMap::new() };
        Ingress(Arc::new(Inside { by_class, began: Instant::now(), desk: Mutex::new(desk) }))
    }

    pub(super) fn arrive(&self, class: u8, user: u64) -> Result<Entering, ApiError> {
        let class = if self.0.by_class { class } else { 0 };
        let rank = Rank::new(class, user, time::now().0 / HOUR_US, rand::random());
        let now_us = self.now_us();
        let (entering, gives_way) = self.with(|desk| {
            let (arrival, called) = desk.core.arrive(rank, now_us);
            // Dropped after the lock: it is told that way.
            let gives_way = called.and_then(|called| desk.waiting.remove(&called.waiter));
            let entering = match arrival {
                Arrival::Enters => Ok(None),
                Arrival::Waits(waiter) => {
                    let (call, called) = oneshot::channel();
                    desk.waiting.insert(waiter, call);
                    Ok(Some((waiter, called)))
                }
                Arrival::Refused => Err(overloaded(desk)),
            };
            (entering, gives_way)
        });
        drop(gives_way);
        Ok(match entering? {
            None => Entering::At(self.place()),
            Some((waiter, called)) => {
                Entering::Waits(Wait { ingress: self.clone(), waiter, called })
            }
        })
    }

    /// A window is over.
    pub(super) fn step(&self, gauges: Gauges) {
        let now_us = self.now_us();
        self.call(|core| core.step(gauges, now_us));
    }

    pub(crate) fn told(&self) -> Told {
        self.with(|desk| Told {
            load_ppm: desk.core.load_ppm(),
            share_ppm: desk.core.share_ppm(),
            places: desk.core.places(),
            inside: desk.core.inside(),
            waiting: desk.core.waiting(),
        })
    }

    /// Does something after which others may have a place, or none to hope for.
    fn call(&self, change: impl FnOnce(&mut load::Ingress) -> Vec<Called>) {
        let told = self.with(|desk| {
            let called = change(&mut desk.core);
            let told = called
                .into_iter()
                .map(|Called { waiter, enters }| (desk.waiting.remove(&waiter), enters));
            told.collect::<Vec<_>>()
        });
        for (call, enters) in told {
            // Not called in: it is told by the drop.
            let Some((call, true)) = call.map(|call| (call, enters)) else { continue };
            // Who waits no more gives it back by dropping it.
            let _ = call.send(self.place());
        }
    }

    fn place(&self) -> Place {
        Place { ingress: self.clone(), since: Instant::now(), ended: None }
    }

    fn now_us(&self) -> u64 {
        self.0.began.elapsed().as_micros() as u64
    }

    fn with<T>(&self, with: impl FnOnce(&mut Desk) -> T) -> T {
        with(&mut self.0.desk.lock().expect("no holder panics"))
    }
}

impl Entering {
    pub(super) async fn entered(self, deadline: Instant) -> Result<Place, ApiError> {
        match self {
            Entering::At(place) => Ok(place),
            Entering::Waits(mut wait) => {
                match tokio::time::timeout_at(deadline, &mut wait.called).await {
                    Ok(Ok(place)) => Ok(place),
                    Ok(Err(_)) | Err(_) => Err(wait.ingress.with(|desk| overloaded(desk))),
                }
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let call = self.ingress.with(|desk| {
            let call = desk.waiting.remove(&self.waiter);
            if call.is_some() {
                desk.core.give_up(self.waiter);
            }
            call
        });
        drop(call);
    }
}

impl Place {
    /// It ends now: whether by a conflict, or `None` where nothing is to be learnt from it.
    pub(crate) fn end(mut self, conflict: Option<bool>) {
        let took_us = self.since.elapsed().as_micros() as u64;
        self.ended = conflict.map(|conflict| Ended { took_us, conflict });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (ended, now_us) = (self.ended, self.ingress.now_us());
        self.ingress.call(|core| core.leave(ended, now_us));
    }
}

fn overloaded(desk: &Desk) -> ApiError {
    ApiError::Overloaded { retry_us: desk.core.retry_us() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn one_place() -> Ingress {
        let limits = LoadLimits { places_first: 1, places_min: 1, ..LoadLimits::production() };
        Ingress::new(limits, true)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn place_goes_on_to_who_waits_and_past_who_does_not_any_more() {
        let ingress = one_place();
        let first = ingress.arrive(0, 1).unwrap().entered(soon()).await.unwrap();
        let (gone, waits) = (ingress.arrive(0, 1).unwrap(), ingress.arrive(0, 1).unwrap());
        let called = ingress.arrive(9, 1).unwrap();
        assert_eq!((ingress.told().inside, ingress.told().waiting), (1, 3));
        drop(gone);
        drop(first);
        // It has been called, and drops its call unheard.
        drop(called);
        let place = waits.entered(soon()).await.unwrap();
        assert_eq!((ingress.told().inside, ingress.told().waiting), (1, 0));
        drop(place);
        assert_eq!(ingress.told().inside, 0);
    }

    #[tokio::test]
    async fn higher_class_goes_first_unless_the_node_does_without_priority() {
        for by_class in [true, false] {
            let limits = LoadLimits { places_first: 1, places_min: 1, ..LoadLimits::production() };
            let ingress = Ingress::new(limits, by_class);
            let first = ingress.arrive(0, 1).unwrap().entered(soon()).await.unwrap();
            let (low, high) = (ingress.arrive(0, 1).unwrap(), ingress.arrive(9, 1).unwrap());
            drop(first);
            let (called, waits) = if by_class { (high, low) } else { (low, high) };
            let place = called.entered(soon()).await.unwrap();
            assert_eq!(ingress.told().waiting, 1);
            drop(waits);
            drop(place);
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused_and_told_when_to_come_back() {
        let limits = LoadLimits {
            places_first: 1,
            places_min: 1,
            wait_max_us: 0,
            ..LoadLimits::production()
        };
        let ingress = Ingress::new(limits, true);
        let _place = ingress.arrive(0, 1).unwrap();
        let waits = ingress.arrive(0, 1).unwrap();
        ingress.step(Gauges::default());
        let Err(ApiError::Overloaded { retry_us }) = waits.entered(soon()).await else {
            panic!("there was no place");
        };
        assert!(retry_us > 0);
    }
}
