// SPDX-License-Identifier: Apache-2.0
//! Writes the seeds of fuzzing: `DIR/TARGET/` with a file for each seed, and `DIR/manifests.dict`, the words of
//! manifests.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

use std::fs;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("error: no directory: expected `seeds DIR`");
        std::process::exit(2);
    };
    for (target, seeds) in fuzz::seeds::all() {
        let corpus = dir.join(target);
        fs::create_dir_all(&corpus)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number:02}")), seed)?;
        }
    }
    fs::write(dir.join("manifests.dict"), fuzz::seeds::dictionary())
}
