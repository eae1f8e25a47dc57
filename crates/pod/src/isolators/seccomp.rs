// SPDX-License-Identifier: Apache-2.0
//! Filters of the system calls that an app may make (appc spec, `os/linux/seccomp-retain-set` and `-remove-set`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use syscalls::{aarch64, arm, x86, x86_64};

use super::value;
use crate::error::{Error, Result};
use crate::text::escape;

/// The wildcard for every call: a retain set with it filters nothing.
const ALL: &str = "@appc.io/all";
/// The wildcard for no call: a remove set with it removes nothing.
const EMPTY: &str = "@appc.io/empty";
/// Calls that are needed to start and end a process: a retain set always has these (appc spec: "the minimum set of
/// syscalls required for app life-cycle").
const LIFE_CYCLE: [&str; 4] = ["execve", "exit", "exit_group", "rt_sigreturn"];
/// Names of error numbers for which `syscalls` has another name.
const ERRNO_ALIASES: [(&str, &str); 3] =
    [("ENOTSUP", "EOPNOTSUPP"), ("EWOULDBLOCK", "EAGAIN"), ("EDEADLOCK", "EDEADLK")];
/// Error numbers are below this (errno(3)).
const ERRNO_MAX: i32 = 134;

/// A filter on the system calls an app makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seccomp {
    /// Whether the calls are allowed or denied.
    pub rule: Rule,
    /// The calls.
    pub calls: BTreeSet<Call>,
    /// The error that denied calls return; without it they end the app by SIGSYS.
    pub errno: Option<ErrorNumber>,
}

/// Whether a filter lists the calls that are allowed, or those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Only these calls are allowed.
    Retain,
    /// All calls but these are allowed.
    Remove,
}

/// A system call's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call(String);

/// An error number (errno(3)) of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorNumber(u16);

impl Seccomp {
    /// An explicit request for no filter: it replaces a filter of lower precedence.
    const NONE: Self = Self { rule: Rule::Remove, calls: BTreeSet::new(), errno: None };

    /// Tells whether it filters anything.
    pub fn filters(&self) -> bool {
        *self != Self::NONE
    }

    /// Reads an isolator's value.
    pub(super) fn parse(rule: Rule, value: &Value) -> Result<Self> {
        let set = value::set(value)?;
        let errno = match value.get("errno") {
            None | Some(Value::Null) => "",
            Some(errno) => value::text(errno)?,
        };
        if set.is_empty() {
            return Err(Error::new("empty set: expected names of system calls"));
        }
        let errno = if errno.is_empty() { None } else { Some(errno.parse()?) };
        let wildcard = match rule {
            Rule::Retain => ALL,
            Rule::Remove => EMPTY,
        };
        let mut calls = BTreeSet::new();
        for name in set.iter().filter(|name| **name != wildcard) {
            calls.insert(name.parse::<Call>()?);
        }
        if set.contains(&wildcard) {
            return Ok(Self::NONE);
        }
        match rule {
            Rule::Retain => calls.extend(LIFE_CYCLE.map(|name| Call(name.into()))),
            Rule::Remove if calls.contains(&Call("execve".into())) => {
                return Err(Error::new("it removes execve, by which an app is started: expected it to stay"));
            }
            Rule::Remove => {}
        }
        Ok(Self { rule, calls, errno })
    }
}

impl Call {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether Linux has it on any machine: a set is written for all of them.
    pub fn is_known(&self) -> bool {
        let name = self.0.as_str();
        x86_64::Sysno::iter().any(|call| call.name() == name)
            || aarch64::Sysno::iter().any(|call| call.name() == name)
            || x86::Sysno::iter().any(|call| call.name() == name)
            || arm::Sysno::iter().any(|call| call.name() == name)
    }

    /// Returns its number on this machine; `None` if the machine does not have it.
    pub fn number(&self) -> Option<u32> {
        let call = syscalls::Sysno::iter().find(|call| call.name() == self.0)?;
        u32::try_from(call.id()).ok()
    }
}

impl FromStr for Call {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        match !text.is_empty() && text.len() <= 64 && text.bytes().all(named) {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::new(format!(
                "invalid system call {}: expected a name such as mount; {ALL} may stand in a retain set, {EMPTY} in a remove set",
                escape(text)
            ))),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ErrorNumber {
    /// Returns the number.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl FromStr for ErrorNumber {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = ERRNO_ALIASES.iter().find(|(alias, _)| *alias == text).map_or(text, |(_, name)| name);
        (1..ERRNO_MAX)
            .find(|number| syscalls::Errno::new(*number).name() == Some(name))
            .and_then(|number| u16::try_from(number).ok().map(Self))
            .ok_or_else(|| {
                Error::new(format!("unknown errno {}: expected a name such as EPERM", escape(text)))
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn retain_sets_have_what_a_life_takes() {
        let value = json!({"set": ["read", "socketcall"], "errno": ""});
        let filter = Seccomp::parse(Rule::Retain, &value).unwrap();
        assert!(filter.filters());
        let names: Vec<_> = filter.calls.iter().map(Call::as_str).collect();
        assert_eq!(names, ["execve", "exit", "exit_group", "read", "rt_sigreturn", "socketcall"]);
        assert_eq!(filter.errno, None);
    }

    #[test]
    fn wildcards() {
        let parse = |rule, set: &[&str]| Seccomp::parse(rule, &json!({"set": set}));
        assert!(!parse(Rule::Retain, &[ALL, "read"]).unwrap().filters());
        assert!(!parse(Rule::Remove, &["read", EMPTY]).unwrap().filters());
        for (rule, set) in [
            (Rule::Retain, &[EMPTY][..]),
            (Rule::Remove, &[ALL]),
            (Rule::Remove, &["execve"]),
            (Rule::Retain, &[]),
            (Rule::Retain, &["@docker/default"]),
            (Rule::Retain, &[ALL, "no such call"]),
            (Rule::Retain, &["Read"]),
        ] {
            assert!(parse(rule, set).is_err(), "{rule:?} {set:?}");
        }
    }

    #[test]
    fn calls_of_any_machine_are_known() {
        let call = |name: &str| name.parse::<Call>().unwrap();
        for name in ["read", "open", "socketcall", "arm_fadvise64_64"] {
            assert!(call(name).is_known(), "{name}");
        }
        assert!(!call("no_such_call").is_known());
        assert_eq!(call("socketcall").number(), None);
    }

    #[test]
    fn error_numbers() {
        for (name, number) in
            [("EPERM", 1), ("ENOSYS", 38), ("ENOTSUP", 95), ("EWOULDBLOCK", 11), ("EHWPOISON", 133)]
        {
            assert_eq!(name.parse::<ErrorNumber>().map(ErrorNumber::number), Ok(number), "{name}");
        }
        for bad in ["", "eperm", "EXYZ", "1"] {
            assert!(bad.parse::<ErrorNumber>().is_err(), "{bad}");
        }
    }
}
