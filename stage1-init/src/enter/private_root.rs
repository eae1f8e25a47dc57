// SPDX-License-Identifier: Apache-2.0
//! The root in which nspawn runs: a private mount namespace that holds the pod. Of the host it holds nothing but the
//! devices and the pod's volumes.
//!
//! ```text
//! /                 tmpfs, disappears with the namespace
//! /pod              stage1, with the apps' roots and volumes mounted in it
//! /proc /sys /dev   /sys/fs/cgroup is cgroup2, whatever the host has there
//! /run /tmp         empty: nspawn wants /run on a tmpfs, and finds nothing of the host's
//! /outcome          what the pod records about its own end, also mounted in /pod
//! /etc /usr         links into /pod
//! ```
//!
//! Stage1 and the volumes are mounted nodev, so a device node that an app makes with mknod(2) gives no access to the
//! host's devices. Stage1 is read-only while the pod runs. It contains what the next start executes as root on the
//! host, and an app may get hold of a descriptor of it, such as /proc/PID/exe of a launcher that has not become the
//! app yet.
//!
//! Invariant: every mount is made after the namespace became private, so none outlives the namespace's processes or
//! shows on the host; and the host's own mounts are detached, so the pod pins none of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result};
use pod::layout;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, chroot, fchdir};
use sys::mounts::{
    Depth, MountAttrFlags, Submounts, attach, clone_tree, clone_tree_at, create, make_all_private,
    set_attributes,
};
use sys::root::{OldRoot, pivot};
use sys::{InRoot, namespaces};

use crate::enter::overlay::{self, Upper};
use crate::enter::roots;
use crate::enter::users::{Shelf, Users};
use crate::enter::volumes;
use crate::exchange::outcome;
use crate::failure::namespace;
use crate::load::ids::Ids;
use crate::load::store::Store;
use crate::names;
use crate::plan::{Plan, Root};

/// The directories of the private root that something is mounted on: stage1, /dev, /proc and /sys.
const MOUNT_POINTS: [&str; 4] = ["/pod", "/dev", "/proc", "/sys"];

/// The mounts that go into the private root, not attached yet.
struct Trees {
    stage1: OwnedFd,
    /// The directory for the apps' statuses.
    status: OwnedFd,
    devices: OwnedFd,
    apps: Vec<roots::Parts>,
    users: AllUsers,
}

/// The users of the pod, and the own ones of its apps by the host's id of their root.
struct AllUsers {
    pod: Users,
    apps: BTreeMap<u32, Users>,
}

impl AllUsers {
    fn of(plan: &Plan) -> Result<Self> {
        let of_pod = plan.ids.map(Ids::first);
        let own = plan.roots.iter().filter_map(|root| root.first_id).filter(|first| Some(*first) != of_pod);
        let apps = own.map(|first| Ok((first, Users::new(Some(first))?))).collect::<Result<_>>()?;
        Ok(Self { pod: Users::new(of_pod)?, apps })
    }

    fn of_app(&self, root: &Root) -> &Users {
        root.first_id.and_then(|first| self.apps.get(&first)).unwrap_or(&self.pod)
    }
}

/// The mount namespace in which the private root is, and nothing is mounted in it.
#[derive(Debug)]
pub(crate) struct Bare(OwnedFd);

impl Bare {
    /// Takes the private root's mounts away from the pod: from every mount namespace but this process's, which is nspawn's.
    ///
    /// nspawn 252 moves the pod's root over the private one, so that it stays below in the pod's mount namespace, with
    /// the host's devices and an unmasked /proc. All mounts there are locked, since they come from another user
    /// namespace (mount_namespaces(7), "Restrictions on mount namespaces"). But the kernel detaches what is mounted on
    /// a directory that is removed, in every mount namespace (rmdir(2) fails only where the directory is a mount point
    /// in the caller's). So this process removes the directories in a namespace in which nothing is mounted on them,
    /// and mounts copies again in its own.
    ///
    /// To be called when the boot program asks, before it becomes systemd.
    pub(crate) fn keep_alone(&self) -> Result<()> {
        let copy = |path| clone_tree(path, Submounts::Yes).with_context(|| format!("cannot copy {path}"));
        let copies = MOUNT_POINTS.iter().map(|path| copy(path)).collect::<Result<Vec<_>>>()?;
        let own = File::open("/proc/self/ns/mnt").context("cannot open its mount namespace")?;
        namespaces::enter_mounts(&self.0).context("cannot enter the bare mount namespace")?;
        MOUNT_POINTS.iter().try_for_each(|path| {
            let removed = fs::remove_dir(path).and_then(|()| fs::create_dir(path));
            removed.with_context(|| format!("cannot take {path} away from the pod"))
        })?;
        namespaces::enter_mounts(own).context("cannot enter its mount namespace again")?;
        MOUNT_POINTS.iter().zip(copies).try_for_each(|(path, copy)| {
            attach(copy, File::open(path)?).with_context(|| format!("cannot mount {path} again"))
        })
    }
}

