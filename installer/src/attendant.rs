// SPDX-License-Identifier: Apache-2.0
//! Attendants: processes that stay when a command has become a pod, or has returned. Each is this same program, called
//! by another name: the detached pod, the remover, who enters a pod, and the log writer ([`pods::logs`]).

use std::process::ExitCode;

use crate::exit::Exit;
use crate::ui::Ui;
use crate::{detached, entered, remover};

/// Acts as an attendant, if this program was called as one.
pub(crate) fn main() -> Option<ExitCode> {
    if let Some(code) = pods::logs::main() {
        return Some(code);
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    let words: Vec<_> = arguments.collect();
    if name == entered::NAME {
        return Some(entered::run(&words));
    }
    let done = match name.to_str()? {
        detached::NAME => detached::run(&words),
        remover::NAME => remover::run(&words),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Ui.error(&error);
            Exit::NoPod.into()
        }
    })
}
