// SPDX-License-Identifier: Apache-2.0
//! The system calls that change a file system, and the arguments that name what they change.
//!
//! Invariant: a call that is not in the table changes nothing that outlives the program. Calls such as `open` and
//! `openat` are both in the table because x86_64 has both.

use Place::{At, Descriptor, Path};
use When::{Always, Clones, Flags, FlagsInMemory};

/// The arguments, by their numbers, in which a call names an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A directory's descriptor, and a path from there.
    At(usize, usize),
    /// A path.
    Path(usize),
    /// A descriptor.
    Descriptor(usize),
}

/// The condition, in terms of its arguments, under which a call changes something.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Always,
    /// The argument has open(2)'s flags, and they say that it writes or creates.
    Flags(usize),
    /// The argument is the address of openat2(2)'s `struct open_how`, whose first member is such flags.
    FlagsInMemory(usize),
    /// The call is an ioctl(2) that copies content or sets flags.
    Clones(usize),
}

/// What a call does to the objects it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Changes the objects and, if it adds or removes names, their directories.
    Names,
    /// Gives an object another name, so changes the directory of the new name.
    Links,
    /// Changes the objects.
    Objects,
    /// Moves the first object to the place of the second.
    Renames,
    /// Writes a file, its directories or all of its file system to disk.
    SyncsObject,
    /// Writes a whole file system to disk.
    SyncsFileSystem,
    /// Changes mounts, or something else that is in no tree.
    Other,
}

/// A call that may change something.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) effect: Effect,
    pub(super) when: When,
    pub(super) places: &'static [Place],
}

/// Returns the rule for the call of this name.
pub(super) fn rule(name: &str) -> Option<Rule> {
    let names = |when, places| Some(Rule { effect: Effect::Names, when, places });
    let of = |effect, places| Some(Rule { effect, when: Always, places });
    match name {
        "open" => names(Flags(1), &[Path(0)]),
        "openat" => names(Flags(2), &[At(0, 1)]),
        "openat2" => names(FlagsInMemory(2), &[At(0, 1)]),
        "creat" | "mkdir" | "rmdir" | "mknod" | "unlink" => names(Always, &[Path(0)]),
        "mkdirat" | "mknodat" | "unlinkat" => names(Always, &[At(0, 1)]),
        "symlink" => names(Always, &[Path(1)]),
        "symlinkat" => names(Always, &[At(1, 2)]),
        "link" => of(Effect::Links, &[Path(1)]),
        "linkat" => of(Effect::Links, &[At(2, 3)]),
        "rename" => of(Effect::Renames, &[Path(0), Path(1)]),
        "renameat" | "renameat2" => of(Effect::Renames, &[At(0, 1), At(2, 3)]),
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "ftruncate" | "fallocate" | "fchmod"
        | "fchown" | "fsetxattr" | "fremovexattr" | "sendfile" => of(Effect::Objects, &[Descriptor(0)]),
        "copy_file_range" | "splice" => of(Effect::Objects, &[Descriptor(2)]),
        "ioctl" => Some(Rule { effect: Effect::Objects, when: Clones(1), places: &[Descriptor(0)] }),
        "truncate" | "chmod" | "chown" | "lchown" | "utime" | "utimes" | "setxattr" | "lsetxattr"
        | "removexattr" | "lremovexattr" => of(Effect::Objects, &[Path(0)]),
        "fchmodat" | "fchmodat2" | "fchownat" | "utimensat" | "futimesat" | "setxattrat"
        | "removexattrat" => of(Effect::Objects, &[At(0, 1)]),
        "fsync" | "fdatasync" => of(Effect::SyncsObject, &[Descriptor(0)]),
        "syncfs" => of(Effect::SyncsFileSystem, &[Descriptor(0)]),
        // It guarantees nothing (sync_file_range(2), "Warning").
        "sync_file_range" => of(Effect::Other, &[Descriptor(0)]),
        // Locks decide what other processes may remove.
        "flock" => of(Effect::Other, &[Descriptor(0)]),
        "mount" => of(Effect::Other, &[Path(1)]),
        "umount2" => of(Effect::Other, &[Path(0)]),
        "move_mount" => of(Effect::Other, &[At(2, 3)]),
        "open_tree" | "mount_setattr" => of(Effect::Other, &[At(0, 1)]),
        "pivot_root" => of(Effect::Other, &[Path(0), Path(1)]),
        "fsopen" | "fsconfig" | "fsmount" => of(Effect::Other, &[]),
        _ => None,
    }
}

/// Tells whether open(2)'s flags write or create something.
pub(super) fn opens_for_change(flags: u64) -> bool {
    use nix::fcntl::OFlag;
    let creates = OFlag::O_CREAT | OFlag::O_TRUNC | (OFlag::O_TMPFILE & !OFlag::O_DIRECTORY);
    let writes = OFlag::O_WRONLY | OFlag::O_RDWR;
    flags & u64::from((creates | writes).bits().cast_unsigned()) != 0
}

/// Tells whether this is an ioctl(2) that changes the file: FICLONE, FICLONERANGE, FIDEDUPERANGE or FS_IOC_SETFLAGS
/// (linux/fs.h).
pub(super) fn clones(request: u64) -> bool {
    [0x4004_9409, 0x4020_940d, 0xc018_9436, 0x4008_6602].contains(&(request & 0xffff_ffff))
}

/// Tells whether a call takes space, and so fails on a full file system.
pub(super) fn takes_space(name: &str) -> bool {
    let rule = rule(name);
    let gives_names =
        rule.is_some_and(|rule| matches!(rule.effect, Effect::Names | Effect::Links | Effect::Renames));
    let writes =
        ["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "fallocate"];
    let gives_back = ["unlink", "unlinkat", "rmdir"];
    gives_names && !gives_back.contains(&name) || writes.contains(&name) || name.contains("setxattr")
}
