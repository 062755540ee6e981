//! Diaries of what this node applies, in a folder that the configuration names.
//!
//! Each time a replica is opened or takes a snapshot it begins a file, with its whole state. Pages
//! are written at once and not synced. It is for whoever checks the node, so that the node goes on
//! without it where something is in its way.

use crate::machine::Machine;
use bytes::Bytes;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use vatic_core::{diary::Page, group::Group, id::GroupId, rules::Rules};
use vatic_store::{View, Writer};

/// What a row takes beside its bytes, at most.
const ROW_BYTES: u64 = 16;

/// A group's machine, with whoever writes down what it does.
pub(crate) struct Scribe {
    group: GroupId,
    machine: Machine,
    diaries: Option<Diaries>,
    diary: Option<Diary>,
}

impl Scribe {
    /// Who writes only where there is a folder for it.
    pub(crate) fn new(group: GroupId, diaries: Option<Diaries>) -> Scribe {
        Scribe { group, machine: Machine::new(group), diaries, diary: None }
    }

    fn write(&mut self, state: &Writer, index: u64, entry: &[Bytes], replies: Option<&[Bytes]>) {
        if let Some(diary) = &mut self.diary {
            let chain = Group::of_view(self.group, state, Rules::default()).chain();
            diary.write(&Page::entry(index, entry, chain, replies));
        }
    }
}

impl vatic_consensus::Machine for Scribe {
    fn apply(&mut self, state: &mut Writer, index: u64, commands: &[Bytes]) -> Vec<Bytes> {
        let replies = self.machine.apply(state, index, commands);
        self.write(state, index, commands, Some(&replies));
        replies
    }

    fn follow(&mut self, state: &mut Writer, index: u64, commands: &[Bytes]) {
        self.machine.follow(state, index, commands);
        self.write(state, index, commands, None);
    }

    fn restored(&mut self, state: &View) {
        self.machine.restored(state);
        self.diary = self.diaries.as_ref().map(|diaries| diaries.begin(self.group, state));
    }
}

/// All diaries of a node.
#[derive(Clone, Debug)]
pub(crate) struct Diaries {
    folder: PathBuf,
    /// Bytes that may still be written.
    room: Arc<Mutex<u64>>,
}

impl Diaries {
    /// What earlier runs of the node left in the folder counts too.
    pub(crate) fn open(folder: PathBuf, bytes_max: u64) -> io::Result<Diaries> {
        fs::create_dir_all(&folder)?;
        let sizes = fs::read_dir(&folder)?.map(|file| Ok(file?.metadata()?.len()));
        let held = sizes.sum::<io::Result<u64>>()?;
        let room = Arc::new(Mutex::new(bytes_max.saturating_sub(held)));
        Ok(Diaries { folder, room })
    }

    /// Begins a file for a group that was opened over this state.
    pub(crate) fn begin(&self, group: GroupId, state: &View) -> Diary {
        let file = match self.create(group) {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::warn!(%group, %error, "no diary");
                None
            }
        };
        let mut diary = Diary { group, file, room: self.room.clone() };
        let (mut rows, room) = (Vec::new(), diary.room());
        let mut bytes = 0;
        state.scan_all(&mut |key, value| {
            bytes += (key.len() + value.len()) as u64 + ROW_BYTES;
            rows.push((key.to_vec(), value.to_vec()));
            bytes <= room
        });
        let page = if bytes <= room { Page::opened(group, rows) } else { Page::Full };
        diary.write(&page);
        diary
    }

    fn create(&self, group: GroupId) -> io::Result<File> {
        let mut number = 1;
        loop {
            let path = self.folder.join(format!("group-{group}-{number}.diary"));
            match File::create_new(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                created => return created,
            }
        }
    }
}

/// The diary of one replica.
#[derive(Debug)]
pub(crate) struct Diary {
    group: GroupId,
    /// None once it has ended.
    file: Option<File>,
    room: Arc<Mutex<u64>>,
}

impl Diary {
    fn room(&self) -> u64 {
        *self.room.lock().expect("no holder panics")
    }

    /// Writes a page; the last one says so where there is no room for it.
    pub(crate) fn write(&mut self, page: &Page) {
        let Some(file) = &mut self.file else { return };
        let bytes = page.to_bytes();
        let fits = {
            let mut room = self.room.lock().expect("no holder panics");
            let left = room.checked_sub(bytes.len() as u64);
            *room = left.unwrap_or(*room);
            left.is_some()
        };
        let page = if fits { bytes } else { Page::Full.to_bytes() };
        let written = file.write_all(&page);
        if let Err(error) = &written {
            tracing::warn!(group = %self.group, %error, "the diary ends");
        }
        if written.is_err() || !fits {
            self.file = None;
        }
    }
}
