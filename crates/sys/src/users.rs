// SPDX-License-Identifier: Apache-2.0
//! User namespaces and their maps (user_namespaces(7)), and the ids that a process has.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _, pipe};
use std::os::fd::{AsFd, OwnedFd};

// rustix has no safe function for unshare(2), and none for the user and group of file accesses.
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid as FileGroup, Uid as FileUser, setfsgid, setfsuid};
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, Uid, WaitOptions, getrlimit, kill_process, setrlimit, waitpid,
};
use rustix::thread::{
    LinkNameSpaceType, capabilities, move_into_link_name_space, set_capabilities, set_thread_res_uid,
};

use crate::error::{CalledOn as _, Error};
use crate::process::{ForkResult, exit_at_once, fork};

/// A map of a user namespace's ids to those outside of it: `inside` is `outside`, and so on for `count` ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// The first id in the namespace.
    pub inside: u32,
    /// The id that it is in the namespace above.
    pub outside: u32,
    /// How many ids there are.
    pub count: u32,
}

/// The owner of a user namespace. The kernel counts the namespace's processes by its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// A user id of the namespace above that owns no other user namespace.
    pub user: u32,
    /// How many processes and threads there may be in the namespace at a time (the kernel's kernel/ucount.c,
    /// `is_rlimit_overlimit`). Only the host's root is not counted.
    pub tasks: u64,
}

/// Makes a user namespace below this process's own, with this map for users and for groups. No process stays in it.
/// Without an owner, it is this process's user, and there is no limit.
///
/// # Errors
/// Returns the system's error; `ENOSPC` if `user.max_user_namespaces` is used up, `EINVAL` if the kernel has none.
pub fn make(map: Map, owner: Option<Owner>) -> Result<OwnedFd, Error> {
    let object = "user namespace";
    let called = |call: &'static str, error: io::Error| {
        Error::new(call, object.as_ref(), Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    let (mut answer, mut answers) = pipe().map_err(|error| called("pipe2", error))?;
    let (mut waits, ends) = pipe().map_err(|error| called("pipe2", error))?;
    // Writing a map takes capabilities in the namespace above, which the child in the new namespace doesn't have. So
    // this process writes the map.
    let child = match fork().map_err(|error| called("clone", error))? {
        ForkResult::Parent { child } => Pid::from_raw(child.as_raw()).expect("no process has the id 0"),
        ForkResult::Child => {
            drop(ends);
            let made = owner.map_or(Ok(()), become_owner).and_then(|()| {
                unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| Errno::from_raw_os_error(error as i32))
            });
            let made = made.map_or_else(|error| -error.raw_os_error(), |()| number());
            let _ = answers.write_all(&made.to_ne_bytes());
            drop(answers);
            // Ends with the parent, too, which has the other end.
            let _ = waits.read(&mut [0]);
            exit_at_once(0);
        }
    };
    drop((answers, waits));
    let mut made = [0; 4];
    let namespace = answer.read_exact(&mut made).map_err(|error| called("unshare", error)).and_then(|()| {
        match i32::from_ne_bytes(made) {
            number @ 1.. => fill(number, map).map_err(|error| called("uid_map", error)),
            errno => Err(Errno::from_raw_os_error(-errno)).called_on("unshare", object),
        }
    });
    drop(ends);
    let _ = kill_process(child, Signal::KILL);
    let _ = waitpid(Some(child), WaitOptions::empty());
    namespace
}

/// Becomes the owner of a namespace that is to be made.
fn become_owner(Owner { user, tasks }: Owner) -> Result<(), Errno> {
    // A host with little memory allows fewer, and no process may raise that.
    let most = getrlimit(Resource::Nproc).maximum.map_or(tasks, |most| tasks.min(most));
    setrlimit(Resource::Nproc, Rlimit { current: Some(most), maximum: Some(most) })?;
    let user = Uid::from_raw(user);
    set_thread_res_uid(user, user, user)
}

/// Returns this process's id in the process namespace that /proc is of, which may not be its own; −`ESRCH` if there is none.
fn number() -> i32 {
    let link = fs::read_link("/proc/self").ok();
    let number = link.as_deref().and_then(|link| link.to_str()).and_then(|number| number.parse().ok());
    number.unwrap_or(-Errno::SRCH.raw_os_error())
}

/// Writes the maps of the namespace that a process is in, and opens the namespace.
fn fill(process: i32, Map { inside, outside, count }: Map) -> io::Result<OwnedFd> {
    let of = format!("/proc/{process}");
    let map = format!("{inside} {outside} {count}\n");
    fs::write(format!("{of}/uid_map"), &map)?;
    fs::write(format!("{of}/gid_map"), &map)?;
    Ok(File::open(format!("{of}/ns/user"))?.into())
}

/// Moves this process into a user namespace below its own, where it has every capability. The process must have one
/// thread.
///
/// # Errors
/// Returns the system's error.
pub fn enter(namespace: impl AsFd) -> Result<(), Error> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User))
        .called_on("setns", "user namespace")
}

/// Does `work` as this user and group in what concerns files, with all capabilities that this thread has.
///
/// What is made in `work` belongs to them. That is needed where this process's own ids have no place: a mount with
/// mapped ids, or an overlay of such mounts.
///
/// # Errors
/// Returns the system's error of changing ids or capabilities, before or after `work`.
pub fn acting_as<T>(id: u32, work: impl FnOnce() -> T) -> Result<T, Error> {
    let own = rustix::process::geteuid().as_raw();
    become_for_files(id)?;
    let done = work();
    become_for_files(own)?;
    Ok(done)
}

fn become_for_files(id: u32) -> Result<(), Error> {
    // The kernel takes capabilities away with the change from root to another user (capabilities(7)).
    let sets = capabilities(None).called_on("capget", "thread")?;
    setfsgid(FileGroup::from_raw(id));
    setfsuid(FileUser::from_raw(id));
    // These calls report no error, but the ids that there were before.
    if setfsuid(FileUser::from_raw(u32::MAX)).as_raw() != id {
        return Err(Errno::PERM).called_on("setfsuid", id.to_string());
    }
    set_capabilities(None, sets).called_on("capset", "thread")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[gate::root_test]
    fn a_namespace_has_the_map_it_was_made_with() {
        let namespace = make(Map { inside: 0, outside: 70_000, count: 10 }, None).unwrap();
        let (mut told, mut tells) = pipe().unwrap();
        let ForkResult::Parent { child } = fork().unwrap() else {
            let map = enter(&namespace).ok().and_then(|()| fs::read_to_string("/proc/self/uid_map").ok());
            let _ = tells.write_all(map.unwrap_or_default().as_bytes());
            exit_at_once(0);
        };
        drop(tells);
        let mut map = String::new();
        told.read_to_string(&mut map).unwrap();
        waitpid(Pid::from_raw(child.as_raw()), WaitOptions::empty()).unwrap();
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "70000", "10"]);
    }

    #[gate::root_test]
    fn what_is_made_as_another_user_is_that_users_and_capabilities_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let before = capabilities(None).unwrap().effective;
        let effective = acting_as(70_000, || {
            fs::write(&path, "").unwrap();
            capabilities(None).unwrap().effective
        });
        assert_eq!(effective.unwrap(), before);
        let made = fs::metadata(&path).unwrap();
        assert_eq!((made.uid(), made.gid()), (70_000, 70_000));
        fs::write(directory.path().join("own"), "").unwrap();
        assert_eq!(fs::metadata(directory.path().join("own")).unwrap().uid(), 0);
    }
}
