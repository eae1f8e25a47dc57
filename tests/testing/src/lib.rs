// SPDX-License-Identifier: Apache-2.0
//! The code that end-to-end tests share: images made of real Debian packages, pods in directories of their own, and
//! comparisons of the host before and after.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "the harness takes what a test says")]

pub mod alone;
pub mod broadcast;
pub mod chance;
pub mod few_calls;
pub mod host;
pub mod image;
pub mod launcher;
pub mod layers;
pub mod machine;
pub mod newer;
pub mod oci;
pub mod one_call;
pub mod packages;
pub mod pods;
pub mod registry;
pub mod rootfs;
pub mod state;
pub mod tables;
pub mod terminal;
pub mod tiny;
pub mod trees;
pub mod users;
pub mod vm;

use std::path::{Path, PathBuf};

/// Returns the repository's directory.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is below the repository's tests")
}

/// Returns a program as `make` builds it. To test other programs, `$GANTRY_TEST_PROGRAMS` names their directory.
///
/// # Panics
/// Panics if the program was not built.
pub fn program(name: &str) -> PathBuf {
    let built = || repository().join(format!("target/{}-unknown-linux-musl/release", std::env::consts::ARCH));
    let path = std::env::var_os("GANTRY_TEST_PROGRAMS").map_or_else(built, PathBuf::from).join(name);
    assert!(path.is_file(), "{} is missing: run `make` first", path.display());
    path
}

/// Returns the `/init` that is in stage1.
///
/// # Panics
/// Panics if it was not built.
pub fn init() -> PathBuf {
    let path = repository().join("dist/init");
    assert!(path.is_file(), "{} is missing: run `make stage1` first", path.display());
    path
}

/// Returns arguments of `prepare` and `run` for the `/init` to test in place of stage1's: that of
/// `$GANTRY_TEST_PROGRAMS`, if it has one.
pub fn changed_init() -> Vec<String> {
    let programs = std::env::var_os("GANTRY_TEST_PROGRAMS").map(PathBuf::from);
    let init = programs.map(|programs| programs.join("init")).filter(|init| init.is_file());
    let option = |init: PathBuf| ["--stage1-init".to_owned(), init.to_string_lossy().into_owned()];
    init.into_iter().flat_map(option).collect()
}

/// Returns the stage1 that `make stage1` builds. To test another, `$GANTRY_TEST_STAGE1` names it; its digest is beside it.
///
/// # Panics
/// Panics if it was not built.
pub fn stage1() -> PathBuf {
    let built = || repository().join(format!("dist/stage1-{}.tar.xz", std::env::consts::ARCH));
    let path = std::env::var_os("GANTRY_TEST_STAGE1").map_or_else(built, PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `make stage1` first", path.display());
    path
}

/// Returns the directory of the packages that `make` has built [`stage1`] of.
pub fn stage1_debs() -> PathBuf {
    let path = stage1();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // stage1-ARCH.tar.xz, or stage1-ARCH-CODENAME.tar.xz.
    let name = name.trim_end_matches(".tar.xz").replace(&format!("-{}", std::env::consts::ARCH), "");
    repository().join(".cache").join(name)
}
