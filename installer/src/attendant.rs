// SPDX-License-Identifier: Apache-2.0
//! Attendants: processes that stay when a command has become a pod, or has returned. Each is this same program, called
//! by another name: the attached and the detached pod, the remover, the attendant of the network, the process that enters a pod, and the log writer
//! ([`pods::logs`]).

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use sys::descriptors::close_others;

use crate::exit::Exit;
use crate::ui::Ui;
use crate::{attached, detached, entered, network_attendant, remover};

/// Acts as an attendant, if this program was called as one.
pub(crate) fn main() -> Option<ExitCode> {
    if let Some(code) = pods::logs::main() {
        return Some(code);
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    let words: Vec<_> = arguments.collect();
    let act: fn(&[OsString]) -> Result<ExitCode> = match name.to_str()? {
        entered::NAME => |words| entered::run(words).map(ExitCode::from),
        attached::NAME => |words| attached::run(words).map(|()| ExitCode::SUCCESS),
        detached::NAME => |words| detached::run(words).map(|()| ExitCode::SUCCESS),
        network_attendant::NAME => |words| network_attendant::run(words).map(|()| ExitCode::SUCCESS),
        remover::NAME => |words| remover::run(words).map(|()| ExitCode::SUCCESS),
        _ => return None,
    };
    // Whatever the caller left open: an attendant outlives it, and one of them becomes a process in a pod.
    let closed = close_others(|_| false).context("cannot close what the caller left open");
    Some(closed.and_then(|()| act(&words)).unwrap_or_else(|error| {
        Ui.error(&error);
        Exit::NoPod.into()
    }))
}
