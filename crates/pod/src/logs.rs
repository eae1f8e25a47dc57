// SPDX-License-Identifier: Apache-2.0
//! Logs of detached pods: how output gets from the apps' launchers to the log writer, and what the files are called.
//!
//! A detached pod's stdout is a socket of type `SOCK_SEQPACKET`, whose other end the log writer has. An app's launcher
//! makes a pipe for each of the app's stdout and stderr, sends the pipes' reading ends (unix(7), `SCM_RIGHTS`) in a
//! message that consists of the app's name, and gives the writing ends to the app. So no app ever has the socket.
//!
//! The pod's own messages come in the same way, under a name that no app can have: [`OF_POD`].

use crate::name::AppName;

/// The name under which the pod's own messages are logged. No app has it: apps' names have no capital letters.
pub const OF_POD: &str = "POD";
/// The file that says what could not be written, in the logs' directory.
pub const LOST: &str = "LOST";
/// The line of that file that is there until the log writer has written all: if it was killed, the logs end somewhere.
pub const NOT_ENDED: &str = "* 0 the log writer was killed\n";
/// The longest message on the socket: an app's name in its escaped form.
pub const MESSAGE_MAX: usize = 1024;
/// The end of a log's name.
const SUFFIX: &str = ".log";

/// Returns the name of an app's log, in the logs' directory.
pub fn file(app: &AppName) -> String {
    format!("{app}{SUFFIX}")
}

/// Returns the name of the log of what a message calls `name`: an app or the pod.
pub fn file_of(name: &str) -> Option<String> {
    (name == OF_POD || name.parse::<AppName>().is_ok()).then(|| format!("{name}{SUFFIX}"))
}

/// Returns the name of an older part of a log, which was moved `age` times.
pub fn older(file: &str, age: u32) -> String {
    if age == 0 { file.to_owned() } else { format!("{file}.{age}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_app_is_called_as_the_pod() {
        assert!(OF_POD.parse::<AppName>().is_err() && LOST.parse::<AppName>().is_err());
        assert_eq!(file_of(OF_POD).as_deref(), Some("POD.log"));
        assert_eq!(file_of("web").as_deref(), Some("web.log"));
        for bad in ["", "..", "a/b", "pod\n", "OTHER"] {
            assert_eq!(file_of(bad), None, "{bad}");
        }
        assert_eq!((older("a.log", 0), older("a.log", 2)), ("a.log".into(), "a.log.2".into()));
    }
}
