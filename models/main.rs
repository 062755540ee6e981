//! The binary `vatic-models`: checks the models, or shows one in the browser.
//!
//! Data goes to stdout, progress to stderr. Exit code 0: nothing was found wrong and every mutant
//! was caught, as far as was looked where `--depth` or `--seconds` stopped a check (`complete` in
//! its JSON says whether one did); 1: the explorer cannot listen; 2: a mistake of usage, such as a
//! limit of 0, or no such model or mutant; 5: something does not hold.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{
    io::{IsTerminal, Write},
    net::Ipv4Addr,
    process::{Command as Process, ExitCode, Stdio},
};
use tokio::net::TcpListener;
use vatic_models::{
    catalogue::{self, Choice},
    check::{self, Effort},
    explore::serve::{Tour, serve},
    mutants, options,
    output::{self, Checked},
};

// A check allocates and frees states by the million.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Checks vatic's protocol exhaustively in small worlds.
#[derive(Debug, Parser)]
#[command(name = "vatic-models", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Closes the models' state spaces and checks their properties and mutants; exits with 5 where
    /// something does not hold, and with 0 where nothing was found wrong.
    ///
    /// Where `--depth` or `--seconds` stopped it, what no state has settled is told as such, it is
    /// not `complete`, and 0 says no more than that nothing was found wrong so far. A property of
    /// which what it is about never occurs in a model is told as never met there.
    Check(Check),
    /// Opens an explorer of one model in the browser, and goes on until it is stopped.
    Explore(Explore),
}

#[derive(Debug, Args)]
struct Explore {
    /// The model.
    model: String,
    /// Break this rule, to step through what it is there for.
    #[arg(long)]
    mutant: Option<String>,
    /// The port on loopback; any free one where none is named.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Threads of a search.
    #[arg(long, default_value_t = 2, value_parser = options::threads)]
    threads: usize,
}

#[derive(Debug, Args)]
struct Check {
    /// One model; where none is named, those that every test run closes.
    model: Option<String>,
    /// Check those too that are too large for every test run.
    #[arg(long, conflicts_with = "model")]
    all: bool,
    /// Threads of the checker.
    #[arg(long, default_value_t = 2, value_parser = options::threads)]
    threads: usize,
    /// Follow fewer than this many steps from the start.
    #[arg(long, value_parser = options::above_none)]
    depth: Option<usize>,
    /// Stop each check of a model or of one of its mutants after this many seconds, closed or not.
    #[arg(long, value_parser = options::seconds)]
    seconds: Option<u64>,
    /// Follow each path to its end before the next one: less memory, longer counterexamples. Not
    /// with `--depth`: a state that is met deep is not looked at again when it is met less deep, so
    /// not all that lie within the depth would be followed.
    #[arg(long, conflicts_with = "depth")]
    depth_first: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// A limit; of none, nothing would be looked at, or everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> ExitCode {
    check::silence_caught_panics();
    match Arguments::parse().command {
        Command::Check(check) => check.run(),
        Command::Explore(explore) => explore.run(),
    }
}

impl Check {
    fn run(self) -> ExitCode {
        let Check { model, all, threads, depth, seconds, depth_first, output } = self;
        let otherwise = if all { Choice::All } else { Choice::EveryRun };
        let chosen = catalogue::chosen(model.as_deref().map_or(otherwise, Choice::One));
        if chosen.is_empty() {
            return no_such_model();
        }
        let effort = Effort { threads, depth, seconds, depth_first };
        let mut checked = Vec::new();
        for model in chosen {
            eprintln!("checking {}: {}", model.name, model.about);
            checked.push(Checked::run(&model, effort));
        }
        match output {
            Output::Table => tell(&output::table(&checked)),
            Output::Json => tell(&format!("{}\n", output::json(&checked))),
        }
        match checked.iter().all(Checked::holds) {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(5),
        }
    }
}

/// Prints what was found. Whoever reads no further has heard enough.
fn tell(found: &str) {
    let _ = std::io::stdout().write_all(found.as_bytes());
}

impl Explore {
    fn run(self) -> ExitCode {
        let Some(model) = catalogue::named(&self.model) else { return no_such_model() };
        let mutant = match self.mutant.as_deref().map(mutants::named) {
            Some(None) => return no_such_mutant(),
            mutant => mutant.flatten(),
        };
        let tour = Tour { model, mutant, threads: self.threads };
        match explore(tour, self.port) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the explorer cannot listen: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

#[tokio::main]
async fn explore(tour: Tour, port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    println!("{url}");
    if std::io::stdout().is_terminal() {
        // Without a desktop the address above has to do.
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let _ = Process::new(opener).arg(&url).stderr(Stdio::null()).spawn();
    }
    serve(tour, listener).await
}

fn no_such_model() -> ExitCode {
    let names: Vec<&str> = catalogue::all().iter().map(|entry| entry.name).collect();
    eprintln!("there is no such model; there are {}", names.join(", "));
    ExitCode::from(2)
}

fn no_such_mutant() -> ExitCode {
    let names: Vec<String> = mutants::all().map(|mutant| format!("{mutant:?}")).collect();
    eprintln!("there is no such mutant; there are {}", names.join(", "));
    ExitCode::from(2)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn depth_first_within_a_depth_is_refused() {
        let parsed = |options: &[&str]| {
            let arguments = ["vatic-models", "check", "recovery"].iter().chain(options);
            Arguments::try_parse_from(arguments)
        };
        let refused = parsed(&["--depth-first", "--depth", "5"]).expect_err("it is refused");
        assert_eq!(refused.kind(), clap::error::ErrorKind::ArgumentConflict);
        for options in [&["--depth-first"][..], &["--depth", "5"]] {
            assert!(parsed(options).is_ok(), "{options:?}");
        }
    }

    #[test]
    fn limit_of_nothing_is_refused_with_its_name_and_its_value() {
        let refused = [
            ("check", "--depth", "0"),
            ("check", "--threads", "0"),
            ("check", "--seconds", "0"),
            ("check", "--seconds", "soon"),
            ("check", "--seconds", "18446744073709551615"),
            ("check", "--threads", "100000"),
            ("explore", "--threads", "0"),
        ];
        for (command, limit, value) in refused {
            let arguments = ["vatic-models", command, "recovery", limit, value];
            let error = Arguments::try_parse_from(arguments).expect_err("it is refused");
            let said = error.to_string();
            assert!(said.contains(limit) && said.contains(value), "{command}: {said}");
            assert_eq!(error.exit_code(), 2, "{command}: {said}");
        }
    }
}
