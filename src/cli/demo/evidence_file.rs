//! Every acknowledged commit with what was sent, on disk, for the process that checks.
//!
//! A frame a commit: length (u32, little-endian), then the core's encoding of [`Kept`]. Written as
//! commits are acknowledged, so that a crash of the load loses none that it had counted.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use vatic_client::Evidence;
use vatic_core::codec;

/// Largest frame that is believed, in bytes.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// One acknowledged commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Whether it opened accounts, before the load.
    pub(crate) opening: bool,
    deltas: Vec<Vec<u8>>,
    receipt: Vec<u8>,
}

impl Kept {
    pub(crate) fn new(opening: bool, evidence: Evidence) -> Self {
        Kept { opening, deltas: evidence.deltas, receipt: evidence.receipt }
    }

    pub(crate) fn evidence(&self) -> Evidence {
        Evidence { deltas: self.deltas.clone(), receipt: self.receipt.clone() }
    }

    /// With another receipt of the same commit.
    pub(crate) fn with_receipt(self, receipt: Vec<u8>) -> Self {
        Kept { receipt, ..self }
    }
}

pub(crate) struct EvidenceWriter {
    file: BufWriter<File>,
}

impl EvidenceWriter {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(EvidenceWriter { file: BufWriter::new(File::create(path)?) })
    }

    pub(crate) fn append(&mut self, kept: &Kept) -> io::Result<()> {
        let bytes = codec::encode(kept);
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&bytes)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Visits every commit in a file, in order.
pub(crate) fn read(path: &Path, mut visit: impl FnMut(Kept)) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut length = [0; 4];
    loop {
        match file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        visit(codec::decode(&bytes).map_err(io::Error::other)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(byte: u8) -> Kept {
        let evidence = Evidence { deltas: vec![vec![byte], vec![]], receipt: vec![byte; 9] };
        Kept::new(byte == 0, evidence)
    }

    #[test]
    fn commits_read_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence");
        let mut writer = EvidenceWriter::create(&path).unwrap();
        (0..3).for_each(|byte| writer.append(&kept(byte)).unwrap());
        writer.finish().unwrap();
        let mut found = Vec::new();
        read(&path, |kept| found.push(kept)).unwrap();
        assert_eq!(found, [kept(0), kept(1), kept(2)]);
    }

    #[test]
    fn file_cut_in_a_frame_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence");
        let mut writer = EvidenceWriter::create(&path).unwrap();
        writer.append(&kept(1)).unwrap();
        writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read(&path, drop).is_err());
    }
}
