// SPDX-License-Identifier: Apache-2.0
//! Executes nspawn, by the plan's command line.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use nix::unistd::execve;
use pod::arch::Arch;
use rustix::process::getpid;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use sys::{activation, process};

use crate::exchange::service::VARIABLE;
use crate::names::{POD, UP};
use crate::plan::nspawn::NSPAWN;

/// A number above all those that descriptors are passed as.
const OUT_OF_THE_WAY: i32 = 16;

/// The command to execute.
#[derive(Debug)]
pub(crate) struct Command {
    loader: CString,
    words: Vec<CString>,
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

/// Lets this process and those that it starts be told to end as readily as `least` says, which only a process with
/// `CAP_SYS_RESOURCE` on the host can allow (the kernel's fs/proc/base.c, `__set_oom_adj`).
pub(crate) fn allow_oom_score(least: i16) -> Result<()> {
    let path = "/proc/self/oom_score_adj";
    let own = fs::read_to_string(path)?;
    fs::write(path, least.to_string())?;
    // Written without that capability, the usual score leaves the least one as it is.
    let sets = capabilities(None)?;
    let effective = sets.effective - CapabilitySet::SYS_RESOURCE;
    set_capabilities(None, CapabilitySets { effective, ..sets })?;
    fs::write(path, own.trim())?;
    Ok(set_capabilities(None, sets)?)
}

/// Replaces this process with nspawn, with descriptors that it passes on to systemd.
///
/// With `tells_up`, it tells when the pod's systemd has started the apps.
pub(crate) fn exec(command: &Command, passed: Vec<OwnedFd>, tells_up: bool) -> Result<Infallible> {
    process::default_signals();
    let count = passed.len();
    activation::pass(passed, 0..count, OUT_OF_THE_WAY).context("cannot pass descriptors on")?;
    // Messages of nspawn below warnings are about nspawn itself, not about the pod.
    let environment = [
        format!("LISTEN_FDS={count}"),
        format!("LISTEN_PID={}", getpid().as_raw_nonzero()),
        "SYSTEMD_LOG_LEVEL=warning".into(),
        // nspawn's own filter would count for every app as well (docs/design/17-filter.md).
        "SYSTEMD_SECCOMP=0".into(),
    ];
    process::set_filter(&mut filter::of_pod()).context("cannot filter the pod's system calls")?;
    let up = tells_up.then(|| format!("{VARIABLE}={UP}"));
    let environment = environment.into_iter().chain(up);
    let environment: Vec<_> = environment.map(|text| CString::new(text).expect("it has no NUL")).collect();
    execve(&command.loader, &command.words, &environment)
        .with_context(|| format!("cannot execute {}", command.loader.to_string_lossy()))
}
