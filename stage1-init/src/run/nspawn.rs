// SPDX-License-Identifier: Apache-2.0
//! Executes nspawn: the bundled dynamic linker runs the bundled systemd-nspawn with the bundled libraries.
//!
//! Every path is a path in the private root, so no word of this command line comes from outside. systemd-nspawn(1)
//! explains the options. `--keep-unit` is there because `--register=no` alone fails without a system bus,
//! `--console=pipe` because it keeps nspawn from putting a terminal between the apps and the caller.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::{execve, getpid};
use pod::arch::Arch;
use pod::id::PodId;
use pod::isolators::CapabilitySet;

use crate::enter::private_root::POD;
use crate::sys;

/// The index of nspawn's own path in the command line; the words before it are the loader's.
const NSPAWN: usize = 5;

/// A number above all those that descriptors are passed as.
const OUT_OF_THE_WAY: i32 = 16;

/// The command to execute.
#[derive(Debug)]
pub(crate) struct Command {
    loader: CString,
    words: Vec<CString>,
}

/// Builds nspawn's command line, beginning with the loader's path.
///
/// `capabilities` are those that apps may have beyond nspawn's default.
pub(crate) fn words(arch: &Arch, id: PodId, capabilities: CapabilitySet, debug: bool) -> Vec<String> {
    let libraries = format!("{POD}/{}", arch.libraries);
    let mut words = vec![
        format!("{POD}/{}", arch.loader),
        "--library-path".into(),
        format!("{libraries}:{libraries}/systemd:{POD}/usr/lib/systemd"),
        "--argv0".into(),
        "systemd-nspawn".into(),
        format!("{POD}/usr/bin/systemd-nspawn"),
        "--boot".into(),
        "--register=no".into(),
        "--keep-unit".into(),
        "--settings=false".into(),
        // systemd's messages need a console. Without them nspawn must not put a terminal anywhere.
        format!("--console={}", if debug { "read-only" } else { "pipe" }),
        "--resolv-conf=off".into(),
        "--timezone=off".into(),
        "--link-journal=no".into(),
        format!("--uuid={id}"),
        format!("--machine={}", id.host_name()),
        format!("--directory={POD}"),
    ];
    let names: Vec<_> = capabilities.iter().map(|one| one.to_string()).collect();
    words.extend((!names.is_empty()).then(|| format!("--capability={}", names.join(","))));
    words.extend((!debug).then(|| "--quiet".into()));
    words.extend(["--".into(), "--default-standard-output=null".into()]);
    let logging: &[&str] = if debug {
        &["--log-target=console", "--log-level=debug", "--show-status=0"]
    } else {
        &["--log-target=null", "--show-status=0"]
    };
    words.extend(logging.iter().map(|word| (*word).to_owned()));
    words
}

/// Prepares the command; fails if stage1 lacks the loader or nspawn.
pub(crate) fn command(words: &[String]) -> Result<Command> {
    for program in [&words[0], &words[NSPAWN]] {
        let there = std::fs::metadata(program).is_ok_and(|metadata| metadata.is_file());
        ensure!(
            there,
            "stage1 has no {:?}: expected a stage1 for {}",
            &program[POD.len()..],
            Arch::current().name
        );
    }
    let words: Result<Vec<_>, _> = words.iter().map(|word| CString::new(word.as_str())).collect();
    let words = words.context("nspawn's command line")?;
    Ok(Command { loader: words[0].clone(), words })
}

/// Replaces this process with nspawn, with descriptors that it passes on to systemd.
pub(crate) fn exec(command: &Command, passed: &[OwnedFd]) -> Result<Infallible> {
    sys::default_signals();
    let count = passed.len();
    // First moved out of the way of their final numbers, which some of them may occupy.
    let moved = passed.iter().map(|fd| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(OUT_OF_THE_WAY)));
    let moved = sys::own(&moved.collect::<nix::Result<Vec<_>>>().context("cannot move descriptors")?);
    sys::pass_as_listen_fds(&moved).context("cannot pass descriptors on")?;
    // Messages of nspawn below warnings are about nspawn itself, not about the pod.
    let environment = [
        format!("LISTEN_FDS={count}"),
        format!("LISTEN_PID={}", getpid()),
        "SYSTEMD_LOG_LEVEL=warning".into(),
    ];
    let environment = environment.map(|text: String| CString::new(text).expect("it has no NUL"));
    execve(&command.loader, &command.words, &environment)
        .with_context(|| format!("cannot execute {}", command.loader.to_string_lossy()))
}
