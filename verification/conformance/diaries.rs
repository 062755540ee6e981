//! What real nodes wrote down, played again through the core.

use crate::parallel;
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use vatic_core::{
    diary::{Played, play},
    rules::Rules,
};

/// What a folder of diaries came to.
#[derive(Clone, Debug, Default)]
pub struct Diaries {
    /// Files.
    pub files: u64,
    /// Entries that groups applied.
    pub entries: u64,
    /// Commands of those.
    pub commands: u64,
    /// Files whose last page is cut off.
    pub cut: u64,
    /// Files that had no room for all.
    pub full: u64,
    /// What differed, with its file.
    pub differences: Vec<String>,
}

/// Plays all diaries below a folder again under these rules, on so many threads.
pub fn play_diaries(folder: &Path, rules: Rules, threads: usize) -> io::Result<Diaries> {
    let mut paths = Vec::new();
    find(folder, &mut paths)?;
    paths.sort();
    let mut all = Diaries::default();
    let played = parallel::map(&paths, threads, |path| play_file(path, rules));
    for (path, played) in paths.iter().zip(played) {
        all.files += 1;
        match played? {
            Ok(Played { entries, commands, cut, full, .. }) => {
                all.entries += entries;
                all.commands += commands;
                all.cut += u64::from(cut);
                all.full += u64::from(full);
            }
            Err(difference) => all.differences.push(format!("{}: {difference}", path.display())),
        }
    }
    Ok(all)
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_dir() {
            find(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "diary") {
            paths.push(path);
        }
    }
    Ok(())
}

fn play_file(path: &Path, rules: Rules) -> io::Result<Result<Played, String>> {
    let diary = fs::read(path)?;
    let played = catch_unwind(AssertUnwindSafe(|| play(&diary, rules)));
    Ok(match played {
        Ok(played) => played.map_err(|difference| difference.to_string()),
        Err(_) => Err("an assertion of the core fails".into()),
    })
}
