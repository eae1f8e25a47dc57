// SPDX-License-Identifier: Apache-2.0
//! The apps' status files.
//!
//! An app can fill the disk that they are on, so their space is reserved before it starts: a file of its own with a
//! block, `.APP`, and room in the directory for the name that the file gets once the app has ended.
//!
//! Then writing a status takes no space: it is written into that block and synced, and the file is renamed to `APP`.
//! An app that is started again has a second file, because its previous status must stay whole until the next one is:
//! the two files are exchanged. This works if the file system has fallocate(2) and overwrites reserved space in place:
//! ext4, xfs, tmpfs, and btrfs for data. On others, writing a status may fail for lack of space.
//!
//! Invariant: a reader of `APP` finds the whole status or no file, and the content is on disk by then.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use pod::layout;
use pod::name::AppName;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, fallocate, linkat, open, openat, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use sys::{CalledOn as _, Error};

/// The status of an app that is asked to end before it began: that of one that SIGTERM (15) ended.
pub(crate) const ASKED_TO_END: u8 = 128 + 15;
/// The usual size of a file system's block.
const BLOCK: u64 = 4096;

/// How often an app writes a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Once, when it ends.
    Once,
    /// Each time it ends, since it is started again.
    Again,
}

/// Names the file that an app's next status is written to. No app's name begins with a dot.
fn hidden(app: &AppName) -> String {
    format!(".{app}")
}

/// Names the file that becomes the hidden one once that has been renamed to the app's name.
fn spare(app: &AppName) -> String {
    format!("..{app}")
}

/// Reserves the space for the statuses of `apps` in their directory, which must be empty.
pub(crate) fn reserve<'a>(
    directory: &OwnedFd,
    apps: impl Iterator<Item = (&'a AppName, Writes)> + Clone,
) -> Result<(), Error> {
    for (app, writes) in apps.clone() {
        reserve_file(directory, &hidden(app))?;
        if writes == Writes::Again {
            reserve_file(directory, &spare(app))?;
        }
    }
    // Directories don't shrink: once they had an entry of the longest name for each app, they have room for its own.
    let width = apps.clone().map(|(app, _)| app.as_str().len()).max().unwrap_or_default();
    let room = |number: usize| format!("...{number:0>width$}");
    for (number, (app, _)) in apps.clone().enumerate() {
        let linked = linkat(directory, hidden(app), directory, room(number), AtFlags::empty());
        linked.called_on("linkat", room(number))?;
    }
    (0..apps.count()).try_for_each(|number| {
        unlinkat(directory, room(number), AtFlags::empty()).called_on("unlinkat", room(number))
    })
}

fn reserve_file(directory: &OwnedFd, name: &str) -> Result<(), Error> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::from_raw_mode(0o644)).called_on("openat", name)?;
    reserve_block(&file, 0).called_on("fallocate", name)
}

/// Reserves a block for what is written to a file from `at` on. On a file system that can't, nothing is reserved.
pub(crate) fn reserve_block(file: impl AsFd, at: u64) -> rustix::io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, at, BLOCK) {
        Err(Errno::OPNOTSUPP) => Ok(()),
        reserved => reserved,
    }
}

/// Writes an app's status; `root` is the path of stage1.
///
/// If that fails, the app has no status, since an earlier one is not its last.
pub(crate) fn write(root: &str, app: &AppName, code: u8) -> io::Result<()> {
    let written = write_in(&format!("{root}/{}", layout::STATUS), app, code);
    if written.is_err() {
        let _ = fs::remove_file(format!("{root}/{}", layout::status(app)));
    }
    written
}

fn write_in(directory: &str, app: &AppName, code: u8) -> io::Result<()> {
    let [status, hidden, spare] =
        [app.to_string(), hidden(app), spare(app)].map(|name| format!("{directory}/{name}"));
    let text = format!("{code}\n");
    // Not truncated first: that would free its block.
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(open(&hidden, flags, Mode::from_raw_mode(0o644))?);
    file.write_all(text.as_bytes())?;
    if file.metadata()?.len() != text.len() as u64 {
        file.set_len(text.len() as u64)?;
    }
    file.sync_data()?;
    if renameat_with(CWD, &hidden, CWD, &status, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    // The app has no status yet.
    fs::rename(&hidden, &status)?;
    // Provides the file for the next status, if there will be one.
    let _ = fs::rename(&spare, &hidden);
    Ok(())
}

/// Tells whether an app has a status.
pub(crate) fn is_there(root: &str, app: &AppName) -> io::Result<bool> {
    fs::exists(format!("{root}/{}", layout::status(app)))
}

/// Removes the reserved files that were not needed.
pub(crate) fn tidy(root: &str, app: &AppName) {
    for name in [hidden(app), spare(app)] {
        // A file that stays does no harm.
        let _ = fs::remove_file(format!("{root}/{}/{name}", layout::STATUS));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn app(name: &str) -> AppName {
        name.parse().unwrap()
    }

    fn listed(directory: &tempfile::TempDir) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_status_shows_once_it_is_written_and_takes_the_block_that_was_reserved() {
        let directory = tempfile::tempdir().unwrap();
        let apps = [(app("a"), Writes::Once), (app("again"), Writes::Again), (app("0"), Writes::Once)];
        let opened = OwnedFd::from(File::open(&directory).unwrap());
        reserve(&opened, apps.iter().map(|(app, writes)| (app, *writes))).unwrap();
        assert_eq!(listed(&directory), ["..again", ".0", ".a", ".again"]);
        let inode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().ino();
        let reserved = [inode(".a"), inode(".again"), inode("..again")];
        let path = directory.path().to_str().unwrap();
        write_in(path, &app("a"), 143).unwrap();
        for code in [137, 0, 9] {
            write_in(path, &app("again"), code).unwrap();
            let text = fs::read_to_string(directory.path().join("again")).unwrap();
            assert_eq!(text, format!("{code}\n"));
        }
        assert_eq!(listed(&directory), [".0", ".again", "a", "again"]);
        assert_eq!([inode("a"), inode("again"), inode(".again")], reserved);
    }

    #[test]
    fn a_status_is_written_where_nothing_is_reserved() {
        let directory = tempfile::tempdir().unwrap();
        for code in [7, 255] {
            write_in(directory.path().to_str().unwrap(), &app("a"), code).unwrap();
            assert_eq!(fs::read_to_string(directory.path().join("a")).unwrap(), format!("{code}\n"));
        }
    }
}
