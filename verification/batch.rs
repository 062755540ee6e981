//! The command that runs seeds: a batch of them, with twins of some, and its verdict.

use crate::{broken, level, misused, report, seeds, twins};
use anyhow::Context;
use clap::ValueEnum;
use std::{
    collections::BTreeSet,
    ops::Range,
    time::{Duration, Instant},
};
use vatic_verification::{Batch, Broken, Check, Family, Options, Run, again, run, shrink};

#[derive(clap::Args)]
pub(crate) struct Simulate {
    /// How many seeds, from 1; or a range such as 100..200.
    #[arg(long, default_value = "800", value_parser = seeds, conflicts_with = "seed")]
    seeds: Range<u64>,
    /// One seed only.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..u64::MAX))]
    seed: Option<u64>,
    /// Run every so manieth seed of the batch twice more, each time in a process of its own, and
    /// compare what the three report byte for byte; 0 for none.
    #[arg(long, default_value_t = 10)]
    twins: u64,
    /// Go on with further seeds for so long instead of stopping at the range's end.
    #[arg(long, value_parser = amount, conflicts_with = "seed")]
    minutes: Option<f64>,
    /// Simulated seconds of load and faults for each seed, in the world's time.
    #[arg(long, value_parser = amount)]
    seconds: Option<f64>,
    /// What the groups stand on: 1, a log that is assumed; 2, openraft, our log and our store. It
    /// is 1, and 2 where what is broken is below the core.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2))]
    level: Option<u32>,
    /// Families of misfortune to allow, by name; all, if none is named; `none` alone for none.
    #[arg(long, value_delimiter = ',', value_parser = family)]
    faults: Vec<String>,
    /// Of each seed that fails, look for the shortest load and the fewest faults that do it.
    #[arg(long)]
    shrink: bool,
    /// How to report.
    #[arg(long, value_enum, default_value = "table")]
    output: Form,
    /// Break something on purpose, by name.
    #[arg(long, value_parser = broken)]
    broken: Option<Broken>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
    Junit,
}

impl Simulate {
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        self.refuse_contradictions();
        let options = self.options();
        let seeds = match self.seed {
            Some(seed) => seed..seed + 1,
            None => self.seeds.clone(),
        };
        let began = Instant::now();
        let until = self.minutes.map(|minutes| began + Duration::from_secs_f64(minutes * 60.0));
        let goes_on = |seed: &u64| match until {
            Some(until) => *seed == seeds.start || Instant::now() < until,
            None => seeds.contains(seed),
        };
        let (mut batch, mut runs, mut twins) = (Batch::default(), Vec::new(), 0);
        for seed in (seeds.start..u64::MAX).take_while(goes_on) {
            let mut run = run(seed, &options);
            if self.twins > 0 && (batch.seeds + 1).is_multiple_of(self.twins) {
                run.violations.extend(twins::difference(&run, &options)?);
                twins += 1;
            }
            self.report_failure(&run, &options);
            runs.push(run.clone());
            batch.add(run);
        }
        let seconds = began.elapsed().as_secs_f64();
        match self.output {
            Form::Table => report::print_table(&batch, twins, &options, seconds),
            Form::Json => println!("{}", report::json(&batch, twins, &options, seconds)),
            Form::Junit => println!("{}", report::junit(&batch, &runs, &options)),
        }
        let shortcomings = report::shortcomings(&batch, &options);
        shortcomings.iter().for_each(|shortcoming| eprintln!("too little: {shortcoming}"));
        Ok(batch.failed.is_empty() && shortcomings.is_empty())
    }

    /// One seed's report, on one line.
    pub(crate) fn once(&self) -> anyhow::Result<bool> {
        let seed = self.seed.context("of which seed?")?;
        let run = run(seed, &self.options());
        println!("{}", report::line(&run));
        Ok(run.violations.is_empty())
    }

    /// Ends the process where two arguments cannot both be had.
    fn refuse_contradictions(&self) {
        if let (Some(1), Some(broken @ Broken::Below(_))) = (self.level, self.broken) {
            misused(format!("{} is below the core: it is met at --level 2", broken.name()));
        }
        if self.faults.len() > 1 && self.faults.iter().any(|name| name == NONE) {
            misused(format!("--faults {NONE} goes with no other"));
        }
    }

    fn options(&self) -> Options {
        let mut options = Options::of(level(self.level.unwrap_or(1)));
        if let Some(seconds) = self.seconds {
            options.load_us = (seconds * 1e6).round() as u64;
        }
        if !self.faults.is_empty() {
            options.families = self.faults.iter().filter_map(|name| Family::named(name)).collect();
        }
        self.broken.map_or(options.clone(), |broken| broken.options(&options))
    }

    fn report_failure(&self, run: &Run, options: &Options) {
        // Some are found again and again as the run goes on.
        let mut told = BTreeSet::new();
        let found = run.violations.iter().map(ToString::to_string);
        for violation in found.filter(|violation| told.insert(violation.clone())) {
            eprintln!("seed {}: {violation}", run.seed);
        }
        if run.violations.is_empty() {
            return;
        }
        let repeats = run.violations.iter().any(|found| found.check == Check::Repeats);
        let twins = if repeats { " --twins 1" } else { "" };
        eprintln!("run it again: {}{twins}", again(run.seed, options));
        if !self.shrink {
            return;
        }
        match shrink(run.seed, options) {
            Some(least) => eprintln!("with less: {}", again(run.seed, &least)),
            None => eprintln!("with less: only its twins can tell, so nothing was left out"),
        }
    }
}

/// More minutes or seconds than anybody waits for.
const AMOUNT_MAX: f64 = 1e6;

/// A number of minutes or seconds; of none nothing would come.
fn amount(text: &str) -> Result<f64, String> {
    let amount = text.parse().map_err(|error: std::num::ParseFloatError| error.to_string())?;
    let fits = amount > 0.0 && amount <= AMOUNT_MAX;
    fits.then_some(amount).ok_or_else(|| format!("it must be above 0, and {AMOUNT_MAX} at most"))
}

/// No misfortune.
const NONE: &str = "none";

/// The name of a family of misfortune, or that of none.
fn family(name: &str) -> Result<String, String> {
    if name == NONE || Family::named(name).is_some() {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = Family::ALL.iter().map(|family| family.name()).collect();
    Err(format!("there are {}, and {NONE}", names.join(", ")))
}
