//! Prometheus' text format, as far as tests look at it.

use std::collections::BTreeMap;

/// What one scrape of a node showed: series, with their labels as written, and their values.
#[derive(Debug)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads the text; panics at a line that is none of the format.
    pub fn read(text: &str) -> Scrape {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let value = value.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"));
            (series.to_owned(), value)
        });
        Scrape(series.collect())
    }

    /// The value of a series; panics where there is none, with what there is.
    pub fn is(&self, series: &str) -> f64 {
        let found = self.0.get(series).copied();
        found.unwrap_or_else(|| panic!("no {series} in {:#?}", self.0.keys()))
    }

    /// The sum of a series over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        let of = |series: &str| series.split('{').next() == Some(name);
        self.0.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }
}
