// SPDX-License-Identifier: Apache-2.0
//! What a traced program did, in order.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::calls::{self, Effect, Place, Rule, When};
use super::registers::Registers;

/// The maximal length of a path in a call (limits.h, PATH_MAX).
const PATH_MAX: usize = 4096;
/// The descriptor that stands for the current directory (openat(2)).
const AT_FDCWD: i32 = -100;

/// An object's identity, independent of its name and of mount namespaces: device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The file system.
    pub device: u64,
    /// The object in it.
    pub inode: u64,
}

impl From<&Metadata> for Id {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The effect of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// These objects have changed.
    Changed(Vec<Id>),
    /// An object got a name in a directory and lost its old one.
    Renamed {
        /// The directory of the old name.
        from: Id,
        /// The directory of the new name.
        to: Id,
        /// The object.
        object: Id,
        /// Whether no object could lose the new name (renameat2(2), RENAME_NOREPLACE and RENAME_EXCHANGE).
        no_replace: bool,
    },
    /// An object was written to disk.
    SyncedObject(Id),
    /// A file system was written to disk.
    SyncedFileSystem(u64),
    /// Something was written to stdout.
    Said,
    /// Something that is in no tree, or nothing.
    Other,
}

/// A system call.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub call: &'static str,
    /// The objects it names, for people; the paths are not canonical.
    pub objects: Vec<PathBuf>,
    /// Its number among the calls that change something, from 1; 0 for others.
    pub number: usize,
    /// When it began, as a number that grows from event to event.
    pub began: usize,
    /// How the call ended, once it has.
    pub end: Option<End>,
}

/// How a system call ended.
#[derive(Clone, Debug)]
pub struct End {
    /// When it ended, on the scale of `began`.
    pub at: usize,
    /// The call's result; negative for an error.
    pub result: i64,
    /// What it did; `Other` if it failed.
    pub done: Done,
}

impl Event {
    /// Tells whether it takes space on a file system.
    pub fn takes_space(&self) -> bool {
        calls::takes_space(self.call)
    }

    /// Returns what it did, if it succeeded.
    pub fn done(&self) -> Option<&Done> {
        self.end.as_ref().filter(|end| end.result >= 0).map(|end| &end.done)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.call)?;
        self.objects.iter().try_for_each(|object| write!(f, " {}", object.display()))?;
        match &self.end {
            Some(end) => write!(f, " = {}", end.result),
            None => write!(f, " (not ended)"),
        }
    }
}

/// A thread at a system call.
pub(super) struct At<'r> {
    pub(super) thread: Pid,
    pub(super) registers: &'r Registers,
}

