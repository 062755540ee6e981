//! Replays the corpus of every target, and mutants of it from a fixed seed.
//!
//! `VATIC_FUZZ_TRIES` sets how many mutants of each target are tried, `VATIC_FUZZ_SEED` which. A
//! failure prints the mutant in hexadecimal: it belongs into the corpus once it is mended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

use vatic_fuzz::{Mutator, Target, targets};

/// Mutants of each target.
const TRIES: u64 = 20_000;
/// Those that go through a file system, through the whole opening of a log, or through what learns.
const SLOW_TRIES: u64 = 4_000;
const SLOW: [&str; 3] = ["snapshot_file", "log_segment", "course"];

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// An input and where it is kept.
type Input = (PathBuf, Vec<u8>);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The samples as this build writes them, and what is committed: samples of older builds, and what
/// a fuzzer found.
fn corpus(target: &Target) -> Vec<Input> {
    let folder = folder().join(target.name);
    let fresh = (target.samples)().into_iter().map(|sample| (folder.join(FRESH), sample));
    fresh.chain(kept(&folder)).collect()
}

/// What is committed of a target; nothing where there is no folder for it.
fn kept(folder: &Path) -> Vec<Input> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// As what a sample counts that is in no file.
const FRESH: &str = "sample-fresh";

fn is_sample(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sample"))
}

/// What a corpus is short of: this build's own samples, and samples that are committed, which older
/// builds wrote. Either of them alone would hide that the others are gone.
fn lacks(inputs: &[Input]) -> Option<&'static str> {
    let is_fresh = |path: &Path| path.file_name().is_some_and(|name| name == FRESH);
    let samples = || inputs.iter().map(|(path, _)| path).filter(|path| is_sample(path));
    match (samples().any(|path| is_fresh(path)), samples().any(|path| !is_fresh(path))) {
        (false, _) => Some("this build writes no sample"),
        (true, false) => Some("no sample is committed"),
        (true, true) => None,
    }
}

/// Mutates until a mutant panics; gives that one back. The count is of mutants that were taken.
fn hunt(inputs: &[Vec<u8>], run: fn(&[u8]) -> bool, tries: u64, seed: u64) -> Result<u64, Vec<u8>> {
    let mut mutator = Mutator::new(seed);
    let mut taken = 0;
    for _ in 0..tries {
        let mutant = mutator.mutant(inputs);
        match catch_unwind(AssertUnwindSafe(|| run(&mutant))) {
            Ok(was_taken) => taken += u64::from(was_taken),
            Err(_) => return Err(mutant),
        }
    }
    Ok(taken)
}

fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_input_of_the_corpus_is_taken_and_none_panics() {
    for target in targets() {
        let inputs = corpus(target);
        assert_eq!(lacks(&inputs), None, "{}", target.name);
        for (path, bytes) in &inputs {
            let taken = (target.run)(bytes);
            assert!(taken || !is_sample(path), "{}: a valid sample was refused", path.display());
        }
    }
}

#[test]
fn corpus_of_which_a_part_is_gone_is_told_from_a_whole_one() {
    let input = |name: &str| (folder().join("key").join(name), vec![1]);
    let [fresh, kept, found] = [FRESH, "sample-00", "found-by-somebody"].map(input);
    assert_eq!(lacks(&[fresh.clone(), kept.clone(), found.clone()]), None);
    assert_eq!(lacks(&[fresh, found.clone()]), Some("no sample is committed"));
    assert_eq!(lacks(&[kept, found]), Some("this build writes no sample"));
    let nowhere = Target { name: "no such target", run: |_| true, samples: || vec![vec![1]] };
    assert_eq!(lacks(&corpus(&nowhere)), Some("no sample is committed"));
}

/// What lies where no target looks is replayed by nobody.
#[cfg(feature = "node")]
#[test]
fn every_folder_of_the_corpus_is_a_targets() {
    let names: Vec<&str> = targets().map(|target| target.name).collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name.as_str()), "no target is named {name}");
    }
}

#[test]
fn no_mutant_of_the_corpus_makes_a_decoder_panic() {
    let seed = setting("VATIC_FUZZ_SEED").unwrap_or(1);
    let mut total = 0;
    for target in targets() {
        let inputs: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, bytes)| bytes).collect();
        let own = if SLOW.contains(&target.name) { SLOW_TRIES } else { TRIES };
        let tries = setting("VATIC_FUZZ_TRIES").unwrap_or(own);
        let began = std::time::Instant::now();
        match hunt(&inputs, target.run, tries, seed) {
            Ok(taken) => {
                println!("{}: {tries} mutants, {taken} taken, {:.1?}", target.name, began.elapsed())
            }
            Err(mutant) => {
                panic!("{} panics (VATIC_FUZZ_SEED={seed}) on {}", target.name, show(&mutant))
            }
        }
        total += tries;
    }
    println!("{total} mutants in all");
    assert!(setting("VATIC_FUZZ_TRIES").is_some() || total >= 150_000);
}

/// A decoder that trusts a length, and one that trusts a checksum to have kept all harm away.
#[test]
fn decoder_that_trusts_its_input_is_caught() {
    let trusts_a_length = |bytes: &[u8]| {
        let Some((&length, rest)) = bytes.split_first() else { return false };
        rest[..usize::from(length)].len() > 1
    };
    let found = hunt(&[vec![3, 1, 2, 3]], trusts_a_length, 100, 1);
    assert!(found.is_err(), "a length beyond the end was not found");
    let adds_up = |bytes: &[u8]| {
        let Some(numbers) = bytes.get(..8) else { return false };
        let number = u32::from_le_bytes(numbers[..4].try_into().unwrap());
        let other = u32::from_le_bytes(numbers[4..].try_into().unwrap());
        number.checked_add(other).expect("they add up") > 0
    };
    let found = hunt(&[vec![1, 0, 0, 0, 2, 0, 0, 0]], adds_up, 20_000, 1);
    assert!(found.is_err(), "numbers that overflow were not found");
}

#[test]
fn every_target_has_its_file_for_cargo_fuzz() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let manifest = fs::read_to_string(folder.join("../Cargo.toml")).unwrap();
    for target in targets() {
        let text = fs::read_to_string(folder.join(format!("{}.rs", target.name))).unwrap();
        assert!(text.contains(&format!("run(\"{}\"", target.name)), "{}", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
    }
}
