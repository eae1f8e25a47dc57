// SPDX-License-Identifier: Apache-2.0
//! The code that runs in the worker.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Serialize;

use super::confine;
use super::job::{Failure, Message, Order, Policies};
use crate::extract::{Extracted, Refused, Unpacker};
use crate::fault::{Result, Within as _};
use report::Advice as _;
use sys::Interrupt;

/// Does `work` and writes the message about it.
pub(super) fn report<T: Serialize>(work: impl FnOnce() -> Result<T>) -> ExitCode {
    // stderr carries only the message. A worker that panics writes none, which the parent notices.
    std::panic::set_hook(Box::new(|_| {}));
    let (message, code) = match work() {
        Ok(extracted) => (Message::Done(extracted), ExitCode::SUCCESS),
        Err(fault) => {
            let (why, hint) = (fault.to_string(), fault.hint());
            let is_refusal = Refused::of(&fault).is_some();
            (Message::Failed(Failure { why, hint, is_refusal }), ExitCode::FAILURE)
        }
    };
    let told =
        serde_json::to_vec(&message).map_err(io::Error::from).and_then(|text| io::stderr().write_all(&text));
    if told.is_ok() { code } else { ExitCode::FAILURE }
}

pub(super) fn work(order: &[u8], policies: Policies) -> Result<Extracted> {
    let order: Order = serde_json::from_slice(order)
        .map_err(io::Error::from)
        .within(|| "cannot understand what a worker is to do")?;
    confine::enter(&order).within(|| "cannot confine the unpacking process")?;
    let job = order.job;
    // A worker needs no interrupt, as it is ended by SIGKILL.
    let unpacker = Unpacker {
        limits: job.limits,
        interrupt: Interrupt::default(),
        with_sha512: job.with_sha512,
        without_umask: true,
    };
    let source = File::from(own(io::stdin())?);
    let record = File::from(own(io::stdout())?);
    let root = tree()?;
    Ok(unpacker.unpack(source, job.expected, root, record, policies(order.kind))?.extracted())
}

/// Opens the tree, which is a confined worker's root.
pub(super) fn tree() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, "/", flags, Mode::empty()).within(|| "cannot open the new tree")
}

pub(super) fn own(stream: impl AsFd) -> Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned().within(|| "cannot duplicate a descriptor")
}
