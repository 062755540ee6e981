//! The snapshot file: one replica's state, read back only if every byte is as written.
//!
//! ```text
//! header    "VATICSNP" | version u32 | group u32 | mark length u32 | mark | crc u32
//! chunk     length u32 | crc u32 of (number of the chunk u32 | body) | body
//!   body    (key length u32 | value length u32 | key | value)...     at least one, in key order
//! trailer   0 u32 | entries u64 | digest [32] | crc u32 of (entries | digest)
//! ```
//!
//! Big-endian. The crc of a chunk covers its number, so that chunks cannot be swapped; the
//! trailer's digest is that of `View::digest`, so that nothing can be left out either, and the
//! two ends of a transfer can compare states without reading LMDB.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::InstallError;
use crate::id::Mark;
use crate::job::Entries;
use crate::layout::{decode_mark, encode_mark};
use crate::view::{Digest, EntryHasher};

const MAGIC: &[u8; 8] = b"VATICSNP";

/// The version that this build writes and reads.
pub(crate) const SNAPSHOT_VERSION: u32 = 1;

/// A mark holds a log id and a membership; more than this is not one.
const MARK_BYTES_MAX: u32 = 16 << 20;

/// A complete snapshot on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    pub path: PathBuf,
    /// The state that it holds.
    pub mark: Mark,
    pub bytes: u64,
}

/// Writes one file, front to back.
pub(crate) struct SnapshotWriter {
    file: BufWriter<File>,
    chunk: Vec<u8>,
    chunk_bytes: usize,
    chunks: u32,
    entries: u64,
    hasher: EntryHasher,
}

impl SnapshotWriter {
    pub(crate) fn create(
        path: &Path,
        group: u32,
        mark: &Mark,
        chunk_bytes: usize,
    ) -> io::Result<SnapshotWriter> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&header(group, mark))?;
        let (chunk, chunks, entries) = (Vec::new(), 0, 0);
        Ok(SnapshotWriter {
            file,
            chunk,
            chunk_bytes,
            chunks,
            entries,
            hasher: EntryHasher::default(),
        })
    }

    /// Keys must come in ascending order.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.chunk.extend_from_slice(&(key.len() as u32).to_be_bytes());
        self.chunk.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.chunk.extend_from_slice(key);
        self.chunk.extend_from_slice(value);
        self.hasher.add(key, value);
        self.entries += 1;
        if self.chunk.len() >= self.chunk_bytes { self.end_chunk() } else { Ok(()) }
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        let too_long = |_| io::Error::other("a chunk over 4 GiB");
        let length = u32::try_from(self.chunk.len()).map_err(too_long)?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(&chunk_crc(self.chunks, &self.chunk).to_be_bytes())?;
        self.file.write_all(&self.chunk)?;
        self.chunk.clear();
        self.chunks += 1;
        Ok(())
    }

    /// Durable on return (but for the directory entry).
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        if !self.chunk.is_empty() {
            self.end_chunk()?;
        }
        let mut trailer = self.entries.to_be_bytes().to_vec();
        trailer.extend_from_slice(&self.hasher.finish().0);
        self.file.write_all(&0u32.to_be_bytes())?;
        self.file.write_all(&trailer)?;
        self.file.write_all(&crc32fast::hash(&trailer).to_be_bytes())?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

/// Reads one file, front to back, and believes nothing in it.
pub(crate) struct SnapshotReader {
    path: PathBuf,
    file: BufReader<File>,
    /// The file's length when opened: bounds what a damaged length can make us allocate.
    length: u64,
    offset: u64,
    pub(crate) group: u32,
    pub(crate) mark: Mark,
    chunks: u32,
    entries: u64,
    last_key: Option<Vec<u8>>,
    hasher: Option<EntryHasher>,
}

