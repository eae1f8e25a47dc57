// SPDX-License-Identifier: Apache-2.0
//! A shell that has nothing but job control: it leads a session whose terminal is on descriptor 2. It reads commands
//! from stdin, a line each, and answers on stdout:
//!
//! ```text
//! start WORD…   starts a program as a job in the background; its stdin, stdout and stderr are the terminal
//! run WORD…     likewise in the foreground
//! foreground    gives the job the terminal, and continues it
//! continue      continues it where it is
//! take          takes the terminal back
//! wait          waits until the job stops or ends, and tells how
//! read          reads a line from the terminal
//! ```
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm, getpgrp, setsid, tcgetpgrp, tcsetpgrp};

/// Makes this program become another, with no signal blocked, as shells start programs.
const BECOME: &str = "become";
/// Makes it wait until it is in the foreground before that.
const BECOME_FIRST: &str = "become-first";

/// After this many seconds it ends, and its session with it, so that a test fails if what it waits for does not happen.
const PATIENCE: u32 = 30;

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let [first, program, rest @ ..] = &*words
        && [BECOME, BECOME_FIRST].contains(&first.as_str())
    {
        while first == BECOME_FIRST && tcgetpgrp(io::stderr())? != getpgrp() {
            std::thread::yield_now();
        }
        SigSet::empty().thread_set_mask()?;
        return Err(Command::new(program).args(rest).exec().into());
    }
    alarm::set(PATIENCE);
    setsid()?;
    rustix::process::ioctl_tiocsctty(io::stderr())?;
    // So that the terminal can be taken from the background.
    SigSet::from(Signal::SIGTTOU).thread_block()?;
    let mut typed = BufReader::new(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    let mut job = None;
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<_> = line.split('\t').collect();
        let answer = act(&words, &mut job, &mut typed).with_context(|| format!("{words:?}"))?;
        println!("{answer}");
    }
    Ok(())
}

fn act(words: &[&str], job: &mut Option<Pid>, typed: &mut impl BufRead) -> Result<String> {
    let [verb, rest @ ..] = words else { bail!("no word") };
    let terminal = io::stderr();
    if let "start" | "run" = *verb {
        let word = if *verb == "run" { BECOME_FIRST } else { BECOME };
        let pid = spawn(Command::new(std::env::current_exe()?).arg(word).args(rest))?;
        if *verb == "run" {
            tcsetpgrp(terminal, pid)?;
        }
        *job = Some(pid);
        return Ok(pid.to_string());
    }
    if *verb == "read" {
        let mut line = String::new();
        typed.read_line(&mut line)?;
        return Ok(line.trim_end().to_owned());
    }
    let job = job.context("no job")?;
    match *verb {
        "foreground" => {
            tcsetpgrp(terminal, job)?;
            killpg(job, Signal::SIGCONT)?;
        }
        "continue" => killpg(job, Signal::SIGCONT)?,
        "take" => tcsetpgrp(terminal, getpgrp())?,
        "wait" => {
            return Ok(match waitpid(job, Some(WaitPidFlag::WUNTRACED))? {
                WaitStatus::Stopped(_, signal) => format!("stopped {signal}"),
                WaitStatus::Exited(_, code) => format!("exited {code}"),
                WaitStatus::Signaled(_, signal, _) => format!("ended {signal}"),
                other => bail!("{other:?}"),
            });
        }
        other => bail!("{other:?} is no verb"),
    }
    Ok(String::new())
}

/// Starts a program in a process group of its own.
fn spawn(command: &mut Command) -> Result<Pid> {
    let terminal = || io::stderr().as_fd().try_clone_to_owned();
    let child =
        command.stdin(terminal()?).stdout(terminal()?).stderr(terminal()?).process_group(0).spawn()?;
    Ok(Pid::from_raw(child.id().try_into()?))
}
