// SPDX-License-Identifier: Apache-2.0
//! An app's file system as the app will see it: its image's tree, what the executor makes in it, and what is mounted
//! over it.
//!
//! A path is walked as the kernel walks it, one name after the other, following links. So every directory on the way is
//! examined, and it can be checked that the app may pass. Invariant: only the image's tree and the kernel's own file
//! systems are examined. A volume of the host may change until the pod starts.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use pod::text::escape_bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, fstat, getxattr, readlinkat};
use rustix::io::Errno;

use super::access::{Permissions, Who};
use super::acl::{ATTRIBUTE, Acl};
use sys::in_root::{InRoot, is_missing};
use sys::proc_path;

/// The longest path the kernel takes, without its NUL (limits.h, `PATH_MAX`).
const PATH_MAX: usize = 4095;
/// The longest value of an attribute (limits.h, `XATTR_SIZE_MAX`).
const XATTR_MAX: usize = 65_536;
/// The usual maximum length of an ACL.
const XATTR_USUAL: usize = 256;
/// The maximum number of links that are followed on the way (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// An app's file system.
#[derive(Debug)]
pub(super) struct View<'a> {
    root: &'a InRoot,
    covers: Vec<Cover>,
}

/// A mount or another object that hides, at one path, what the image's tree has there.
#[derive(Debug)]
pub(super) struct Cover {
    /// The path from the root, without links.
    pub(super) path: Vec<u8>,
    pub(super) what: What,
}

/// The object that the app sees in a place.
#[derive(Debug)]
pub(super) enum What {
    /// A volume of the host.
    Host,
    /// A directory that is empty when the app starts, apart from other places in it, with a description for messages.
    Empty(Permissions, &'static str),
    /// /proc or /sys.
    Kernel,
    /// A link that the executor makes.
    Link(&'static str),
}

/// The object that a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// A directory, and its path without links.
    Directory(Permissions, Vec<u8>),
    /// A file of the image, and its path without links.
    File(Permissions, OwnedFd, Vec<u8>),
    /// An object below /proc or /sys, and its path, which may contain links.
    Kernel(Vec<u8>),
    /// Something that can't be known before the pod starts.
    Unknown,
}

/// The reason why a path leads nowhere.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) errno: Errno,
    /// The object in the way.
    pub(super) at: Vec<u8>,
    /// The text about that object, for a message.
    pub(super) why: String,
    /// Whether the object may exist by the time it is needed, as it is in a place that is empty only when the pod
    /// starts.
    pub(super) may_come: bool,
}

/// An object on the way along a path.
enum Object {
    Directory(Permissions),
    File(Permissions, OwnedFd),
    Link(Vec<u8>),
    /// A device, a FIFO, a socket.
    Other,
    Host,
    Kernel,
}

impl<'a> View<'a> {
    /// Makes a view of the image's tree with these places in it. Of two places at one path, the later one is seen.
    pub(super) fn new(root: &'a InRoot, covers: Vec<Cover>) -> Self {
        Self { root, covers }
    }

    /// Walks `path` with the access rights of `who`. A relative path starts at the directory `from`.
    pub(super) fn find(&self, who: &Who, from: &[u8], path: &[u8]) -> Result<Found, Obstacle> {
        if path.len() > PATH_MAX {
            return Err(Obstacle::new(Errno::NAMETOOLONG, path.to_vec(), "is longer than the kernel takes"));
        }
        let mut at = if path.starts_with(b"/") { Vec::new() } else { from.to_vec() };
        let mut here = self.look(&at)?;
        let (mut names, mut links) = (Vec::new(), 0);
        push(&mut names, path);
        while let Some(name) = names.pop() {
            match (&here, name.as_slice()) {
                (Object::Host | Object::Directory(_) | Object::Kernel, b"") => continue,
                (Object::Host | Object::Kernel, b"..") => {}
                (Object::Host, _) => return Ok(Found::Unknown),
                (Object::Kernel, _) => return Ok(below_kernel(at, &name, &names)),
                (Object::Directory(permissions), _) if who.may_search(permissions) => {}
                (Object::Directory(permissions), _) => return Err(Obstacle::search(at, permissions, who)),
                _ => return Err(Obstacle::new(Errno::NOTDIR, at, "is no directory")),
            }
            match name.as_slice() {
                b"." => continue,
                b".." => at.truncate(parent(&at)),
                name => at.extend([b"/", name].concat()),
            }
            here = self.look(&at)?;
            if let Object::Link(target) = &here {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Obstacle::new(Errno::LOOP, at, "is one link too many"));
                }
                push(&mut names, target);
                at.truncate(if target.starts_with(b"/") { 0 } else { parent(&at) });
                here = self.look(&at)?;
            }
        }
        here.found(at)
    }

    /// Returns the object at a path whose parent is a directory.
    fn look(&self, path: &[u8]) -> Result<Object, Obstacle> {
        if let Some(cover) = self.covers.iter().rfind(|cover| cover.path == path) {
            return Ok(match &cover.what {
                What::Host => Object::Host,
                What::Kernel => Object::Kernel,
                What::Link(target) => Object::Link(target.as_bytes().to_vec()),
                What::Empty(Permissions { mode, uid, gid, .. }, _) => {
                    Object::Directory(Permissions { mode: *mode, uid: *uid, gid: *gid, acl: None })
                }
            });
        }
        let around = self.covers.iter().filter(|cover| is_below(path, &cover.path));
        let around = around.max_by_key(|cover| cover.path.len());
        let found = match around.map(|cover| (&cover.path, &cover.what)) {
            Some((cover, What::Empty(_, what))) => Err(Obstacle::new(
                Errno::NOENT,
                path.to_vec(),
                &format!("is not there: {} is {what}", shown(cover)),
            )
            .or_later()),
            _ => self.in_image(path),
        };
        // The executor makes the directories above its mounts, and /etc for the files it supplies.
        let is_made = path == b"/etc" || self.covers.iter().any(|cover| is_below(&cover.path, path));
        match found {
            Err(obstacle) if obstacle.errno == Errno::NOENT && is_made => {
                Ok(Object::Directory(Permissions::roots(0o755)))
            }
            found => found,
        }
    }

    fn in_image(&self, path: &[u8]) -> Result<Object, Obstacle> {
        object(self.root, path).map_err(|error| {
            let why = if is_missing(&error) {
                "is not in the image".into()
            } else {
                format!("can't be read: {error}")
            };
            Obstacle::new(Errno::from_io_error(&error).unwrap_or(Errno::IO), path.to_vec(), &why)
        })
    }
}

