//! Writes the valid samples of every target where cargo-fuzz and the replay look for inputs. What a
//! fuzzer found is kept beside them, under its own name.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in vatic_fuzz::targets() {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        let samples = (target.samples)();
        for (number, sample) in samples.iter().enumerate() {
            fs::write(folder.join(format!("sample-{number:02}")), sample)?;
        }
        println!("{}: {} samples", target.name, samples.len());
    }
    Ok(())
}
