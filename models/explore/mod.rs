//! The explorer: a model's states one by one, in the browser.
//!
//! [`view`] makes what is shown of a state, [`serve`] hands it out on loopback together with the
//! page, which is one file without outside help.

pub mod serve;
pub mod view;

#[cfg(test)]
mod browser_test;
#[cfg(test)]
mod serve_test;
