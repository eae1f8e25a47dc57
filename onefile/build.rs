// SPDX-License-Identifier: Apache-2.0
//! Keeps the program small, and builds the stage1 tarball in that `$GANTRY_BUILT_IN` names, with its digest. Without it, nothing is built in.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

const VARIABLE: &str = "GANTRY_BUILT_IN";

fn main() -> Result<(), Box<dyn Error>> {
    // As in installer's.
    for option in ["pack-relative-relocs", "noseparate-code"] {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,{option}");
    }
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let source = match env::var_os(VARIABLE) {
        None => "None".to_owned(),
        Some(path) => {
            let path = PathBuf::from(path).canonicalize()?;
            println!("cargo:rerun-if-changed={}", path.display());
            let digest: [u8; 32] = Sha256::digest(fs::read(&path)?).into();
            format!("Some(installer::BuiltIn {{ bytes: include_bytes!({path:?}), sha256: {digest:?} }})")
        }
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    Ok(fs::write(out.join("stage1.rs"), source)?)
}
