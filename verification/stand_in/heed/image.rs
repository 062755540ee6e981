//! What lies on each simulated disk: its last commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imbl::OrdMap;

pub(crate) type Bytes = Arc<[u8]>;
pub(crate) type Table = OrdMap<Bytes, Bytes>;

/// One moment of an environment: its tables, in the order in which they were created.
#[derive(Clone, Default)]
pub(crate) struct Image {
    pub(crate) names: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

#[derive(Default)]
pub(crate) struct Disk(Mutex<Image>);

impl Disk {
    pub(crate) fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static DISKS: Mutex<BTreeMap<PathBuf, Arc<Disk>>> = Mutex::new(BTreeMap::new());

pub(crate) fn disk(path: &Path) -> Arc<Disk> {
    let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    disks.entry(path.to_owned()).or_default().clone()
}

/// Takes a disk away with all that is on it.
pub fn forget(path: &Path) {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// Feeds all that is on a disk to `note`, key by key, value by value.
pub fn digest(path: &Path, note: &mut dyn FnMut(&[u8])) {
    let image = disk(path).image().clone();
    for (name, table) in image.names.iter().zip(&image.tables) {
        note(name.as_bytes());
        for (key, value) in table {
            note(key);
            note(value);
        }
    }
}
