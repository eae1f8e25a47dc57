// SPDX-License-Identifier: Apache-2.0
//! Options of `/init`'s caller.

use pod::exec::Word;
use pod::name::AppName;

/// The options of `/init`'s caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// nspawn and systemd show what they do.
    pub debug: bool,
    /// The pod's processes say when they do what (`exchange::timing`).
    pub timing: bool,
    /// The exit code of a pod that can't be started; `None` means that of the step that failed.
    pub failure_code: Option<u8>,
    /// The app that gets a terminal, if one does.
    pub terminal: Option<Terminal>,
    /// The manager that waits until the apps are up.
    pub manager: Manager,
}

/// A manager that waits until a pod's apps are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// No manager waits.
    #[default]
    None,
    /// The service manager that has started `/init`.
    Waits,
}

/// A terminal for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// The app's name.
    pub app: AppName,
    /// The kind of terminal: TERM, for an app whose environment has none.
    pub kind: Option<Word>,
}
