// SPDX-License-Identifier: Apache-2.0
//! What the caller of `/init` wants, beside the pod.

use pod::exec::Word;
use pod::name::AppName;

/// What the caller of `/init` wants, beside the pod.
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
    /// What waits until the apps are up.
    pub manager: Manager,
}

/// What waits until a pod's apps are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// Nobody.
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
    /// What kind of terminal it is: TERM, for an app whose environment does not say so.
    pub kind: Option<Word>,
}
