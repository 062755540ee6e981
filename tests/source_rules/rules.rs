//! The rules about single files: form, names and what may be named where.
//!
//! Each is a function from a file to its faults. A rule that is about the code looks at the code
//! alone, so that a comment may say what the code must not do.

use crate::text::{Fault, Source, functions, words};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

/// A file named so is about nothing.
const BANNED_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "shared_utils"];

const BANNED_MACROS: [&str; 3] = ["todo", "dbg", "unimplemented"];

/// Time, chance, I/O, and arithmetic that differs from machine to machine.
const IMPURE: [&str; 8] = ["std", "tokio", "rand", "f32", "f64", "tonic", "openraft", "heed"];

/// What threads share without a lock around all of it: loom must see it.
const SHARED_STATE: [&str; 6] =
    ["Condvar", "AtomicBool", "AtomicU32", "AtomicU64", "AtomicUsize", "loom"];

/// A word and the only files that may name it: a folder ends in `/`.
struct Seam {
    word: &'static str,
    why: &'static str,
    allowed: &'static [&'static str],
}

const SEAMS: [Seam; 6] = [
    Seam {
        word: "openraft",
        why: "openraft types stop at the consensus crate",
        allowed: &["src/consensus/", "verification/stand_in/"],
    },
    Seam {
        word: "heed",
        why: "heed types stop at the store's lmdb.rs",
        allowed: &[
            "src/store/lmdb.rs",
            "src/store/lmdb_test.rs",
            "verification/deployment/node.rs",
            "verification/deployment/start.rs",
            "verification/paths/shelf.rs",
        ],
    },
    Seam {
        word: "vatic_proto",
        why: "generated types stop at the services, at convert.rs and at the transport",
        allowed: &[
            "proto/",
            "tests/",
            "verification/stand_in/",
            "src/client/anomalies.rs",
            "src/client/attempt.rs",
            "src/client/call.rs",
            "src/client/chains.rs",
            "src/client/client.rs",
            "src/client/cluster.rs",
            "src/client/conflicts.rs",
            "src/client/convert.rs",
            "src/client/convert_test.rs",
            "src/client/error.rs",
            "src/client/error_test.rs",
            "src/client/fake_test.rs",
            "src/client/fuzz.rs",
            "src/client/lane.rs",
            "src/client/pipeline.rs",
            "src/client/policies.rs",
            "src/client/queue.rs",
            "src/client/reads.rs",
            "src/client/run.rs",
            "src/client/stream.rs",
            "src/client/submit.rs",
            "src/consensus/node.rs",
            "src/consensus/transport/",
            "src/server/anomaly_service.rs",
            "src/server/api.rs",
            "src/server/cluster_service.rs",
            "src/server/conflict_service.rs",
            "src/server/conflict_watch.rs",
            "src/server/convert.rs",
            "src/server/explain.rs",
            "src/server/foresight/convert.rs",
            "src/server/fuzz.rs",
            "src/server/node.rs",
            "src/server/operation.rs",
            "src/server/outcome.rs",
            "src/server/peek.rs",
            "src/server/peer_client.rs",
            "src/server/peer_client_test.rs",
            "src/server/peer_service.rs",
            "src/server/pipeline.rs",
            "src/server/policy_service.rs",
            "src/server/queue/",
            "src/server/records.rs",
            "src/server/rollback.rs",
            "src/server/status.rs",
            "src/server/strategy.rs",
            "src/server/stream.rs",
            "src/server/submit.rs",
        ],
    },
    Seam {
        word: "SystemTime",
        why: "the wall clock is read at the edges alone",
        allowed: &["src/server/time.rs", "src/client/request.rs", "verification/", "tests/"],
    },
    Seam {
        word: "vatic_server",
        why: "the server is reached over its sockets, and started by the command line alone",
        allowed: &["src/server/", "src/cli/start.rs", "tests/fuzz/"],
    },
    Seam {
        word: "rustix",
        why: "the operating system is named where files and processes are",
        allowed: &["src/log/", "src/store/", "src/cli/", "tests/node.rs", "benches/cluster.rs"],
    },
];

pub(crate) fn header(source: &Source) -> Vec<Fault> {
    let first = source.text.lines().next().unwrap_or_default();
    let said = first.strip_prefix("//!").is_some_and(|header| !header.trim().is_empty());
    if said { vec![] } else { vec![source.fault(1, "the file does not open with `//!`")] }
}

pub(crate) fn file_length(source: &Source) -> Vec<Fault> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return vec![];
    }
    vec![source.fault(0, format!("{lines} lines, the limit is {FILE_LINES_MAX}"))]
}

pub(crate) fn width(source: &Source) -> Vec<Fault> {
    let lines = (1..).zip(source.text.lines());
    let wide = lines.filter(|(_, line)| line.chars().count() > LINE_COLUMNS_MAX);
    wide.map(|(line, text)| {
        source.fault(line, format!("{} columns, the limit is 100", text.chars().count()))
    })
    .collect()
}

pub(crate) fn function_length(source: &Source) -> Vec<Fault> {
    let long = functions(&source.code).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
    long.map(|function| {
        let (name, lines) = (&function.name, function.lines);
        let what = format!("fn {name} has {lines} lines, the limit is {FUNCTION_LINES_MAX}");
        source.fault(function.line, what)
    })
    .collect()
}

