// SPDX-License-Identifier: Apache-2.0
//! Guarded paths: only root can change where they lead, so root may execute what is there.
//!
//! A user that can write to a directory can replace any entry of it, and with that everything below. So every directory
//! that a path leads through, also by way of links, must be owned by root and writable only by root. A sticky directory
//! such as /tmp may be writable by others if the entry in it is owned by root, since no other user can rename that
//! entry. "Root" means user 0 and the user of this process. Access control lists need no separate check: where one lets
//! others write, the mode's group bits show that, too (acl(5)).
//!
//! Invariant: a path that was found to be guarded leads to the same place until root changes it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use pod::text::escape;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use report::Advice;

/// How many links may be on a path (path_resolution(7)).
const LINKS_MAX: usize = 40;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const BY_NAME: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a path can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It leads nowhere.
    #[error(transparent)]
    System(#[from] Errno),
    /// A link on it can't be read.
    #[error("cannot read a link")]
    Link(#[source] Errno),
    /// Users other than root can change where it leads.
    #[error("{who_can} {path}, which is on the way to it: owner {owner}, mode {mode:04o}")]
    Unguarded {
        /// The reason: which users can do what there.
        who_can: &'static str,
        /// The directory or link that they can change, escaped.
        path: String,
        /// Its owner.
        owner: u32,
        /// Its mode.
        mode: u32,
        /// The command that changes that.
        way_out: String,
    },
}

type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Tells whether something on the path is missing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System(Errno::NOENT))
    }
}

impl Advice for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unguarded { way_out, .. } => {
                Some(format!("expected only root to be able to change the way: another --dir, or {way_out}"))
            }
            Self::System(_) | Self::Link(_) => None,
        }
    }
}

/// Opens the object that an absolute path leads to, as a mere reference (`O_PATH`).
///
/// # Errors
/// If users other than root can change what the path leads to, or it leads nowhere.
pub fn open(path: &Path) -> Result<OwnedFd> {
    let root = Place::open(CWD, "/".as_ref(), "/".into())?;
    // The directories that were entered, and the rest of the path from the last of them.
    let (mut way, mut rest) = (vec![root], path.to_owned());
    let mut links = 0;
    loop {
        let mut components = rest.components();
        let Some(first) = components.next() else { break };
        let mut next = components.as_path().to_owned();
        match first {
            Component::RootDir => way.truncate(1),
            Component::ParentDir => way.truncate(1.max(way.len() - 1)),
            Component::CurDir | Component::Prefix(_) => {}
            Component::Normal(name) => {
                let entry = way.last().expect("the root stays").entry(name)?;
                match entry.link()? {
                    None => way.push(entry),
                    Some(target) => {
                        links += 1;
                        if links > LINKS_MAX {
                            return Err(Errno::LOOP.into());
                        }
                        next = target.join(next);
                    }
                }
            }
        }
        rest = next;
    }
    Ok(way.pop().expect("the root stays").file)
}

/// An object that a path leads through.
struct Place {
    file: OwnedFd,
    /// Its path without links.
    path: PathBuf,
    stat: Stat,
}

