//! The network between simulated processes: pipes of messages, under a weather.
//!
//! A connection is two pipes. What becomes of a message is asked of the weather when it is sent: it
//! arrives never, once or several times, each after a while, in order or ahead of others. A pipe
//! whose sender is gone ends once what is under way has arrived; one whose receiver is gone takes
//! nothing more. A connection's first message arrives, or else there would be none.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_itself::sync::{Notify, mpsc};
use tokio_itself::time::Instant;

use crate::process::Process;

/// One arrival of a message.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub after: Duration,
    /// It may arrive before what was sent earlier.
    pub overtakes: bool,
}

/// Says when a message from one node to another arrives.
pub type Weather = Box<dyn FnMut(u32, u32) -> Vec<Arrival>>;

/// Both ends of a new connection at the node that was dialled.
pub struct Incoming {
    /// A [`Inbound`] of what the dialler sends.
    pub requests: Box<dyn Any + Send>,
    /// An [`Outbound`] of what it hears.
    pub replies: Box<dyn Any + Send>,
}

struct Listener {
    node: u32,
    number: u64,
    accepted: mpsc::UnboundedSender<Incoming>,
}

#[derive(Default)]
struct Fabric {
    weather: Option<Weather>,
    listeners: BTreeMap<SocketAddr, Listener>,
    last_number: u64,
}

thread_local! {
    static FABRIC: RefCell<Fabric> = RefCell::default();
}

/// Begins a network without connections.
pub fn begin(weather: Weather) {
    FABRIC.set(Fabric { weather: Some(weather), ..Fabric::default() });
}

/// Nobody is there, or nothing listens.
#[derive(Debug)]
pub struct Refused;

/// Connects the current process to whoever listens at `address`. Where the weather loses it, this
/// never returns: who dials has a deadline.
pub async fn dial<Q, A>(address: SocketAddr) -> Result<(Outbound<Q>, Inbound<A>), Refused>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    let from = Process::current().ok_or(Refused)?.node();
    let to = FABRIC.with_borrow(|fabric| fabric.listeners.get(&address).map(|it| it.node));
    let to = to.ok_or(Refused)?;
    let Some(arrival) = forecast(from, to).first().copied() else {
        return std::future::pending().await;
    };
    tokio_itself::time::sleep(arrival.after).await;
    let (request_out, request_in) = pipe::<Q>(from, to);
    let (reply_out, reply_in) = pipe::<A>(to, from);
    let incoming = Incoming { requests: Box::new(request_in), replies: Box::new(reply_out) };
    let taken = FABRIC.with_borrow(|fabric| {
        let listener = fabric.listeners.get(&address)?;
        listener.accepted.send(incoming).ok()
    });
    taken.ok_or(Refused)?;
    Ok((request_out, reply_in))
}

/// Takes an address for the current process; gives the number to release it by.
pub(crate) fn listen(address: SocketAddr) -> (u64, mpsc::UnboundedReceiver<Incoming>) {
    let node = Process::current().expect("a process listens").node();
    let (accepted, incoming) = mpsc::unbounded_channel();
    let number = FABRIC.with_borrow_mut(|fabric| {
        fabric.last_number += 1;
        let number = fabric.last_number;
        fabric.listeners.insert(address, Listener { node, number, accepted });
        number
    });
    (number, incoming)
}

pub(crate) fn release(address: SocketAddr, number: u64) {
    FABRIC.with_borrow_mut(|fabric| {
        if fabric.listeners.get(&address).is_some_and(|held| held.number == number) {
            fabric.listeners.remove(&address);
        }
    });
}

fn forecast(from: u32, to: u32) -> Vec<Arrival> {
    FABRIC.with_borrow_mut(|fabric| match &mut fabric.weather {
        Some(weather) => weather(from, to),
        None => vec![Arrival { after: Duration::ZERO, overtakes: false }],
    })
}

/// Where messages of one direction go in.
pub struct Outbound<M>(Arc<Pipe<M>>);

/// Where they come out.
pub struct Inbound<M>(Arc<Pipe<M>>);

struct Pipe<M> {
    from: u32,
    to: u32,
    state: Mutex<State<M>>,
    arrived: Notify,
    abandoned: Notify,
}

struct State<M> {
    under_way: BTreeMap<(Instant, u64), M>,
    sent: u64,
    latest: Instant,
    sender_is_gone: bool,
    receiver_is_gone: bool,
}

fn pipe<M>(from: u32, to: u32) -> (Outbound<M>, Inbound<M>) {
    let state = Mutex::new(State {
        under_way: BTreeMap::new(),
        sent: 0,
        latest: Instant::now(),
        sender_is_gone: false,
        receiver_is_gone: false,
    });
    let (arrived, abandoned) = (Notify::new(), Notify::new());
    let pipe = Arc::new(Pipe { from, to, state, arrived, abandoned });
    (Outbound(pipe.clone()), Inbound(pipe))
}

impl<M> Pipe<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Clone> Outbound<M> {
    pub fn send(&self, message: M) {
        let mut arrivals = forecast(self.0.from, self.0.to);
        let mut state = self.0.state();
        if arrivals.is_empty() && state.sent == 0 {
            arrivals.push(Arrival { after: Duration::from_millis(1), overtakes: false });
        }
        for Arrival { after, overtakes } in arrivals {
            let mut at = Instant::now() + after;
            if !overtakes {
                at = at.max(state.latest);
                state.latest = at;
            }
            state.sent += 1;
            let sent = state.sent;
            state.under_way.insert((at, sent), message.clone());
        }
        drop(state);
        self.0.arrived.notify_one();
    }
}

impl<M> Outbound<M> {
    /// Returns once nobody receives any more.
    pub async fn abandoned(&self) {
        while !self.0.state().receiver_is_gone {
            self.0.abandoned.notified().await;
        }
    }
}

impl<M> Drop for Outbound<M> {
    fn drop(&mut self) {
        self.0.state().sender_is_gone = true;
        self.0.arrived.notify_one();
    }
}

impl<M> Inbound<M> {
    /// The next message; `None` once the sender is gone and all has arrived. May be dropped and
    /// called again: nothing is lost.
    pub async fn recv(&mut self) -> Option<M> {
        loop {
            let due = {
                let mut state = self.0.state();
                let due = state.under_way.first_key_value().map(|((due, _), _)| *due);
                if due.is_none() && state.sender_is_gone {
                    return None;
                }
                if due.is_some_and(|due| due <= Instant::now()) {
                    return state.under_way.pop_first().map(|(_, message)| message);
                }
                due
            };
            let arrived = self.0.arrived.notified();
            match due {
                None => arrived.await,
                Some(due) => tokio_itself::select! {
                    biased;
                    () = arrived => {}
                    () = tokio_itself::time::sleep_until(due) => {}
                },
            }
        }
    }
}

impl<M> Drop for Inbound<M> {
    fn drop(&mut self) {
        self.0.state().receiver_is_gone = true;
        self.0.abandoned.notify_one();
    }
}
