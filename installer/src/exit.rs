// SPDX-License-Identifier: Apache-2.0
//! Exit codes: how the installer ends, and the one place that turns this into a number.
//!
//! `docs/exit-codes.md` explains the codes to users. A test compares the two.

use std::process::ExitCode;

/// The exit code of a process that a signal ended is this plus the signal's number, as in a shell.
const SIGNALLED: u8 = 128;

/// How the installer ends. While a pod runs, the process is `/init`, whose codes are not these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// The command failed, or what it looked at is not as it should be.
    Failed,
    /// The command line is wrong.
    WrongUsage,
    /// Gantry itself failed where a pod's code was expected. Apps seldom use this code.
    NoPod,
    /// The pod, or the program in it, ended with this code.
    Ended(u8),
    /// This signal came before a pod ran.
    Interrupted(u8),
}

impl Exit {
    /// Returns the exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::WrongUsage => 2,
            Self::NoPod => 254,
            Self::Ended(code) => code,
            Self::Interrupted(signal) => SIGNALLED + signal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../docs/exit-codes.md");

    #[test]
    fn the_codes_are_those_that_are_documented() {
        let codes = |exits: &[Exit]| exits.iter().map(|exit| exit.code().to_string()).collect::<Vec<_>>();
        let usual = codes(&[Exit::Done, Exit::Failed, Exit::WrongUsage]).join(", ");
        assert_eq!(usual, "0, 1, 2");
        for line in [
            format!("| `installer prepare`, `image`, `gc` | {usual} |"),
            format!("| `installer verify` | {usual} |"),
            format!(
                "| `installer run` | the pod's, {} |",
                codes(&[Exit::NoPod, Exit::WrongUsage]).join(", ")
            ),
            format!(
                "Interrupted by SIGINT or SIGTERM before a pod runs, `installer` ends with {}.",
                codes(&[Exit::Interrupted(2), Exit::Interrupted(15)]).join(" or ")
            ),
        ] {
            assert!(DOCUMENTED.contains(&line), "docs/exit-codes.md should say {line}");
        }
    }
}