pub(crate) fn names(source: &Source) -> Vec<Fault> {
    let parts = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
    let mut faults: Vec<Fault> = parts
        .filter(|part| BANNED_NAMES.contains(part))
        .map(|part| source.fault(0, format!("{part:?} says nothing of what is in it")))
        .collect();
    for (line, code) in source.code_lines() {
        for name in BANNED_NAMES {
            let found = words(code, name).any(|at| code[..at].trim_end().ends_with("mod"));
            faults.extend(found.then(|| source.fault(line, format!("a module named {name:?}"))));
        }
    }
    faults
}

pub(crate) fn naming_of_tests(source: &Source) -> Vec<Fault> {
    let named = functions(&source.code).into_iter();
    let named = named.filter(|f| f.is_test && f.name.starts_with("test_"));
    named
        .map(|f| source.fault(f.line, format!("{}: say subject, condition, outcome", f.name)))
        .collect()
}

pub(crate) fn unfinished(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, code) in source.code_lines() {
        for name in BANNED_MACROS {
            let called = words(code, name).any(|at| code[at + name.len()..].starts_with('!'));
            faults.extend(called.then(|| source.fault(line, format!("{name}!"))));
        }
    }
    faults
}

/// The core runs in the server, in the models and in the simulator alike.
pub(crate) fn pure_core(source: &Source) -> Vec<Fault> {
    if !source.is_in("src/core") {
        return vec![];
    }
    let mut faults = Vec::new();
    for (line, code) in source.code_lines() {
        for name in IMPURE {
            let used = words(code, name).next().is_some();
            faults.extend(used.then(|| source.fault(line, format!("the core names {name}"))));
        }
    }
    if source.path == "src/core/lib.rs" {
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            let missing = !source.code.contains(attribute);
            faults.extend(missing.then(|| source.fault(1, format!("{attribute} is missing"))));
        }
    }
    faults
}

pub(crate) fn seams(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for Seam { word, why, allowed } in &SEAMS {
        let may = |at: &&str| source.path == **at || (at.ends_with('/') && under(source, at));
        if allowed.iter().any(may) {
            continue;
        }
        for (line, code) in source.code_lines() {
            let named = words(code, word).next().is_some();
            faults.extend(named.then(|| source.fault(line, format!("{word}: {why}"))));
        }
    }
    faults
}

fn under(source: &Source, folder: &str) -> bool {
    source.is_in(folder.trim_end_matches('/'))
}

/// What runs in a node keeps what loom must see in one crate, and that names its parts in one file.
/// Tests, simulations and measurements may count as they like.
pub(crate) fn shared_state(source: &Source) -> Vec<Fault> {
    let in_node = ["src/core", "src/log", "src/store", "src/consensus", "src/server"];
    let beside = ["/drill/", "/examples/", "_test.rs", "/testbed", "/sim_disk.rs"];
    let named = |word: &'static str| {
        let found = source.code_lines().filter(move |(_, code)| words(code, word).next().is_some());
        found.map(move |(line, _)| source.fault(line, format!("{word}: it belongs into src/sync")))
    };
    if source.is_in("src/sync") {
        let may = source.path == "src/sync/shim.rs" || source.is_in("src/sync/loom");
        let std_sync = source.code_lines().filter(|(_, code)| code.contains("std::sync"));
        let std_sync = std_sync.map(|(line, _)| source.fault(line, "std::sync beside the shim"));
        return if may { vec![] } else { named("loom").chain(std_sync).collect() };
    }
    let concerned = in_node.iter().any(|folder| source.is_in(folder))
        && !beside.iter().any(|part| source.path.contains(part));
    if concerned { SHARED_STATE.iter().flat_map(|word| named(word)).collect() } else { vec![] }
}

/// What clients see of errors is made in one exhaustive match; peers have three of their own.
pub(crate) fn statuses(source: &Source) -> Vec<Fault> {
    let made_here = ["status.rs", "peer_service.rs"].contains(&source.name());
    if !source.is_in("src/server") || made_here {
        return vec![];
    }
    let constructs = |code: &str| {
        words(code, "Status").any(|at| {
            let after = code[at + "Status".len()..].strip_prefix("::").unwrap_or_default();
            after.starts_with(|c: char| c.is_ascii_lowercase())
        })
    };
    let found = source.code_lines().filter(|(_, code)| constructs(code));
    found.map(|(line, _)| source.fault(line, "a Status is made in status.rs alone")).collect()
}

/// A crate's root wires modules; what it does is in them.
pub(crate) fn bare_roots(source: &Source) -> Vec<Fault> {
    if source.name() != "lib.rs" {
        return vec![];
    }
    let found = functions(&source.code).into_iter();
    found.map(|f| source.fault(f.line, format!("fn {} in a lib.rs", f.name))).collect()
}

/// The repository stands on its own: nobody who reads it can follow such a pointer.
pub(crate) fn workplace(source: &Source) -> Vec<Fault> {
    let pointers = [
        concat!("..", "/shared"),
        concat!("/work", "/main"),
        concat!("/work", "/shared"),
        concat!("/work", "/target"),
        concat!("issue", " #"),
    ];
    let mut faults = Vec::new();
    for (line, text) in (1..).zip(source.text.lines()) {
        let lower = text.to_lowercase();
        for pointer in pointers {
            let found = lower.contains(pointer);
            faults.extend(found.then(|| source.fault(line, format!("{pointer:?} is outside"))));
        }
        let numbered = words(&lower, "issue").any(|at| {
            let after = lower[at + "issue".len()..].trim_start();
            after.starts_with(|c: char| c.is_ascii_digit())
        });
        faults.extend(numbered.then(|| source.fault(line, "an issue's number")));
    }
    faults
}
