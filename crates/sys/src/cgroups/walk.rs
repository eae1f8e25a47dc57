// SPDX-License-Identifier: Apache-2.0
//! Walks the cgroups below one.
//!
//! A program may have made cgroups in its own, with any names and at any depth. So only one descriptor is open at a
//! time, and no path grows with the depth.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Result;
use rustix::path::Arg;

/// Opens the directory of a cgroup.
pub(super) fn open(at: impl AsFd, path: impl Arg) -> Result<OwnedFd> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Removes all cgroups below this one.
pub(super) fn remove_below(cgroup: OwnedFd) -> Result<()> {
    let mut here = cgroup;
    let mut names: Vec<CString> = Vec::new();
    loop {
        if let Some(name) = children(&here)?.pop() {
            here = open(&here, &name)?;
            names.push(name);
        } else if let Some(name) = names.pop() {
            here = open(&here, "..")?;
            unlinkat(&here, name, AtFlags::REMOVEDIR)?;
        } else {
            return Ok(());
        }
    }
}

/// Returns the names of the cgroups in this one.
pub(super) fn children(cgroup: impl AsFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(cgroup)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::create_dir;
    use std::os::unix::ffi::OsStrExt as _;

    use rustix::fs::{CWD, mkdirat};

    use super::*;

    #[test]
    fn all_below_is_removed_whatever_it_is_called() {
        let top = tempfile::tempdir().unwrap();
        for name in [b"\xff", b"a", b"\n"] {
            create_dir(top.path().join(OsStr::from_bytes(name))).unwrap();
        }
        // More levels than descriptors can be open, and deeper than a path can reach.
        let mut here = open(CWD, top.path()).unwrap();
        let name = "n".repeat(250);
        for _ in 0..1100 {
            mkdirat(&here, &*name, Mode::RWXU).unwrap();
            here = open(&here, &*name).unwrap();
        }
        remove_below(open(CWD, top.path()).unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(&top).unwrap().count(), 0);
    }
}
