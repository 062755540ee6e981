//! The conflict model as it is learnt: samples in, a quantized model out.
//!
//! [`Learner`] is fed what was known of each mutation when it was scored and what became of it, in
//! the order of outcomes, and offers the model to score the next ones with. A fit is one call and
//! its result depends on the samples and the seed alone, so a server may run the loop on a thread
//! and a replay inline, with the same models.
//!
//! Invariant: a model that was not shown to be better on labels that it had not seen never takes
//! the place of another.

mod calibrate;
mod entry;
mod factors;
mod fit;
mod learner;
mod lineage;
pub mod measure;
mod offered;
mod random;
mod rules;
mod sample;
mod train;

pub use learner::{Learner, Mode, Status};
pub use offered::Offered;
pub use rules::Rules;
pub use sample::Sample;

#[cfg(test)]
mod fit_test;
#[cfg(test)]
mod fixed_test;
#[cfg(test)]
mod learner_test;
#[cfg(test)]
mod measure_test;
#[cfg(test)]
mod offered_test;
#[cfg(test)]
mod synthetic_test;
