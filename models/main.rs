//! The binary `vatic-models`: checks the models from the command line.
//!
//! Data goes to stdout, progress to stderr. Exit code 0: everything holds and every mutant was
//! caught; 2: there is no such model; 5: something does not hold.

use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;
use vatic_models::{
    check,
    commit::{plan::Scenario, scenarios},
    output,
    output::Checked,
};

/// Checks vatic's commit protocol exhaustively in small worlds.
#[derive(Debug, Parser)]
#[command(name = "vatic-models", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Closes the models' state spaces and checks their properties and mutants.
    Check {
        /// One model; all where none is named.
        model: Option<String>,
        /// Threads of the checker.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// How to print the result.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> ExitCode {
    let Command::Check { model, threads, output } = Arguments::parse().command;
    let Some(chosen) = choose(model.as_deref()) else {
        let names: Vec<&str> = scenarios::all().iter().map(|scenario| scenario.name).collect();
        eprintln!("there is no such model; there are {}", names.join(", "));
        return ExitCode::from(2);
    };
    check::silence_caught_panics();
    let mut checked = Vec::new();
    for scenario in chosen {
        eprintln!("checking {}: {}", scenario.name, scenario.about);
        checked.push(Checked::run(scenario, threads));
    }
    match output {
        Output::Table => print!("{}", output::table(&checked)),
        Output::Json => println!("{}", output::json(&checked)),
    }
    match checked.iter().all(Checked::holds) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(5),
    }
}

fn choose(model: Option<&str>) -> Option<Vec<Scenario>> {
    match model {
        None => Some(scenarios::all()),
        Some(name) => scenarios::named(name).map(|scenario| vec![scenario]),
    }
}
