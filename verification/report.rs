//! What a batch of seeds came to, as a table, as JSON and as JUnit's XML.

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde_json::Value as Json;
use vatic_verification::{Batch, Fault, Faults, Options, Probe, Probes, Run, again};

/// Why a batch was too tame; nothing is said of one that is not judged by that.
pub(crate) fn shortcomings(batch: &Batch, options: &Options) -> Vec<String> {
    if batch.is_judged(options) { batch.shortcomings(options.level) } else { Vec::new() }
}

fn seeds_per_minute(batch: &Batch, seconds: f64) -> u64 {
    (batch.seeds as f64 * 60.0 / seconds.max(1e-9)) as u64
}

/// For people.
pub(crate) fn print_table(batch: &Batch, twins: u64, options: &Options, seconds: f64) {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["", ""]);
    let mut row = |name: &str, value: String| {
        table.add_row([name, &value]);
    };
    row("seeds", batch.seeds.to_string());
    row("seeds run in three processes", twins.to_string());
    row("seeds that failed", batch.failed.len().to_string());
    row("committed", batch.committed.to_string());
    row("rolled back", batch.rolled_back.to_string());
    row("strict and snapshot reads", batch.reads.to_string());
    row("simulated seconds", format!("{:.1}", batch.simulated_us as f64 / 1e6));
    row("seeds a minute, one core", seeds_per_minute(batch, seconds).to_string());
    row("trace", format!("{:016x}", batch.trace));
    for &fault in Fault::ALL {
        row(&format!("fault {}", fault.name()), batch.faults.count(fault).to_string());
    }
    for &probe in Probe::ALL {
        row(&format!("probe {}", probe.name()), batch.probes.count(probe).to_string());
    }
    println!("{table}");
    if !batch.is_judged(options) {
        let seeds = options.level.batch_seeds_min();
        println!("whether that is enough is asked of {seeds} seeds or more, with all faults");
    }
}

/// One JSON document.
pub(crate) fn json(batch: &Batch, twins: u64, options: &Options, seconds: f64) -> Json {
    let violations: Vec<_> = batch.failed.iter().flat_map(violations).collect();
    serde_json::json!({
        "seeds": batch.seeds,
        "twins": twins,
        "violations": violations,
        "judged": batch.is_judged(options),
        "shortcomings": shortcomings(batch, options),
        "faults": faults(&batch.faults),
        "probes": probes(&batch.probes),
        "simulated_seconds": batch.simulated_us as f64 / 1e6,
        "transactions": batch.committed,
        "rolled_back": batch.rolled_back,
        "reads": batch.reads,
        "seeds_per_minute": seeds_per_minute(batch, seconds),
        "trace_hash": format!("{:016x}", batch.trace),
    })
}

/// One run as JSON, of which every byte follows from its seed.
pub(crate) fn line(run: &Run) -> Json {
    serde_json::json!({
        "seed": run.seed,
        "violations": violations(run).collect::<Vec<_>>(),
        "faults": faults(&run.faults),
        "probes": probes(&run.probes),
        "simulated_us": run.simulated_us,
        "transactions": run.committed,
        "rolled_back": run.rolled_back,
        "reads": run.reads,
        "trace_hash": format!("{:016x}", run.trace),
    })
}

fn violations(run: &Run) -> impl Iterator<Item = Json> {
    run.violations.iter().map(|found| {
        serde_json::json!({
            "seed": run.seed, "check": found.check.name(), "detail": found.detail,
        })
    })
}

fn faults(faults: &Faults) -> Json {
    Fault::ALL.iter().map(|&fault| (fault.name(), faults.count(fault))).collect()
}

fn probes(probes: &Probes) -> Json {
    Probe::ALL.iter().map(|&probe| (probe.name(), probes.count(probe))).collect()
}

/// One test case a seed, as build servers read them, and one for the batch where that is judged.
pub(crate) fn junit(batch: &Batch, runs: &[Run], options: &Options) -> String {
    let (judged, shortcomings) = (batch.is_judged(options), shortcomings(batch, options));
    let failed = batch.failed.len() + usize::from(!shortcomings.is_empty());
    let (count, level) = (runs.len() + usize::from(judged), options.level.number());
    let suite = format!("simulation.level{level}");
    let mut text =
        format!("<testsuite name=\"{suite}\" tests=\"{count}\" failures=\"{failed}\">\n");
    for run in runs {
        text += &format!("  <testcase classname=\"{suite}\" name=\"seed {}\"", run.seed);
        if run.violations.is_empty() {
            text += "/>\n";
            continue;
        }
        text += ">\n";
        for violation in &run.violations {
            let (kind, what) = (violation.check.name(), escaped(&violation.to_string()));
            let how = escaped(&again(run.seed, options));
            text += &format!("    <failure type=\"{kind}\" message=\"{what}\">{how}</failure>\n");
        }
        text += "  </testcase>\n";
    }
    if judged {
        text += &format!("  <testcase classname=\"{suite}\" name=\"batch\">\n");
        for shortcoming in &shortcomings {
            let what = escaped(shortcoming);
            text += &format!("    <failure type=\"shortcoming\" message=\"{what}\"/>\n");
        }
        text += "  </testcase>\n";
    }
    text + "</testsuite>"
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}
