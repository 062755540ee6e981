//! The command that plays recorded runs again through the core alone: simulated ones, or what real
//! nodes wrote down.

use crate::{Output, level, seeds};
use anyhow::{Context, bail};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};
use vatic_core::rules::{Mutant, Rules};
use vatic_models::options;
use vatic_verification::{Options, again, conform_all, play_diaries};

#[derive(clap::Args)]
pub(crate) struct Conform {
    /// How many seeds, from 1; or a range such as 100..200.
    #[arg(long, default_value = "450", value_parser = seeds)]
    seeds: Range<u64>,
    /// What the groups stand on: 1, a log that is assumed; 2, openraft, our log and our store.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    level: u32,
    /// Play what nodes wrote below this folder, where they were started with `--record-events`,
    /// instead of simulated runs.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["seeds", "level"])]
    recorded: Option<PathBuf>,
    /// How many runs at once.
    #[arg(long, default_value_t = 2, value_parser = options::threads)]
    threads: usize,
    /// Play again with this rule of the core switched off, which must differ, if the recording has
    /// ever asked it.
    #[arg(long, value_parser = rule)]
    without: Option<Mutant>,
    /// How to report.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Conform {
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        let rules = self.without.map(Rules::without).unwrap_or_default();
        let began = Instant::now();
        let (counts, differences, violated) = match &self.recorded {
            Some(folder) => self.play_diaries(folder, rules)?,
            None => self.play_seeds(rules),
        };
        differences.iter().for_each(|difference| eprintln!("{difference}"));
        let differences = differences.len() as u64;
        let (counts, seconds) = (counts.into_iter(), began.elapsed().as_secs_f64());
        let counts: Vec<_> = counts.chain([("differences", differences)]).collect();
        match self.output {
            Output::Json => println!("{}", json(&counts, seconds)),
            _ => print_table(&counts, seconds),
        }
        Ok(!violated && differences == 0)
    }

    /// What was played, what differed, and whether a seed violates something.
    fn play_seeds(&self, rules: Rules) -> (Counts, Vec<String>, bool) {
        let options = Options::of(level(self.level));
        let (runs, conformance) = conform_all(self.seeds.clone(), &options, rules, self.threads);
        let failed: Vec<_> = runs.iter().filter(|run| !run.violations.is_empty()).collect();
        for run in &failed {
            eprintln!("seed {} violates something: {}", run.seed, again(run.seed, &options));
        }
        let counts = vec![
            ("seeds", runs.len() as u64),
            ("events", conformance.events()),
            ("commands", conformance.commands),
            ("queries", conformance.queries),
            ("coordinator_events", conformance.coordinator_events),
            ("read_events", conformance.read_events),
            ("queue_events", conformance.queue_events),
            ("projections", conformance.projections.checked),
            ("projected_moves", conformance.projections.moves),
            ("projected_wide", conformance.projections.wide),
            ("projected_twins", conformance.projections.twins),
        ];
        let differences = conformance.differences.into_iter();
        let differences = differences.chain(conformance.projections.strange).collect();
        (counts, differences, !failed.is_empty())
    }

    fn play_diaries(
        &self,
        folder: &Path,
        rules: Rules,
    ) -> anyhow::Result<(Counts, Vec<String>, bool)> {
        let played = play_diaries(folder, rules, self.threads);
        let played = played.with_context(|| format!("reading {}", folder.display()))?;
        if played.files == 0 {
            bail!("there is no diary below {}", folder.display());
        }
        let counts = vec![
            ("files", played.files),
            ("entries", played.entries),
            ("commands", played.commands),
            ("cut_off", played.cut),
            ("without_room", played.full),
        ];
        Ok((counts, played.differences, false))
    }
}

type Counts = Vec<(&'static str, u64)>;

/// The rule of the core of this name.
fn rule(name: &str) -> Result<Mutant, String> {
    let mutant = Mutant::every().find(|mutant| format!("{mutant:?}").eq_ignore_ascii_case(name));
    mutant.ok_or_else(|| format!("{name} is no rule of the core"))
}

fn print_table(counts: &[(&str, u64)], seconds: f64) {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["", ""]);
    for (name, count) in counts {
        table.add_row([name.to_string(), count.to_string()]);
    }
    println!("{table}");
    println!("in {seconds:.1} s");
}

fn json(counts: &[(&str, u64)], seconds: f64) -> serde_json::Value {
    let mut json = serde_json::json!({ "seconds": seconds });
    for &(name, count) in counts {
        json[name] = count.into();
    }
    json
}