/// Moves this process from the pod directory into a private root that holds the pod.
///
/// `hierarchy` is the one of cgroups that nspawn needs; without one, it is this process's.
pub(crate) fn enter(plan: &Plan, store: &Store, hierarchy: Option<&OwnedFd>) -> Result<Bare> {
    unshare()?;
    make_all_private().context("cannot make the mounts private")?;
    // Taken while the host's tree is still there.
    let trees = take(plan, store)?;

    let root = create("tmpfs", &[("mode", "0755"), ("size", "16m")], MountAttrFlags::MOUNT_ATTR_NODEV)
        .context("cannot make a tmpfs")?;
    attach(&root, File::open(".")?).context("cannot mount a tmpfs")?;
    fchdir(&root)?;
    make_places()?;
    let outcome = outcome::make(plan.statuses.iter().map(|(app, _)| app), trees.users.pod.root())
        .context("cannot make a place for the pod's outcome")?;
    let proc = create_kernel("proc")?;
    switch_root(&proc).context("cannot enter the private root")?;
    let bare = Bare(open_in(&proc, "self/ns/mnt").context("cannot open its mount namespace")?);
    unshare()?;
    fill(&trees, &proc, &outcome, hierarchy)?;
    plan.roots.iter().zip(&trees.apps).try_for_each(|(app, taken)| {
        let users = trees.users.of_app(app);
        users
            .act(|| roots::mount(app, taken, plan.zone.as_ref(), users))
            .with_context(|| format!("root of app {}", roots::name(app)))
    })?;
    // The apps' statuses, roots and volumes are mounts of their own, so they are not affected.
    set_attributes(File::open(names::POD)?, MountAttrFlags::MOUNT_ATTR_RDONLY, Depth::One)
        .context("cannot make stage1 read-only")?;
    Ok(bare)
}

/// Gives this process a mount namespace of its own.
fn unshare() -> Result<()> {
    namespace(namespaces::unshare_mounts(), "mount", "user.max_mnt_namespaces")
}

