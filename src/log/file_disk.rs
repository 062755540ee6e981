//! Segment files in a folder.
//!
//! A new file is reserved first (so that a full disk shows before it is filled to the brim), then
//! written with zeros, synced, renamed and its folder synced: a slot that exists is whole. The
//! zeros matter: `fdatasync` on a merely reserved file must also write the extent map, and takes
//! about twice as long.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fail::fail_point;
use prometheus::{Histogram, core::Collector};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock, statvfs};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::disk::{Disk, DiskFile};
use crate::metrics::fsync_seconds;

/// A real folder. It is locked while this lives: two processes on one log would destroy it.
pub struct FileDisk {
    dir: PathBuf,
    fsync_seconds: Histogram,
    _lock: File,
}

impl FileDisk {
    /// Opens the folder, making it where it is missing.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<FileDisk> {
        let dir = dir.into();
        make_dir(&dir)?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new().create(true).append(true).open(&lock_path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let message = format!("{} is in use by another process", dir.display());
            io::Error::new(io::ErrorKind::AlreadyExists, message)
        })?;
        let disk = FileDisk { dir, fsync_seconds: fsync_seconds(), _lock: lock };
        disk.remove_unfinished()?;
        Ok(disk)
    }

    /// What the disk counts: the times of its fsyncs.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.fsync_seconds.clone())]
    }

    fn segment(&self, file: File) -> Arc<dyn DiskFile> {
        Arc::new(SegmentFile { file, fsync_seconds: self.fsync_seconds.clone() })
    }

    fn path(&self, slot: u64) -> PathBuf {
        self.dir.join(self.name(slot))
    }

    /// Files whose creation a crash interrupted.
    fn remove_unfinished(&self) -> io::Result<()> {
        for item in fs::read_dir(&self.dir)? {
            let path = item?.path();
            if path.extension().is_some_and(|e| e == "new") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        fail_point!("log::disk_free", |_| Ok(0));
        let disk = statvfs(&self.dir)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

impl Disk for FileDisk {
    fn slots(&self) -> io::Result<Vec<u64>> {
        let mut slots = Vec::new();
        for item in fs::read_dir(&self.dir)? {
            let path = item?.path();
            if path.extension().is_some_and(|e| e == "segment") {
                slots.push(slot_of(&path)?);
            }
        }
        Ok(slots)
    }

    fn open(&self, slot: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(slot))?;
        Ok(self.segment(file))
    }

    fn create(&self, slot: u64, bytes: u32) -> io::Result<Arc<dyn DiskFile>> {
        // Asked first, since a reservation that fails halfway has taken the last room from others.
        if self.free_bytes()? < u64::from(bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let unfinished = self.dir.join(format!("{slot:010}.new"));
        match write_zeros(&unfinished, bytes) {
            Ok(file) => {
                fs::rename(&unfinished, self.path(slot))?;
                self.sync_dir()?;
                Ok(self.segment(file))
            }
            Err(error) => {
                let _ = fs::remove_file(&unfinished);
                Err(error)
            }
        }
    }

    fn remove(&self, slot: u64) -> io::Result<()> {
        fs::remove_file(self.path(slot))
    }

    fn salt(&self) -> io::Result<[u8; 16]> {
        let mut salt = [0; 16];
        // So few bytes come whole or not at all.
        getrandom(&mut salt, GetRandomFlags::empty())?;
        Ok(salt)
    }

    fn name(&self, slot: u64) -> String {
        format!("{slot:010}.segment")
    }
}

struct SegmentFile {
    file: File,
    fsync_seconds: Histogram,
}

impl DiskFile for SegmentFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.file.write_all_at(from, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let _timed = self.fsync_seconds.start_timer();
        self.file.sync_data()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Makes a folder that may be there already. Its name is on disk on return, and that of each folder
/// above it that was missing: what is synced inside would be lost with it.
fn make_dir(dir: &Path) -> io::Result<()> {
    let above = || {
        dir.ancestors().skip(1).map(|path| match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        })
    };
    let missing = above().take_while(|path| !path.exists()).count();
    fs::create_dir_all(dir)?;
    above().take(missing + 1).try_for_each(|path| File::open(path)?.sync_all())
}

fn slot_of(path: &Path) -> io::Result<u64> {
    let stem = path.file_stem().and_then(|s| s.to_str());
    stem.and_then(|s| s.parse().ok()).ok_or_else(|| {
        let message = format!("{} is not a segment of this log", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn write_zeros(path: &Path, bytes: u32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, u64::from(bytes)) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < bytes {
        let part = (bytes - offset).min(zeros.len() as u32);
        file.write_all_at(&zeros[..part as usize], u64::from(offset))?;
        offset += part;
    }
    file.sync_all()?;
    Ok(file)
}
