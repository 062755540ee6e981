//! The crash-disk drill: seeded work on a log whose disk forgets, cut at every operation, against a
//! reference model of what may and what must be there afterwards.
//!
//! `script` says what is done, `payload` with which bytes, `model` what it means, `world` runs it
//! on a real `Log` over the simulated disk, `judge` compares, `run` crashes it everywhere and
//! counts. The drill has to be able to fail: on a disk whose sync does nothing it must find losses,
//! and a test demands that.

mod judge;
mod model;
mod payload;
mod run;
mod script;
mod world;

#[cfg(test)]
pub(crate) use payload::forged;
pub use run::{Drill, Summary, Violation};
#[cfg(test)]
pub(crate) use script::{Command, replica};
#[cfg(test)]
pub(crate) use world::World;
