//! The table of broken variants, and who found each.

use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use serde_json::{Value, json};
use vatic_verification::{Broken, Hunts, ModelAsked};

/// One broken variant.
pub(crate) struct Row {
    pub(crate) name: String,
    /// The part of the system that is broken.
    pub(crate) part: &'static str,
    /// Which one it is; none for what threads share.
    pub(crate) broken: Option<Broken>,
    /// What the models said that know its rule.
    pub(crate) models: Vec<ModelAsked>,
    /// What came of the hunts for it.
    pub(crate) hunts: Option<Hunts>,
    /// The model of loom that it is a twin of, and whether that caught it.
    pub(crate) loom: Option<(String, bool)>,
}

impl Row {
    pub(crate) fn of(broken: Broken) -> Row {
        let (name, part) = (broken.name(), broken.part());
        let (models, hunts, loom) = Default::default();
        Row { name, part, broken: Some(broken), models, hunts, loom }
    }

    /// Whether anybody was asked who should find it.
    pub(crate) fn was_looked_for(&self) -> bool {
        !self.models.is_empty() || self.hunts.is_some() || self.loom.is_some()
    }

    /// Whether everybody who was asked found it.
    pub(crate) fn is_caught(&self) -> bool {
        let models = self.models.iter().all(|asked| asked.unique_states.is_some());
        let loom = self.loom.as_ref().is_none_or(|(_, caught)| *caught);
        models && loom && self.hunts.as_ref().is_none_or(Hunts::all_caught)
    }

    /// The models that found it, each once.
    fn found_by(&self) -> Vec<&str> {
        let found = self.models.iter().filter(|asked| asked.unique_states.is_some());
        let mut models: Vec<&str> = found.map(|asked| asked.model).collect();
        models.dedup();
        let loom = self.loom.iter().filter(|(_, caught)| *caught);
        models.into_iter().chain(loom.map(|(model, _)| model.as_str())).collect()
    }

    fn seeds(&self) -> Vec<u64> {
        self.hunts.as_ref().map(Hunts::seeds).unwrap_or_default()
    }

    fn checks(&self) -> Vec<&'static str> {
        let checks = self.hunts.iter().flat_map(Hunts::checks);
        checks.map(|check| check.name()).collect()
    }

    fn cells(&self, seeds_max: u64) -> [String; 6] {
        let seeds = self.seeds();
        let median = median(&seeds).map_or(String::new(), |seeds| seeds.to_string());
        let max = match (&self.hunts, seeds.last()) {
            (None, _) => String::new(),
            (Some(hunts), Some(max)) if hunts.all_caught() => max.to_string(),
            _ => format!("> {seeds_max}"),
        };
        let found_by = match self.is_caught() {
            true => self.found_by().join(", "),
            false => [&["NOT CAUGHT by all"], &self.found_by()[..]].concat().join(", "),
        };
        let checks = self.checks().join(", ");
        [self.name.clone(), self.part.into(), found_by, median, max, checks]
    }

    fn json(&self) -> Value {
        let asked = self.models.iter().map(|asked| {
            let ModelAsked { model, property, unique_states } = asked;
            json!({ "model": model, "property": property, "unique_states": unique_states })
        });
        let seeds = self.seeds();
        json!({
            "name": self.name,
            "part": self.part,
            "caught": self.is_caught(),
            "models": asked.collect::<Vec<_>>(),
            "loom": self.loom.as_ref().map(|(model, _)| model),
            "hunted": self.hunts.is_some(),
            "seeds": seeds,
            "median": median(&seeds),
            "max": seeds.last(),
            "checks": self.checks(),
        })
    }
}

pub(crate) fn print(rows: &[Row], seeds_max: u64, repeat: u64, seconds: f64) {
    let mut table = Table::new();
    let header = ["broken", "in", "models that catch it", "seeds: median", "max", "caught by"];
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    table.set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        table.add_row(row.cells(seeds_max));
    }
    println!("{table}");
    let (caught, of) = (caught(rows), rows.len());
    println!("{caught} of {of} caught, hunted from {repeat} starting points each, {seconds:.0} s");
}

pub(crate) fn json(rows: &[Row], seeds_max: u64, repeat: u64, seconds: f64) -> Value {
    json!({
        "mutants": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "caught": caught(rows),
        "of": rows.len(),
        "seeds_max": seeds_max,
        "repeat": repeat,
        "seconds": seconds,
    })
}

fn caught(rows: &[Row]) -> usize {
    rows.iter().filter(|row| row.is_caught()).count()
}

/// The lower one of two in the middle.
fn median(sorted: &[u64]) -> Option<u64> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}
