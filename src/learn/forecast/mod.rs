//! Forecasters: from the first transitions of a stream to what it will be when it is finished.
//!
//! All stand behind one trait, learn from finished streams and keep a bounded number of them. They
//! forecast medians: means lose to predicting nothing, since most streams take one of a few courses
//! and none goes between two of them. Same streams in the same order give the same forecasts.
//!
//! [`Ahead`] says in which collections a stream will still write, by its forecast and by what
//! others did.
//!
//! A [`Panel`] runs them side by side, scores each on streams that it has not learnt from, and
//! knows the champion.

mod blend;
mod class_median;
mod context;
mod knn;
mod markov;
mod median;
mod panel;
mod persistence;
mod remainder;
mod stream;
mod writes;

pub use blend::Blend;
pub use class_median::ClassMedian;
pub use knn::Nearest;
pub use markov::MarkovReward;
pub use panel::{Made, Panel};
pub use persistence::Persistence;
pub use stream::{Forecaster, Outlook, Prefix, Step, Symbol, ask_at};
pub use writes::{Ahead, Due, Foreseen, Latest, Place, STREAMS_LAST};

#[cfg(test)]
mod forecast_test;
#[cfg(test)]
mod median_test;
#[cfg(test)]
mod panel_test;
#[cfg(test)]
mod process_test;
#[cfg(test)]
mod writes_test;
