//! Numbers on a command line, held to what can be run.

/// More threads than any machine has cores; a process may not get many more.
const THREADS_MAX: usize = 1_024;
/// More seconds than anybody waits for: above a year.
const SECONDS_MAX: u64 = 100_000_000;

/// A number above 0.
pub fn above_none(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|error: std::num::ParseIntError| error.to_string())?;
    if number > 0 { Ok(number) } else { Err("it must be 1 at least".into()) }
}

/// A number of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    let number = above_none(text)?;
    (number <= THREADS_MAX).then_some(number).ok_or_else(|| format!("{THREADS_MAX} are the most"))
}

/// A number of seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    let number: u64 = text.parse().map_err(|error: std::num::ParseIntError| error.to_string())?;
    let fits = (1..=SECONDS_MAX).contains(&number);
    fits.then_some(number)
        .ok_or_else(|| format!("it must be 1 at least, and {SECONDS_MAX} at most"))
}
