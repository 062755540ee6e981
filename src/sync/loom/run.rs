//! Runs the models and their twins, and prints what came of each.

use std::env;
use std::process::{Command, ExitCode, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use vatic_sync::{Fault, with_fault};

/// A few threads that use a structure, and what must hold of them.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    /// What must hold.
    pub(crate) name: &'static str,
    /// How often a thread may be stopped where it could go on; `None`: at every place.
    pub(crate) preemptions_max: Option<usize>,
    /// Fewer than these are no examination: the orders of those steps alone that meet in one place.
    /// loom finds more, and prints how many.
    pub(crate) interleavings_min: u64,
    pub(crate) run: fn(),
    pub(crate) twins: &'static [Twin],
}

/// A broken variant, which must fail.
#[derive(Clone, Copy)]
pub(crate) struct Twin {
    pub(crate) broken: Broken,
    /// What the failure says.
    pub(crate) says: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Broken {
    /// The model as it is, with one line of the crate broken.
    Line(Fault),
    /// Right parts, put together wrongly.
    Use(fn()),
}

/// Names what a process is to run: the model's number, and that of its twin where it is one.
const PART: &str = "VATIC_LOOM_PART";

pub(crate) fn main(models: &[Model]) -> ExitCode {
    if let Ok(part) = env::var(PART) {
        println!("{}", run_part(models, &part));
        return ExitCode::SUCCESS;
    }
    let wanted = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = |model: &Model| wanted.as_ref().is_none_or(|wanted| model.name.contains(wanted));
    let began = Instant::now();
    let (next, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(at) =
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&at| at < models.len())
        {
            if chosen(&models[at]) && !examine(models, at) {
                failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failures.load(Ordering::Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    let models: Vec<&Model> = models.iter().filter(|model| chosen(model)).collect();
    let twins: usize = models.iter().map(|model| model.twins.len()).sum();
    println!("{} models, {twins} twins, {failed} failed, {seconds:.1} s", models.len());
    if failed == 0 && !models.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The model must hold and each of its twins must not. What came of them is printed at once, since
/// others are examined at the same time.
fn examine(models: &[Model], at: usize) -> bool {
    let model = &models[at];
    let began = Instant::now();
    let ran = run_apart(&at.to_string());
    let said = String::from_utf8_lossy(&ran.stdout);
    let interleavings = said.trim().parse::<u64>().ok().filter(|_| ran.status.success());
    let Some(interleavings) = interleavings else {
        println!("{}: FAILED\n{}", model.name, head(&String::from_utf8_lossy(&ran.stderr)));
        return false;
    };
    let bound = model.preemptions_max.map(|max| format!(" (at most {max} preemptions)"));
    let bound = bound.unwrap_or_default();
    let mut report =
        format!("{}: {interleavings} interleavings{bound}, {:.1?}", model.name, began.elapsed());
    let enough = interleavings >= model.interleavings_min;
    if !enough {
        report.push_str(&format!(", TOO FEW: there are {} at least", model.interleavings_min));
    }
    let mut escaped = 0;
    for twin in 0..model.twins.len() {
        let (caught, line) = is_caught(model, at, twin);
        escaped += usize::from(!caught);
        report.push_str(&format!("\n    {line}"));
    }
    println!("{report}");
    escaped == 0 && !model.twins.is_empty() && enough
}

/// Runs through all interleavings; says how many there are. Panics in one that fails.
fn check(run: fn(), preemptions_max: Option<usize>) -> u64 {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions_max;
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        run();
    });
    count.load(Ordering::Relaxed)
}

/// Whether a twin failed as it must, and what is said of it.
fn is_caught(model: &Model, at: usize, twin: usize) -> (bool, String) {
    let Twin { broken, says } = model.twins[twin];
    let what = match broken {
        Broken::Line(fault) => format!("{fault:?}"),
        Broken::Use(_) => "put together wrongly".to_owned(),
    };
    let ran = run_apart(&format!("{at}.{twin}"));
    let said = String::from_utf8_lossy(&ran.stderr);
    let caught = !ran.status.success() && said.contains(says);
    let came_of_it = match (ran.status.success(), caught) {
        (_, true) => format!("caught ({says})"),
        (false, false) => format!("FAILED, but not by {says:?}: {}", head(&said)),
        (true, _) => "NOT CAUGHT".to_owned(),
    };
    (caught, format!("{what}: {came_of_it}"))
}

/// The panic, and not the backtraces of those that followed from it.
fn head(said: &str) -> String {
    said.lines().take(8).collect::<Vec<_>>().join("\n")
}

fn run_apart(part: &str) -> Output {
    let program = env::current_exe().expect("a program knows where it is");
    let mut again = Command::new(program);
    again.env(PART, part).env("RUST_BACKTRACE", "0").output().expect("the program runs again")
}

/// Returns how many interleavings there were.
fn run_part(models: &[Model], part: &str) -> u64 {
    let mut numbers = part.split('.').map(|number| number.parse::<usize>().expect("a number"));
    let model = &models[numbers.next().expect("a part names a model")];
    match numbers.next().map(|twin| model.twins[twin].broken) {
        None => check(model.run, model.preemptions_max),
        Some(Broken::Line(fault)) => with_fault(fault, || check(model.run, model.preemptions_max)),
        Some(Broken::Use(run)) => check(run, model.preemptions_max),
    }
}
