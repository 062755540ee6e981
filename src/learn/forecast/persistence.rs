//! The baseline that needs no learning: nothing more will come.

use super::{Forecaster, Outlook, Prefix};

/// Forecasts the prefix itself.
#[derive(Debug, Default)]
pub struct Persistence;

impl Forecaster for Persistence {
    fn name(&self) -> &'static str {
        "persistence"
    }

    fn learn(&mut self, _: Prefix<'_>) {}

    fn forecast(&self, prefix: Prefix<'_>) -> Outlook {
        Outlook::finished(prefix)
    }
}
