// SPDX-License-Identifier: Apache-2.0
//! Finds in an app's tree what would make its start fail.
//!
//! - `mount_points`: whether everything that is mounted has a place.
//! - `hidden`: what volumes hide of the tree.
//! - `view`: the tree as the app will see it, walked as the kernel does. `access` and `acl` tell which users may pass,
//!   `kernel_files` what is in /proc and /sys.
//! - `program`: what the kernel would execute. `format` and `binfmt_misc` tell the format of a file.

mod access;
mod acl;
mod binfmt_misc;
mod format;
mod hidden;
mod kernel_files;
mod mount_points;
mod program;
#[cfg(test)]
mod tests;
mod view;

use anyhow::{Context, Result, bail, ensure};
use pod::App;
use pod::isolators::Seccomp;
use pod::manifest::Restart;
use pod::path::AbsolutePath;
use rustix::io::Errno;

use access::Who;
use kernel_files::KernelFile;
use program::Start;
use sys::in_root::InRoot;
use view::{Found, Obstacle, View};

/// Checks an app against its image's tree. Returns warnings about what the app does not see of it.
///
/// # Errors
/// If the app could not be started.
pub(super) fn check(app: &App, root: &InRoot) -> Result<Vec<String>> {
    check_start(app, root)?;
    hidden::warnings(app, root)
}

fn check_start(app: &App, root: &InRoot) -> Result<()> {
    let (who, person) = Who::of(app, root)?;
    app.check_sizes(person.as_ref())?;
    let view = mount_points::view(app, root)?;
    let directory = check_directory(&app.working_directory, &view, &who)?;
    let calls = app.isolators.seccomp.iter().flat_map(|filter| &filter.calls);
    for call in calls {
        ensure!(call.is_known(), "unknown system call {call}: expected a name such as mount");
    }
    let is_native = app.isolators.seccomp.as_ref().is_some_and(Seccomp::filters);
    let start =
        Start { view: &view, who: &who, directory: directory.as_deref(), comes_later: false, is_native };
    if let Some(handler) = &app.pre_start {
        program::check(app, handler, start).context("pre-start handler")?;
    }
    // Its pre-start handler may add files, or another app may by the time it is restarted.
    let comes_later = app.pre_start.is_some() || app.restart != Restart::No;
    program::check(app, &app.exec, Start { comes_later, ..start })?;
    match &app.post_stop {
        Some(handler) => {
            program::check(app, handler, Start { comes_later: true, ..start }).context("post-stop handler")
        }
        None => Ok(()),
    }
}

/// Checks that all of an app's programs can be started in its working directory. Returns the directory's path without
/// links, or `None` if that can't be known beforehand.
fn check_directory(directory: &AbsolutePath, view: &View<'_>, who: &Who) -> Result<Option<Vec<u8>>> {
    let path = directory.as_str().as_bytes();
    let obstacle = match view.find(who, b"", path) {
        Ok(Found::Directory(permissions, at)) if who.may_search(&permissions) => return Ok(Some(at)),
        Ok(Found::Directory(permissions, at)) => Obstacle::search(at, &permissions, who),
        Ok(Found::Unknown) => return Ok(None),
        Ok(Found::Kernel(at)) => match kernel_files::look(&at) {
            KernelFile::Directory | KernelFile::Unknown => return Ok(None),
            KernelFile::File | KernelFile::Nothing => {
                Obstacle::new(Errno::NOTDIR, at, "is the kernel's: expected a directory that it has")
            }
        },
        Ok(Found::File(_, _, at)) => Obstacle::new(Errno::NOTDIR, at, "is a file: expected a directory"),
        Err(obstacle) => obstacle,
    };
    bail!(obstacle.shown("working directory", path))
}
