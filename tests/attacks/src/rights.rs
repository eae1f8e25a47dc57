// SPDX-License-Identifier: Apache-2.0
//! What a capability permits and one call alone does not show.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid, geteuid, setresuid};
use rustix::event::epoll::{CreateFlags, EventData, EventFlags, add, create};

use crate::attack::{Attack, io_step, step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("keep-setgid", keep_setgid),
    ("signal-other-user", signal),
    ("map-files", map_files),
    ("epoll-wakeup", wakeup),
];

/// Sets the mode of a file whose group the process doesn't have. The kernel drops the bit where it may not be kept.
fn keep_setgid() -> Result<(), String> {
    let path = format!("/files/shared/{}", std::process::id());
    io_step("create", File::create(&path))?;
    io_step("chmod", fs::set_permissions(&path, Permissions::from_mode(0o2755)))?;
    let mode = io_step("stat", fs::metadata(&path))?.permissions().mode();
    if mode & 0o2000 == 0 { Err("chmod: the bit is dropped".into()) } else { Ok(()) }
}

/// Signals a process of the app's that has another user, by a program of that user's with the setuid bit.
fn signal() -> Result<(), String> {
    let other = Command::new("/other").arg("--become").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut other = io_step("execute /other", other)?;
    let mut said = String::new();
    let stdout = other.stdout.take().ok_or("stdout is piped")?;
    io_step("read", BufReader::new(stdout).read_line(&mut said))?;
    let id = i32::try_from(other.id()).map_err(|_| "a process id is too large")?;
    let done = step("kill", kill(Pid::from_raw(id), None));
    drop(other.stdin.take());
    io_step("wait", other.wait())?;
    if said == "became\n" { done } else { Err(format!("other: {said}")) }
}

/// Becomes the program's user as a whole, says so, and waits until stdin ends.
pub(crate) fn become_other() -> Result<(), String> {
    let user: Uid = geteuid();
    step("setresuid", setresuid(user, user, user))?;
    println!("became");
    io_step("read", std::io::stdin().read_line(&mut String::new())).map(drop)
}

/// Opens a file that the process has mapped, by /proc's link.
fn map_files() -> Result<(), String> {
    let mut listed = io_step("list map_files", fs::read_dir("/proc/self/map_files"))?;
    let first = io_step("list map_files", listed.next().ok_or("nothing is mapped")?)?;
    io_step("open map_files", File::open(first.path())).map(drop)
}

/// Asks that an event keeps the machine awake. The kernel drops the flag where that isn't permitted.
fn wakeup() -> Result<(), String> {
    let epoll = io_step("epoll_create", create(CreateFlags::CLOEXEC).map_err(Into::into))?;
    let (read, _write) = io_step("pipe", std::io::pipe())?;
    let added = add(&epoll, &read, EventData::new_u64(0), EventFlags::IN | EventFlags::WAKEUP);
    io_step("epoll_ctl", added.map_err(Into::into))?;
    let about =
        io_step("read fdinfo", fs::read_to_string(format!("/proc/self/fdinfo/{}", epoll.as_raw_fd())))?;
    let mut words = about.split_whitespace().skip_while(|word| *word != "events:").skip(1);
    let events = words.next().and_then(|word| u32::from_str_radix(word, 16).ok()).ok_or("no events")?;
    if events & EventFlags::WAKEUP.bits() == 0 {
        Err("epoll_ctl: the flag is dropped".into())
    } else {
        Ok(())
    }
}
