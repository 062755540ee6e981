//! The command line, as a user meets it: what goes to stdout, what to stderr, and the exit code.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::node::without_settings;
use crate::program::program;

/// No command of these tests may take longer.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Ended {
    /// The one JSON document on stdout.
    pub fn json(&self) -> Json {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|error| panic!("stdout is no JSON ({error}): {self:?}"))
    }
}

/// Runs `vatic` with arguments and, if given, the endpoints that it shall ask.
pub fn vatic(endpoints: &[String], arguments: &[&str]) -> Ended {
    vatic_with_input(endpoints, arguments, "")
}

/// The same with something to read on stdin.
pub fn vatic_with_input(endpoints: &[String], arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(program());
    without_settings(&mut command);
    if !endpoints.is_empty() {
        command.env("VATIC_ENDPOINTS", endpoints.join(","));
    }
    let started = Instant::now();
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // A command that reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("a child can be waited for");
    let ended = Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(started.elapsed() < COMMAND_MAX, "{arguments:?} took {:?}", started.elapsed());
    ended
}