impl Obstacle {
    pub(super) fn new(errno: Errno, at: Vec<u8>, why: &str) -> Self {
        Self { errno, at, why: why.to_owned(), may_come: false }
    }

    fn or_later(self) -> Self {
        Self { may_come: true, ..self }
    }

    pub(super) fn search(at: Vec<u8>, permissions: &Permissions, who: &Who) -> Self {
        let (has, who) = (permissions.shown(), who.shown());
        Self::new(Errno::ACCESS, at, &format!("has {has}: expected a directory that {who} can search"))
    }

    /// Formats the obstacle for a message about `path`, which is `what`.
    pub(super) fn shown(&self, what: &str, path: &[u8]) -> String {
        let (asked, at) = (escape_bytes(path), shown(&self.at));
        let why = &self.why;
        if asked == at { format!("{what} {asked} {why}") } else { format!("{what} {asked}: {at} {why}") }
    }
}

impl Object {
    /// Returns the object as the end of a walk.
    fn found(self, at: Vec<u8>) -> Result<Found, Obstacle> {
        match self {
            Self::Directory(permissions) => Ok(Found::Directory(permissions, at)),
            Self::File(permissions, file) => Ok(Found::File(permissions, file, at)),
            Self::Kernel => Ok(Found::Kernel(at)),
            Self::Host => Ok(Found::Unknown),
            Self::Link(_) | Self::Other => {
                Err(Obstacle::new(Errno::ACCESS, at, "is neither a file nor a directory"))
            }
        }
    }
}

fn object(root: &InRoot, path: &[u8]) -> io::Result<Object> {
    let file = root.open_itself(OsStr::from_bytes(if path.is_empty() { b"/" } else { path }))?;
    let stat = fstat(&file)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => Object::Link(readlinkat(&file, "", Vec::new())?.into_bytes()),
        kind @ (FileType::Directory | FileType::RegularFile) => {
            let (mode, uid, gid) = (stat.st_mode, stat.st_uid, stat.st_gid);
            let permissions = Permissions { mode, uid, gid, acl: acl(&file)? };
            if kind == FileType::Directory {
                Object::Directory(permissions)
            } else {
                Object::File(permissions, file)
            }
        }
        _ => Object::Other,
    })
}

/// Reads an object's ACL. An `O_PATH` descriptor can't be used for attributes itself (open(2)), so they are read
/// through its path in /proc.
fn acl(file: &OwnedFd) -> io::Result<Option<Acl>> {
    let path = proc_path(file);
    let read = |most| {
        let mut value = Vec::with_capacity(most);
        getxattr(&path, ATTRIBUTE, spare_capacity(&mut value)).map(|_| value)
    };
    // The kernel takes as much memory as it is given, and few objects have one.
    let value = match read(XATTR_USUAL) {
        Err(Errno::RANGE) => read(XATTR_MAX),
        value => value,
    };
    match value {
        Ok(value) => Ok(Acl::parse(&value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Pushes a path's names on top of those that are still to be walked. An empty name stands for a slash at the end,
/// which requires a directory before it.
fn push(names: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec);
    names.extend(parts.rev());
}

/// Returns the length of the path of a path's parent directory.
fn parent(path: &[u8]) -> usize {
    path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

/// Returns the end of a walk that goes on below /proc or /sys. There, the meaning of `..` depends on links, so the
/// result is unknown.
fn below_kernel(at: Vec<u8>, name: &[u8], names: &[Vec<u8>]) -> Found {
    let rest = [name].into_iter().chain(names.iter().rev().map(Vec::as_slice));
    let mut path = at;
    for name in rest {
        if name == b".." {
            return Found::Unknown;
        }
        path.extend([b"/", name].concat());
    }
    Found::Kernel(path)
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Formats a path without links for a message.
pub(super) fn shown(path: &[u8]) -> String {
    escape_bytes(if path.is_empty() { b"/" } else { path })
}
