//! etcd as a yardstick: three real processes, and the loads of `vatic bench run` on them.
//!
//! A closed loop like ours: so many clients, each with one call under way, over one connection to
//! each node. A transaction reads both of its records in one call, and writes both in another one,
//! if neither has changed meanwhile; if one has, it begins again at once.

mod calls;
mod load;
mod processes;

pub(crate) use load::{Figures, Load};
pub(crate) use processes::Etcd;
