// SPDX-License-Identifier: Apache-2.0
//! Signals that stop an app, by the names and numbers that images use (signal(7); Docker's STOPSIGNAL).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::text::escape;

/// The signals of Linux on x86 and arm, by number from 1 on; the two machines that Gantry knows have the same.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// Other names of some of them.
const ALSO: [(&str, u8); 4] = [("CLD", 17), ("POLL", 29), ("IOT", 6), ("UNUSED", 31)];
/// The real-time signals as C libraries count them: glibc and musl keep the kernel's first ones for themselves.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// A signal: 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(u8);

impl Signal {
    /// Returns the signal's number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = Error;

    /// Reads a name with or without `SIG`, a number, `RTMIN+n` or `RTMAX-n`.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).map(Self).ok_or_else(|| {
            let shown = escape(text);
            Error::new(format!(
                "invalid signal {shown}: expected a name such as SIGTERM, RTMIN+n or a number up to 64"
            ))
        })
    }
}

fn parse(text: &str) -> Option<u8> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=RTMAX).contains(number));
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let is_digits = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let distance = |digits: &str| digits.parse::<u8>().ok().filter(|far| *far <= RTMAX - RTMIN);
    if let Some(digits) = name.strip_prefix("RTMIN+").filter(is_digits) {
        return Some(RTMIN + distance(digits)?);
    }
    if let Some(digits) = name.strip_prefix("RTMAX-").filter(is_digits) {
        return Some(RTMAX - distance(digits)?);
    }
    match name {
        "RTMIN" => Some(RTMIN),
        "RTMAX" => Some(RTMAX),
        name => {
            let number = NAMES.iter().zip(1..).find(|(known, _)| **known == name).map(|(_, number)| number);
            number.or_else(|| ALSO.iter().find(|(also, _)| *also == name).map(|(_, number)| *number))
        }
    }
}

impl fmt::Display for Signal {
    /// Writes the name as systemd and `kill -l` have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, NAMES.get(usize::from(self.0) - 1)) {
            (_, Some(name)) => write!(f, "SIG{name}"),
            (RTMIN, None) => f.write_str("SIGRTMIN"),
            (number @ RTMIN.., None) => write!(f, "SIGRTMIN+{}", number - RTMIN),
            (number, None) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number, shown) in [
            ("SIGTERM", 15, "SIGTERM"),
            ("term", 15, "SIGTERM"),
            ("2", 2, "SIGINT"),
            ("SIGQUIT", 3, "SIGQUIT"),
            ("SIGRTMIN+3", 37, "SIGRTMIN+3"),
            ("RTMIN+0", 34, "SIGRTMIN"),
            ("SIGRTMAX-1", 63, "SIGRTMIN+29"),
            ("RTMAX", 64, "SIGRTMIN+30"),
            ("37", 37, "SIGRTMIN+3"),
            ("32", 32, "32"),
            ("WINCH", 28, "SIGWINCH"),
            ("SYS", 31, "SIGSYS"),
        ] {
            let signal: Signal = text.parse().unwrap();
            assert_eq!((signal.number(), signal.to_string().as_str()), (number, shown), "{text}");
            assert_eq!(shown.parse(), Ok(signal), "{shown}");
        }
        for bad in [
            "", "0", "65", "256", "-1", "+1", "SIG", "SIGX", "RTMIN+31", "RTMIN+", "RTMIN-1", "RTMAX-31",
            "TERM ",
        ] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }
}
