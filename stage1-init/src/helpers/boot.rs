// SPDX-License-Identifier: Apache-2.0
//! The pod's first process, which nspawn starts in place of an init system. It asks `/init` whether apps may start, does what has
//! to be done in the pod before an app runs, and becomes systemd once it has the answer. So systemd finds everything there: it
//! starts no service for this, and sees no mount appear.
//!
//! Masks what is sensitive in /proc and /sys, and makes the apps' user namespaces. This needs the pod's namespaces, so it
//! can't be done earlier.
//!
//! Invariant: on failure there is no systemd, so no app. `/init` reports the reason, which is in the outcome.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::signal::SigSet;
// rustix has no execve.
use nix::unistd::execve;
use sys::mounts::{Submounts, attach, clone_tree_at, make_all_private};
use sys::process::default_signals;
use sys::users::{self, Map, Owner};

use super::mounts;
use crate::exchange::outcome::PODS;
use crate::exchange::ready;
use crate::exchange::timing::Marks;
use crate::failure::{At, Failure, Step, report};
use crate::names::{NAMESPACES, SYSTEMD, TIMED, USERS};

/// The directory where systemd asks for passwords (systemd's password agents).
const PASSWORDS: &str = "/run/systemd/ask-password";
/// The directory of libmount's own table, which systemd watches beside the kernel's.
const MOUNT_TABLE: &str = "/run/mount";
/// What keeps systemd from looking where nothing is for it.
const ENVIRONMENT: [(&str, &str); 3] = [
    // The directories with units (systemd.unit(5)): stage1's, and the pod's own. By default it looks in a dozen, for each of many
    // names.
    ("SYSTEMD_UNIT_PATH", "/etc/systemd/system:/usr/lib/systemd/system"),
    // The kernel's command line, for which a systemd in a container takes its own, and variables of the firmware (systemd's
    // ENVIRONMENT.md). It would read both again for each of many options.
    ("SYSTEMD_PROC_CMDLINE", ""),
    ("SYSTEMD_EFI_OPTIONS", ""),
];

/// Becomes systemd, with these arguments. On failure, leaves the reason in the outcome and returns.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let timed = args.first().is_some_and(|first| first == TIMED);
    let (args, marks) = (&args[usize::from(timed)..], Marks::of_pod(timed, 0));
    marks.add("the boot program has begun, and asks");
    let Err(Failure { step, error }) =
        prepare(&marks).at(Step::Namespace).and_then(|()| become_systemd(args, &marks).at(Step::Exec));
    if let Err(error) = PODS.fail(step, &error) {
        report(&error.into());
    }
    ExitCode::FAILURE
}

fn prepare(marks: &Marks) -> Result<()> {
    fs::create_dir_all(NAMESPACES)?;
    // nspawn makes the pod's mounts shared. What is mounted on a copy of a shared mount appears on the other copies, too.
    make_all_private().context("cannot make the pod's mounts private")?;
    // `/init` works meanwhile.
    let asked = ready::ask()?;
    mounts::hide().context("cannot mask what is sensitive")?;
    make_namespaces().context("cannot make the apps' user namespaces")?;
    without_passwords().context("cannot keep systemd from waiting for passwords")?;
    without_mount_units().context("cannot keep systemd from reading mounts")?;
    asked.wait()?;
    marks.add("the boot program has masked and made what apps need, and has its answer");
    PODS.begin().context("cannot note that apps may start")
}

/// Makes a user namespace for each app with users of its own, and mounts it by the app's name, where launchers find it.
fn make_namespaces() -> Result<()> {
    let list = fs::read_to_string(format!("/{USERS}")).context("cannot list the apps' users")?;
    for line in list.lines() {
        let mut words = line.split(' ');
        let app = words.next().context("expected an app")?;
        let mut number = || -> Result<u32> {
            words
                .next()
                .and_then(|word| word.parse().ok())
                .with_context(|| format!("app {app}: expected a number"))
        };
        let (outside, count, tasks) = (number()?, number()?, number()?);
        // The owner has every capability in the namespace. Nothing of the pod's runs as the app's own root but the app.
        let owner = Owner { user: outside, tasks: tasks.into() };
        let namespace = users::make(Map { inside: 0, outside, count }, Some(owner));
        let place = File::create(Path::new(NAMESPACES).join(app))?;
        attach(clone_tree_at(namespace?, Submounts::No)?, place).with_context(|| format!("app {app}"))?;
    }
    Ok(())
}

/// Leaves no directory in which a process could ask for a password. systemd would watch it while units start. To end a
/// watch takes milliseconds, since the kernel waits until no processor can be using it.
fn without_passwords() -> Result<()> {
    fs::create_dir_all(Path::new(PASSWORDS).parent().context("it has a parent")?)?;
    Ok(symlink("/nonexistent", PASSWORDS)?)
}

/// Leaves no directory for libmount's table of mounts. systemd can't watch the table then, so it has a unit for the
/// root's mount alone. Otherwise it would make a hundred and more, for the mounts of the pod and its apps, which takes
/// a good part of its start. No unit of a pod is ordered by mounts.
fn without_mount_units() -> Result<()> {
    File::create(MOUNT_TABLE)?;
    Ok(())
}

/// Executes systemd with the environment and the descriptors that nspawn has passed on.
fn become_systemd(args: &[OsString], marks: &Marks) -> Result<Infallible> {
    let words = std::iter::once(SYSTEMD.as_bytes()).chain(args.iter().map(|word| word.as_bytes()));
    let words = words.map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let variable = |(name, value): (OsString, OsString)| {
        CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat())
    };
    let environment = std::env::vars_os().chain(ENVIRONMENT.map(|(name, value)| (name.into(), value.into())));
    let environment = environment.map(variable).collect::<Result<Vec<_>, _>>()?;
    marks.add("the boot program becomes systemd");
    default_signals();
    SigSet::empty().thread_set_mask()?;
    execve(&words[0], &words, &environment).with_context(|| format!("cannot execute {SYSTEMD}"))
}
