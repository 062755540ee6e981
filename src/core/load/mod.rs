//! How much may run at once, and who is let in when not all can be.
//!
//! Three parts, from the inside out. Places: so many transactions run at once as [`Gradient`] finds
//! good, by how long they take and how often they conflict. A queue in front of them, bounded in
//! length and in time, the higher class first. And a bar in front of that: while the queue is
//! waited in for too long, [`Share`] lets in fewer and fewer of those who come, the least ranked
//! left out first ([`Rank`]). [`Ingress`] has all three. Whoever is left out is told at once, and
//! when to come back, having cost next to nothing.
//!
//! What for: a node that is asked for twice what it can do, and tries, does less than it can, and
//! that late.
//!
//! Invariants: integers alone, no clock and no chance (both come in as data), memory bounded by
//! [`LoadLimits`]. As long as nothing waits nobody is left out, whatever the load. Nobody who is
//! let in is let in twice, and none is forgotten: it enters, is refused, or leaves by itself.
//! Nothing here decides whether a transaction commits.

mod gradient;
mod ingress;
mod limits;
mod rank;
mod share;

pub use gradient::{Gradient, Seen};
pub use ingress::{Arrival, Called, Ended, Gauges, Ingress, WaiterId};
pub use limits::LoadLimits;
pub use rank::Rank;
pub use share::Share;

#[cfg(test)]
mod gradient_test;
#[cfg(test)]
mod ingress_test;