impl Place {
    fn open(parent: impl AsFd, name: &OsStr, path: PathBuf) -> Result<Self> {
        // Tried as a directory first, since an automount point is mounted only then (open(2), O_PATH).
        let file = match openat(&parent, name, BY_NAME | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOTDIR) => openat(&parent, name, BY_NAME, Mode::empty()),
            opened => opened,
        }?;
        let stat = fstat(&file)?;
        Ok(Self { file, path, stat })
    }

    /// Opens an entry of this directory, if only root can replace that entry.
    fn entry(&self, name: &OsStr) -> Result<Self> {
        if !self.is(FileType::Directory) {
            return Err(Errno::NOTDIR.into());
        }
        let others_write = self.stat.st_mode & OTHERS_WRITE != 0;
        let is_sticky = self.stat.st_mode & STICKY != 0;
        if !self.is_roots() || others_write && !is_sticky {
            return self.refuse("others can write to");
        }
        let entry = Self::open(&self.file, name, self.path.join(name))?;
        if others_write && !entry.is_roots() {
            return entry.refuse("in a directory that all can write to, its owner can replace");
        }
        Ok(entry)
    }

    /// Returns the target, if this is a link.
    fn link(&self) -> Result<Option<PathBuf>> {
        if !self.is(FileType::Symlink) {
            return Ok(None);
        }
        let target = readlinkat(&self.file, "", Vec::new()).map_err(Error::Link)?;
        Ok(Some(OsString::from_vec(target.into_bytes()).into()))
    }

    fn is(&self, kind: FileType) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == kind
    }

    fn is_roots(&self) -> bool {
        self.stat.st_uid == 0 || self.stat.st_uid == geteuid().as_raw()
    }

    fn refuse<T>(&self, who_can: &'static str) -> Result<T> {
        let path = escape(&self.path.to_string_lossy());
        let (owner, mode) = (self.stat.st_uid, self.stat.st_mode & 0o7777);
        let way_out = match self.is_roots() {
            true => format!("chmod go-w {path}"),
            false => format!("chown -h root {path}"),
        };
        Err(Error::Unguarded { who_can, path, owner, mode, way_out })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn leads_to(path: &Path) -> u64 {
        fstat(open(path).unwrap()).unwrap().st_ino
    }

    fn error(path: &Path) -> String {
        report::line(&report::told(open(path).unwrap_err()))
    }

    #[test]
    fn a_path_leads_where_the_kernel_takes_it() {
        let outer = tempfile::tempdir().unwrap();
        let outer = outer.path();
        fs::create_dir_all(outer.join("a/b")).unwrap();
        fs::create_dir(outer.join("a/c")).unwrap();
        symlink("../a/b", outer.join("a/relative")).unwrap();
        symlink(outer.join("a"), outer.join("absolute")).unwrap();
        for path in
            ["a/b", "a/./b/", "a/relative", "absolute/relative", "absolute/relative/../c", "a/b/../../a"]
        {
            let path = outer.join(path);
            assert_eq!(leads_to(&path), fs::metadata(&path).unwrap().ino(), "{path:?}");
        }
        assert_eq!(leads_to(Path::new("/..")), fs::metadata("/").unwrap().ino());
    }

    #[test]
    fn what_is_missing_or_leads_in_a_circle_is_an_error_of_the_kernels() {
        let outer = tempfile::tempdir().unwrap();
        symlink("circle", outer.path().join("circle")).unwrap();
        fs::write(outer.path().join("file"), "").unwrap();
        for (path, errno) in [
            ("none", Errno::NOENT),
            ("none/x", Errno::NOENT),
            ("circle", Errno::LOOP),
            ("file/x", Errno::NOTDIR),
        ] {
            let error = open(&outer.path().join(path)).unwrap_err();
            assert!(matches!(error, Error::System(found) if found == errno), "{path}: {error}");
        }
    }

    #[test]
    fn a_directory_on_the_way_that_others_can_write_to_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let outer = outer.path().canonicalize().unwrap();
        fs::create_dir_all(outer.join("open/dir")).unwrap();
        symlink("open/dir", outer.join("link")).unwrap();
        symlink("../dir", outer.join("open/out")).unwrap();
        fs::create_dir(outer.join("dir")).unwrap();
        for bad in [0o775, 0o757, 0o777] {
            mode(&outer.join("open"), bad);
            for path in ["open/dir", "open/none", "link", "open/out", "dir/../open/dir"] {
                let error = error(&outer.join(path));
                let open = outer.join("open");
                let expected = format!("\"{}\", which is on the way to it: owner", open.display());
                assert!(error.contains(&expected) && error.contains(&format!("mode {bad:04o}")), "{error}");
                assert!(error.contains(&format!("chmod go-w \"{}\"", open.display())), "{error}");
            }
            // The object that a path leads to is not on the way to it, so its own mode doesn't matter.
            open(&outer.join("open")).unwrap();
            open(&outer.join("dir")).unwrap();
        }
        for good in [0o755, 0o700, 0o1777, 0o1775] {
            mode(&outer.join("open"), good);
            open(&outer.join("link")).unwrap();
        }
    }
}
