//! Histories: one JSON object a line, gzip where the file's name ends in .gz.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use crate::exit::Failed;

/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// All lines of a file. Errors name the file and the line.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let wrong = |what: String| Failed::usage(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let zipped = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> =
        if zipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = BufReader::new(bytes);
    let mut found = Vec::new();
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX + 1).read_line(&mut line);
        let bytes = read.map_err(|error| wrong(format!("line {number}: {error}")))? as u64;
        if bytes == 0 {
            break;
        }
        if bytes > LINE_BYTES_MAX {
            let what = format!("line {number} is longer than {LINE_BYTES_MAX} bytes");
            return Err(wrong(what).into());
        }
        if line.trim().is_empty() {
            continue;
        }
        let parsed = serde_json::from_str(&line);
        found.push(parsed.map_err(|error| wrong(format!("line {number}: {error}")))?);
    }
    Ok(found)
}
