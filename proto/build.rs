//! Compiles every `.proto` below `vatic/` in pure Rust, so that a build needs no protoc.
//!
//! Why it walks the folder: the client API and the node-to-node API have different authors and
//! change apart; a new file takes part without an edit here. A package that has no file yet
//! becomes an empty module, so that `lib.rs` can name it always.
//!
//! Invariant: each output is a function of the `.proto` files alone (files sorted, maps ordered).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

/// The packages `lib.rs` includes.
const PACKAGES: [&str; 2] = ["vatic.v1", "vatic.peer.v1"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.join("vatic").display());
    println!("cargo:rerun-if-changed=build.rs");

    let mut files = Vec::new();
    gather(&root.join("vatic"), &mut files)?;
    files.sort();

    let descriptors = protox::compile(&files, [&root])?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    for package in PACKAGES {
        let module = out.join(format!("{package}.rs"));
        if !files.iter().any(|file| declares(file, package)) || !module.exists() {
            fs::write(module, "")?;
        }
    }
    Ok(())
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            println!("cargo:rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    Ok(())
}

fn declares(file: &Path, package: &str) -> bool {
    let wanted = format!("package {package};");
    fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.trim() == wanted))
}
