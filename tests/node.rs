//! One node: a process of the real program, its files and its log.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::program::program;

/// Lines of a node's log that a failure shows.
const LOG_LINES: usize = 30;

/// A node's process, running or not.
#[derive(Debug)]
pub struct Node {
    /// Its number, from 1.
    pub number: u32,
    /// Where clients connect, `http://HOST:PORT`.
    pub endpoint: String,
    config: PathBuf,
    log: PathBuf,
    log_level: String,
    failpoints: PathBuf,
    doomed: bool,
    child: Option<Child>,
}

impl Node {
    /// A node that has a configuration file in `dir` and is not started yet.
    pub fn new(number: u32, endpoint: String, dir: &Path, config: &str) -> Node {
        let file = dir.join(format!("node-{number}.toml"));
        fs::write(&file, config).expect("a configuration can be written");
        let log = dir.join(format!("node-{number}.log"));
        let log_level = "info".to_owned();
        let failpoints = dir.join(format!("node-{number}.failpoints"));
        let (doomed, child) = (false, None);
        Node { number, endpoint, config: file, log, log_level, failpoints, doomed, child }
    }

    /// Sets what the node logs, from its next start on.
    pub fn set_log_level(&mut self, level: &str) {
        self.log_level = level.to_owned();
    }

    /// Starts the process. It ends by itself once this one is gone, however that ends.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "node {} runs already", self.number);
        let log = File::options().create(true).append(true).open(&self.log).expect("a log opens");
        let mut command = Command::new(program());
        without_settings(&mut command);
        let child = command
            .env("VATIC_LOG", &self.log_level)
            .env("FAILPOINTS_FILE", &self.failpoints)
            .args(["start", "--stop-with-stdin", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file has two names"))
            .stderr(log)
            .spawn()
            .expect("the program can be started");
        self.child = Some(child);
    }

    /// Arms failpoints, of a running process or for its next start. From here on it may die of
    /// one, which [`Node::ended`] does not report.
    pub fn arm(&mut self, failpoints: &str) {
        let beside = self.failpoints.with_extension("new");
        fs::write(&beside, failpoints).expect("a file can be written");
        fs::rename(&beside, &self.failpoints).expect("a file can be renamed");
        self.doomed = true;
    }

    /// Whether what was armed is in force.
    pub fn armed(&self) -> bool {
        !self.failpoints.exists()
    }

    /// It is not expected to die at a failpoint any more.
    pub fn spare(&mut self) {
        self.doomed = false;
    }

    /// Whether it has died at a failpoint.
    pub fn died(&mut self) -> bool {
        if self.doomed && self.aborted() {
            (self.doomed, self.child) = (false, None);
            return true;
        }
        false
    }

    fn aborted(&mut self) -> bool {
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        status.and_then(|status| status.signal()) == Some(Signal::ABORT.as_raw())
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: then there is nothing to kill, and `wait` says how.
            let _ = child.kill();
            child.wait().expect("a child can be waited for");
        }
    }

    /// Stops the process in its tracks.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the node runs");
        rustix::process::kill_process(Pid::from_child(child), signal)
            .expect("a child can be signalled");
    }

    /// Asks the process to stop in order.
    pub fn ask_to_stop(&mut self) {
        // It runs with `--stop-with-stdin`.
        drop(self.child.as_mut().and_then(|child| child.stdin.take()));
    }

    /// Whether a process that was asked to stop has, and well.
    pub fn stopped(&mut self) -> bool {
        let Some(child) = self.child.as_mut() else { return true };
        let Some(status) = child.try_wait().expect("a child can be asked") else { return false };
        assert!(status.success(), "{}", self.complaint(&format!("did not stop well ({status})")));
        self.child = None;
        true
    }

    /// How the process ended, if nobody killed it and it ended all the same.
    pub fn ended(&mut self) -> Option<String> {
        if self.doomed && self.aborted() {
            return None;
        }
        let status = self.child.as_mut()?.try_wait().expect("a child can be asked");
        status.map(|status| self.complaint(&format!("ended by itself ({status})")))
    }

    /// Lines of its log that hold the text.
    pub fn logged(&self, text: &str) -> Vec<String> {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// What is wrong with this node, with the end of its log.
    pub fn complaint(&self, what: &str) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("node {} {what}; the end of its log:\n{tail}", self.number)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Takes away what the caller's environment would say to the program.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VATIC_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").env_remove("RUST_LOG");
}
