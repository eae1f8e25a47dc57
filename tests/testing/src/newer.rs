// SPDX-License-Identifier: Apache-2.0
//! The release after the host's, for what the host may lack: a stage1 with a newer systemd, and a newer kernel.
//!
//! Its packages are in the archive that the host's own come from. stage1 is what `make stage1 CODENAME=trixie` builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use rootfs_build::stage1::PACKAGES;

use crate::{init, packages, program, repository};

/// Returns the codename: that of Debian 13, with systemd 257 and Linux 6.12, or of the Ubuntu after systemd 254.
///
/// # Errors
/// Fails if the host doesn't say what it is.
pub fn codename() -> Result<&'static str> {
    Ok(if packages::is_ubuntu()? { "noble" } else { "trixie" })
}

/// Lets only one test at a time build it.
static BUILDING: Mutex<()> = Mutex::new(());

/// Returns a stage1 of this release's packages. It is built if it is older than what it is made of.
///
/// # Errors
/// Fails if a package is unavailable, or the build fails.
pub fn stage1() -> Result<PathBuf> {
    let _building = BUILDING.lock();
    let codename = codename()?;
    let debs = repository().join(".cache").join(format!("stage1-{codename}"));
    packages::download(PACKAGES, Some(codename), &debs)?;
    let (program, init, units) = (program("rootfs-build"), init(), repository().join("stage1-init/units"));
    let output = repository().join(format!("dist/stage1-{}-{codename}.tar.xz", std::env::consts::ARCH));
    let inputs = [&program, &init, &units, &debs.join("complete")];
    let newest = inputs.into_iter().map(|path| newest(path)).collect::<Result<Vec<_>>>()?;
    let built = fs::metadata(&output).and_then(|found| found.modified()).ok();
    if built < newest.into_iter().max() {
        let mut command = Command::new(program);
        command.arg("stage1").arg("--init").arg(init).arg("--units").arg(units);
        let done = command.arg("--debs").arg(debs).arg("--output").arg(&output).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "rootfs-build, {}: {said}", done.status);
        ensure!(!said.contains("warning"), "{said}");
    }
    Ok(output)
}

/// Returns the latest time of a change in a file or a directory's tree.
fn newest(path: &Path) -> Result<SystemTime> {
    let about = || format!("cannot look at {}", path.display());
    let found = fs::symlink_metadata(path).with_context(about)?;
    let mut time = found.modified()?;
    if found.is_dir() {
        for entry in fs::read_dir(path).with_context(about)? {
            time = time.max(newest(&entry?.path())?);
        }
    }
    Ok(time)
}