impl At<'_> {
    /// Returns the call's name, rule and objects, as far as its entry tells, if it changes something or writes to
    /// stdout.
    pub(super) fn entry(&self) -> Option<(&'static str, Rule, Vec<PathBuf>)> {
        let number = usize::try_from(self.registers.number()).ok()?;
        let name = syscalls::Sysno::new(number)?.name();
        let rule = calls::rule(name)?;
        let arguments = self.registers.arguments();
        let applies = match rule.when {
            When::Always => true,
            When::Flags(flags) => calls::opens_for_change(arguments[flags]),
            When::FlagsInMemory(address) => {
                let flags = self.memory(arguments[address], 8)?;
                calls::opens_for_change(u64::from_ne_bytes(flags.try_into().ok()?))
            }
            When::Clones(request) => calls::clones(arguments[request]),
        };
        let places: Vec<PathBuf> = rule.places.iter().filter_map(|place| self.place(*place)).collect();
        let shown = places.iter().map(|place| shown(place)).collect();
        (applies && (self.says(&rule) || places.iter().all(|place| is_kept(&rule, place))))
            .then_some((name, rule, shown))
    }

    /// Tells whether it writes to a stdout that is no file.
    pub(super) fn says(&self, rule: &Rule) -> bool {
        let [Place::Descriptor(0)] = rule.places else { return false };
        let stdout = PathBuf::from(format!("/proc/{}/fd/1", self.thread));
        rule.effect == Effect::Objects
            && descriptor(self.registers.arguments()[0]) == 1
            && !fs::metadata(stdout).is_ok_and(|stdout| stdout.is_file())
    }

    /// Returns what a successful call did.
    pub(super) fn done(&self, rule: &Rule, registers_at_entry: &Registers) -> Done {
        let at_entry = At { thread: self.thread, registers: registers_at_entry };
        if at_entry.says(rule) {
            return Done::Said;
        }
        let mut places: Vec<PathBuf> =
            rule.places.iter().filter_map(|place| at_entry.place(*place)).collect();
        match rule.effect {
            Effect::Names => {
                let parents = places.iter().filter_map(|place| parent(place)).collect::<Vec<_>>();
                if matches!(rule.when, When::Flags(_) | When::FlagsInMemory(_)) {
                    // The opened object itself, and not a link of this name.
                    places = vec![self.of_descriptor(self.registers.result().cast_unsigned())];
                }
                Done::Changed(
                    parents.into_iter().chain(places.iter().filter_map(|place| id(place))).collect(),
                )
            }
            Effect::Links => Done::Changed(places.iter().filter_map(|place| parent(place)).collect()),
            Effect::Objects => Done::Changed(places.iter().filter_map(|place| id(place)).collect()),
            Effect::Renames => {
                let [from, to] = places.as_slice() else { return Done::Other };
                let no_replace = registers_at_entry.arguments()[4] & 3 != 0;
                match (parent(from), parent(to), id(to)) {
                    (Some(from), Some(to), Some(object)) => Done::Renamed { from, to, object, no_replace },
                    _ => Done::Other,
                }
            }
            Effect::SyncsObject => {
                places.first().and_then(|place| id(place)).map_or(Done::Other, Done::SyncedObject)
            }
            Effect::SyncsFileSystem => places
                .first()
                .and_then(|place| id(place))
                .map_or(Done::Other, |id| Done::SyncedFileSystem(id.device)),
            Effect::Other => Done::Other,
        }
    }

    /// Returns a path by which this process reaches what the thread names.
    fn place(&self, place: Place) -> Option<PathBuf> {
        let arguments = self.registers.arguments();
        let (directory, path) = match place {
            Place::Descriptor(number) => return Some(self.of_descriptor(arguments[number])),
            Place::Path(path) => (None, path),
            Place::At(directory, path) => (Some(arguments[directory]), path),
        };
        let directory = match directory {
            Some(number) if descriptor(number) != AT_FDCWD => self.of_descriptor(number),
            _ => PathBuf::from(format!("/proc/{}/cwd", self.thread)),
        };
        if arguments[path] == 0 {
            return Some(directory);
        }
        let path = self.path(arguments[path])?;
        if let Ok(own) = path.strip_prefix("/proc/self") {
            return Some(Path::new(&format!("/proc/{}", self.thread)).join(own));
        }
        match path.strip_prefix("/") {
            Ok(below) => Some(Path::new(&format!("/proc/{}/root", self.thread)).join(below)),
            Err(_) if path.as_os_str().is_empty() => Some(directory),
            Err(_) => Some(directory.join(path)),
        }
    }

    fn of_descriptor(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", self.thread, descriptor(number)))
    }

    fn path(&self, address: u64) -> Option<PathBuf> {
        let bytes = self.memory(address, PATH_MAX)?;
        let length = bytes.iter().position(|byte| *byte == 0)?;
        Some(OsString::from_vec(bytes[..length].to_vec()).into())
    }

    /// Returns the thread's memory from `address`, or as much of `length` as exists.
    fn memory(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let memory = File::open(format!("/proc/{}/mem", self.thread)).ok()?;
        let mut bytes = vec![0; length];
        let count = memory.read_at(&mut bytes, address).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }
}

/// Takes a descriptor from the lower half of an argument.
fn descriptor(argument: u64) -> i32 {
    let [a, b, c, d, ..] = argument.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// Tells whether changes at this place outlive the program. That excludes pipes, sockets, terminals and devices,
/// whether they are open already or opened by this call.
fn is_kept(rule: &Rule, place: &Path) -> bool {
    let in_a_tree = |found: Metadata| found.is_file() || found.is_dir();
    if is_open(place) {
        let name = fs::read_link(place).unwrap_or_default();
        let in_memory = name.as_os_str().as_bytes().starts_with(b"/memfd:");
        return !in_memory && fs::metadata(place).is_ok_and(in_a_tree);
    }
    let opens = matches!(rule.when, When::Flags(_) | When::FlagsInMemory(_));
    !opens || fs::metadata(place).map_or(true, in_a_tree)
}

/// Tells whether the path is a descriptor and nothing more: `/proc/THREAD/fd/NUMBER`.
fn is_open(place: &Path) -> bool {
    place.components().count() == 5 && place.parent().is_some_and(|parent| parent.ends_with("fd"))
}

/// Returns the identity of the object at this path: a link itself, but the object that a descriptor stands for.
fn id(place: &Path) -> Option<Id> {
    let found = if is_open(place) { fs::metadata(place) } else { fs::symlink_metadata(place) };
    found.ok().as_ref().map(Id::from)
}

fn parent(place: &Path) -> Option<Id> {
    fs::metadata(place.parent()?).ok().as_ref().map(Id::from)
}

/// Returns the path as the program itself would name it.
fn shown(place: &Path) -> PathBuf {
    let mut components = place.components();
    let start: PathBuf = components.by_ref().take(4).collect();
    let is_root = start.file_name() == Some(OsStr::new("root"));
    let start = match start.file_name() {
        _ if is_root => PathBuf::from("/"),
        Some(name) if name == "fd" => {
            let number = components.next().map(|number| start.join(number)).unwrap_or_default();
            fs::read_link(&number).unwrap_or(number)
        }
        _ => fs::read_link(&start).unwrap_or(start),
    };
    let rest = components.as_path();
    if rest.as_os_str().is_empty() { start } else { start.join(rest) }
}