impl SnapshotReader {
    pub(crate) fn open(path: &Path) -> Result<SnapshotReader, InstallError> {
        let io_error = |source| InstallError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        let mut reader = SnapshotReader {
            path: path.to_owned(),
            file: BufReader::new(file),
            length,
            offset: 0,
            group: 0,
            mark: Mark { index: 0, meta: bytes::Bytes::new() },
            chunks: 0,
            entries: 0,
            last_key: None,
            hasher: Some(EntryHasher::default()),
        };
        reader.read_header()?;
        Ok(reader)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads to the end, which checks everything.
    pub(crate) fn verify(mut self) -> Result<Digest, InstallError> {
        loop {
            if let Chunk::End(digest) = self.next_chunk()? {
                return Ok(digest);
            }
        }
    }

    /// The next chunk's entries, or the digest of all where the file ends as it should.
    pub(crate) fn next_chunk(&mut self) -> Result<Chunk, InstallError> {
        let length = self.read_u32()?;
        if length == 0 {
            return self.read_trailer().map(Chunk::End);
        }
        let crc = self.read_u32()?;
        let body = self.read_vec(length)?;
        if crc != chunk_crc(self.chunks, &body) {
            return Err(self.damaged("chunk checksum"));
        }
        self.chunks += 1;
        self.parse(&body).map(Chunk::Entries)
    }

    fn parse(&mut self, mut body: &[u8]) -> Result<Entries, InstallError> {
        let mut entries = Vec::new();
        while !body.is_empty() {
            let entry = split_entry(&mut body).ok_or_else(|| self.damaged("entry length"))?;
            if self.last_key.as_ref().is_some_and(|last| *last >= entry.0) {
                return Err(self.damaged("key order"));
            }
            self.last_key = Some(entry.0.clone());
            if let Some(hasher) = &mut self.hasher {
                hasher.add(&entry.0, &entry.1);
            }
            self.entries += 1;
            entries.push(entry);
        }
        Ok(entries)
    }

    fn read_header(&mut self) -> Result<(), InstallError> {
        let magic = self.read_vec(MAGIC.len() as u32)?;
        if magic != MAGIC {
            let found = "no snapshot at all".to_owned();
            return Err(InstallError::Version { found, expected: SNAPSHOT_VERSION });
        }
        let version = self.read_u32()?;
        if version != SNAPSHOT_VERSION {
            let found = format!("version {version}");
            return Err(InstallError::Version { found, expected: SNAPSHOT_VERSION });
        }
        self.group = self.read_u32()?;
        let mark_bytes = self.read_u32()?;
        if mark_bytes > MARK_BYTES_MAX {
            return Err(self.damaged("mark length"));
        }
        let mark = self.read_vec(mark_bytes)?;
        let mark = decode_mark(&mark).flatten().ok_or_else(|| self.damaged("mark"))?;
        let expected = header(self.group, &mark);
        if self.read_u32()?.to_be_bytes() != expected[expected.len() - 4..] {
            return Err(self.damaged("header checksum"));
        }
        self.mark = mark;
        Ok(())
    }

    fn read_trailer(&mut self) -> Result<Digest, InstallError> {
        let trailer = self.read_vec(8 + 32)?;
        if self.read_u32()? != crc32fast::hash(&trailer) {
            return Err(self.damaged("trailer checksum"));
        }
        let digest = self.hasher.take().ok_or_else(|| self.damaged("read past its end"))?.finish();
        if trailer[..8] != self.entries.to_be_bytes() || trailer[8..] != digest.0 {
            return Err(self.damaged("digest"));
        }
        if self.offset != self.length {
            return Err(self.damaged("bytes after the end"));
        }
        Ok(digest)
    }

    fn read_u32(&mut self) -> Result<u32, InstallError> {
        let mut bytes = [0; 4];
        self.read_into(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn read_vec(&mut self, length: u32) -> Result<Vec<u8>, InstallError> {
        // Before so much is allocated.
        self.check_length(u64::from(length))?;
        let mut bytes = vec![0; length as usize];
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&mut self, bytes: &mut [u8]) -> Result<(), InstallError> {
        self.check_length(bytes.len() as u64)?;
        let read = self.file.read_exact(bytes);
        read.map_err(|source| InstallError::Io { path: self.path.clone(), source })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn check_length(&self, length: u64) -> Result<(), InstallError> {
        if length > self.length - self.offset {
            return Err(self.damaged("cut short"));
        }
        Ok(())
    }

    fn damaged(&self, what: &'static str) -> InstallError {
        InstallError::Damaged { offset: self.offset, what }
    }
}

/// What follows in a snapshot file.
pub(crate) enum Chunk {
    Entries(Entries),
    End(Digest),
}

fn header(group: u32, mark: &Mark) -> Vec<u8> {
    let mut mark_bytes = Vec::new();
    encode_mark(Some(mark), &mut mark_bytes);
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&SNAPSHOT_VERSION.to_be_bytes());
    header.extend_from_slice(&group.to_be_bytes());
    header.extend_from_slice(&(mark_bytes.len() as u32).to_be_bytes());
    header.extend_from_slice(&mark_bytes);
    header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    header
}

fn chunk_crc(number: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(body);
    hasher.finalize()
}

fn split_entry(body: &mut &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key_bytes, rest) = body.split_first_chunk()?;
    let (value_bytes, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*key_bytes) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_bytes) as usize)?;
    *body = rest;
    Some((key.to_vec(), value.to_vec()))
}
