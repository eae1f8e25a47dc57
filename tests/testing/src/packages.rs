// SPDX-License-Identifier: Apache-2.0
//! Fetches the distribution's packages for images and machines, once, into `.cache`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use rootfs_build::apt::{self, Codename};
use rootfs_build::deb::Deb;

use crate::repository;

/// Lets only one test at a time fetch packages.
static FETCHING: Mutex<()> = Mutex::new(());

/// Returns the package `name` and everything it depends on.
///
/// # Errors
/// Fails if a package is unavailable.
pub fn fetch(name: &str) -> Result<Vec<Deb>> {
    fetch_all(&[name])
}

/// Returns these packages and everything they depend on.
///
/// # Errors
/// Fails if a package is unavailable.
pub fn fetch_all(names: &[&str]) -> Result<Vec<Deb>> {
    open_all(names, None, &repository().join(".cache/images").join(names.join(",")))
}

/// Returns the package `name` of another release than the host's, and everything it depends on.
///
/// # Errors
/// Fails if a package is unavailable.
pub fn fetch_of(release: &str, name: &str) -> Result<Vec<Deb>> {
    open_all(&[name], Some(release), &repository().join(".cache/images").join(release).join(name))
}

/// Tells whether the host's distribution is Ubuntu, which calls some packages by other names than Debian.
///
/// # Errors
/// Fails if the host doesn't say what it is.
pub(crate) fn is_ubuntu() -> Result<bool> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    Ok(text.lines().any(|line| line == "ID=ubuntu"))
}

/// Downloads packages, and everything they depend on, into `directory`, unless that was done before.
///
/// # Errors
/// Fails if a package is unavailable.
pub(crate) fn download(names: &[&str], release: Option<&str>, directory: &Path) -> Result<()> {
    let _fetching = FETCHING.lock();
    let complete = directory.join("complete");
    if !complete.exists() {
        let release = release.map(str::parse::<Codename>).transpose()?;
        // Tests have networks of their own, from which no server is reached.
        gate::with_machines_network(|| apt::download(names, release.as_ref(), directory))?;
        fs::write(&complete, "")?;
    }
    Ok(())
}

fn open_all(names: &[&str], release: Option<&str>, directory: &Path) -> Result<Vec<Deb>> {
    download(names, release, directory)?;
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    paths.sort();
    paths.iter().map(|path| Deb::open(path)).collect()
}

/// Writes the programs that a package has in a directory, into another.
///
/// # Errors
/// Fails if the package is unavailable, or has none there.
pub fn programs(name: &str, directory: &Path, into: &Path) -> Result<()> {
    let package = fetch(name)?.into_iter().find(|package| package.name == name);
    let entries = package.context("apt has fetched another package")?.entries()?;
    let mut count = 0;
    for entry in entries.into_iter().filter(|entry| entry.path.parent() == Some(directory)) {
        let path = into.join(entry.path.file_name().context("a program has a name")?);
        fs::write(&path, entry.contents)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        count += 1;
    }
    ensure!(count > 0, "{name} has nothing in {}", directory.display());
    Ok(())
}
