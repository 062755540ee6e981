//! The command that walks paths of the models over real stores.

use crate::Output;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::time::Instant;
use vatic_core::rules::Rules;
use vatic_models::options;
use vatic_verification::{InLmdb, InMemory, Walked, walk_all, walkable};

#[derive(clap::Args)]
pub(crate) struct Walk {
    /// Most paths for each model; without it, until all steps of its graph were taken.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    paths: u64,
    /// How many states of each model, from the start, have their steps taken.
    #[arg(long, default_value_t = 2_000, value_parser = options::above_none)]
    states: usize,
    /// Over LMDB, or over what stands in for it in memory.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// These models alone, by name.
    #[arg(long, value_delimiter = ',', value_parser = model)]
    models: Vec<&'static str>,
    /// How many models at once.
    #[arg(long, default_value_t = 2, value_parser = options::threads)]
    threads: usize,
    /// How to report.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Store {
    Memory,
    Lmdb,
}

impl Walk {
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        let all = walkable();
        let chosen: Vec<&'static str> = match self.models.is_empty() {
            true => all,
            false => all.into_iter().filter(|name| self.models.contains(name)).collect(),
        };
        let (rules, began) = (Rules::default(), Instant::now());
        let Walk { states, paths, threads, .. } = *self;
        let walked = match self.store {
            Store::Memory => walk_all::<InMemory>(&chosen, states, paths, rules, threads),
            Store::Lmdb => walk_all::<InLmdb>(&chosen, states, paths, rules, threads),
        };
        let seconds = began.elapsed().as_secs_f64();
        let differences = walked.iter().flat_map(|(_, walked)| &walked.differences);
        differences.for_each(|difference| eprintln!("{difference}"));
        match self.output {
            Output::Json => println!("{}", json(&walked, seconds)),
            _ => print_table(&walked, seconds),
        }
        Ok(walked.iter().all(|(_, walked)| walked.differences.is_empty()))
    }
}

/// The model of this name, of which there are paths.
fn model(name: &str) -> Result<&'static str, String> {
    let found = walkable().into_iter().find(|known| *known == name);
    found.ok_or_else(|| format!("the models are {}", walkable().join(", ")))
}

fn sum(walked: &[(&'static str, Walked)], of: impl Fn(&Walked) -> u64) -> u64 {
    walked.iter().map(|(_, walked)| of(walked)).sum()
}

fn print_table(walked: &[(&'static str, Walked)], seconds: f64) {
    let mut table = Table::new();
    let header = ["model", "paths", "commands", "steps of the graph", "all taken"];
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    for (model, walked) in walked {
        let Walked { paths, commands, graph_steps, covered, .. } = walked;
        let [paths, commands, steps] = [paths, commands, graph_steps].map(u64::to_string);
        let covered = if *covered { "yes" } else { "no" };
        table.add_row([model, paths.as_str(), &commands, &steps, covered]);
    }
    println!("{table}");
    let (paths, commands) = (sum(walked, |it| it.paths), sum(walked, |it| it.commands));
    let differences = sum(walked, |it| it.differences.len() as u64);
    println!("{paths} paths, {commands} commands, {differences} differences, in {seconds:.1} s");
}

fn json(walked: &[(&'static str, Walked)], seconds: f64) -> serde_json::Value {
    let models: Vec<serde_json::Value> = walked
        .iter()
        .map(|(model, walked)| {
            serde_json::json!({
                "name": model,
                "paths": walked.paths,
                "commands": walked.commands,
                "graph_steps": walked.graph_steps,
                "covered": walked.covered,
            })
        })
        .collect();
    serde_json::json!({
        "models": models,
        "paths": sum(walked, |it| it.paths),
        "commands": sum(walked, |it| it.commands),
        "differences": sum(walked, |it| it.differences.len() as u64),
        "seconds": seconds,
    })
}