fn open_in(proc: &OwnedFd, path: &str) -> Result<OwnedFd> {
    Ok(openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Takes the trees, through descriptors that are opened in this mount namespace.
fn take(plan: &Plan, store: &Store) -> Result<Trees> {
    let pod = File::open(".").context("cannot open the pod directory")?;
    let directory = InRoot::below(&pod, layout::STAGE1).context("cannot open stage1")?;
    let store = store.reopen(&pod)?;
    let users = AllUsers::of(plan)?;
    let shelf = Shelf::new().context("cannot make a place for layers")?;
    // The apps' overlays are made before stage1's: the kernel warns about an upper layer inside another one in use.
    let apps = plan.roots.iter().map(|app| {
        let owners = users.of_app(app);
        let tree = roots::open(&app.tree, &directory, &store, owners, &shelf);
        let taken = tree.and_then(|tree| {
            let supplies = roots::supplies(app, &directory, owners)?;
            Ok(roots::Parts { tree, supplies, volumes: volumes::open(&app.mounts, owners, &shelf)? })
        });
        taken.with_context(|| format!("root of app {}", roots::name(app)))
    });
    let apps = apps.collect::<Result<_>>()?;
    let stage1 = match &plan.stage1 {
        None => {
            let tree = clone_tree_at(&directory, Submounts::Yes).context("cannot take the stage1 tree")?;
            users.pod.own(&tree, Depth::All).context("stage1")?;
            tree
        }
        Some(tree) => {
            let lower = store.tree(tree)?;
            let upper = Upper::of_stage1(&pod, &lower);
            upper.and_then(|upper| overlay::mount(&lower, &upper, &users.pod, &shelf)).context("stage1")?
        }
    };
    let status = status(&directory).context("stage1's directory of statuses")?;
    users.pod.own(&status, Depth::One).context("stage1's directory of statuses")?;
    shelf.clear(&pod)?;
    set_attributes(&stage1, MountAttrFlags::MOUNT_ATTR_NODEV, Depth::All)
        .context("cannot restrict the stage1 tree")?;
    let devices = clone_tree("/dev", Submounts::Yes).context("cannot take /dev")?;
    Ok(Trees { stage1, status, devices, apps, users })
}

/// Takes the pod directory's own directory of statuses.
///
/// Processes on the host that wait for status files then see what is written, which an overlay's layer would hide.
fn status(stage1: &InRoot) -> Result<OwnedFd> {
    let status = clone_tree_at(InRoot::below(stage1, layout::STATUS)?, Submounts::No)?;
    set_attributes(&status, MountAttrFlags::MOUNT_ATTR_NODEV, Depth::One)?;
    Ok(status)
}

/// Makes the mount points and links of the new root, in the current directory.
fn make_places() -> Result<()> {
    for place in MOUNT_POINTS.iter().chain(&["/run", "/tmp"]) {
        fs::create_dir(place.trim_start_matches('/'))?;
    }
    for name in ["etc", "usr"] {
        symlink(format!("pod/{name}"), name)?;
    }
    Ok(())
}

/// Mounts the pod in the root, and what nspawn needs.
fn fill(trees: &Trees, proc: &OwnedFd, outcome: &OwnedFd, hierarchy: Option<&OwnedFd>) -> Result<()> {
    for (place, tree) in
        MOUNT_POINTS.iter().zip([&trees.stage1, &trees.devices, proc, &create_kernel("sysfs")?])
    {
        attach(tree, File::open(place)?).with_context(|| format!("cannot mount {place}"))?;
    }
    for (path, mount) in [(layout::STATUS, &trees.status), (layout::OUTCOME, outcome)] {
        let place = File::open(format!("pod/{path}"))?;
        attach(mount, place).with_context(|| format!("cannot mount stage1's {path}"))?;
    }
    let place = File::open("sys/fs/cgroup")?;
    match hierarchy {
        Some(hierarchy) => attach(hierarchy, place),
        // This process is in the cgroup namespace that `Cgroup` made.
        None => attach(create_kernel("cgroup2")?, place),
    }
    .context("cannot mount cgroup2")
}

fn create_kernel(fs_type: &str) -> Result<OwnedFd> {
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    create(fs_type, &[], safe).with_context(|| format!("cannot make a {fs_type}"))
}

/// Makes the current directory the root and detaches the old one.
///
/// If the host's root is the initial ramfs, it can't be pivoted away (pivot_root(2)). Then the new root is moved over
/// it, and the mounts below the old root are detached.
fn switch_root(proc: &OwnedFd) -> Result<()> {
    if pivot()? == OldRoot::Stays {
        let old = File::open("/")?;
        let mut table = Vec::new();
        let read = File::from(open_in(proc, "self/mountinfo")?).read_to_end(&mut table);
        read.context("cannot read the mount table")?;
        mount_move(".", "/")?;
        chroot(".")?;
        fchdir(&old)?;
        detach_all(&table).context("cannot detach the host's mounts")?;
    }
    Ok(chdir("/")?)
}

/// Detaches every mount of a mount table (proc_pid_mountinfo(5)) from the current directory, the table's root.
fn detach_all(table: &[u8]) -> Result<()> {
    let paths = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    for path in paths.filter_map(|path| path.strip_prefix(b"/")) {
        match unmount(unescape(path).as_slice(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Errors are from the root itself, from mounts that went with the one they were below, and from what was
            // moved.
            Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Decodes a field of a mount table, which writes some bytes as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut parts = field.split(|byte| *byte == b'\\');
    let mut bytes = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(part.len().min(3));
        bytes.push(digits.iter().fold(0, |value: u8, digit| value << 3 | (digit & 7)));
        bytes.extend(rest);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_mount_table() {
        let table = [("mnt/disk", "mnt/disk"), (r"a\040b\134\011", "a b\\\t"), (r"\134", "\\"), ("", "")];
        for (field, path) in table {
            assert_eq!(unescape(field.as_bytes()), path.as_bytes());
        }
    }
}
