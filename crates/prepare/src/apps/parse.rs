// SPDX-License-Identifier: Apache-2.0
//! Values of options about apps: texts into settings. A bad value is an error in one line.

use pod::exec::Word;
use pod::isolators::{Capability, CapabilitySet, Quantity, TASKS_MAX, Unit};
use pod::manifest::Restart;
use pod::manifest::annotations::TIMEOUT_MAX;
use pod::name::EnvName;
use pod::signal::Signal;
use pod::text::escape;
use pod::user::Account;

use super::settings::{Capabilities, Setting};
use crate::size::{bytes, size};
use image::Invalid;

/// The prefix of capabilities' names, which can be left out.
const CAP: &str = "CAP_";

impl Setting {
    /// Parses a program: an absolute path, or a name that is looked up in the app's PATH.
    pub fn program(text: &str) -> Result<Self, Invalid> {
        let word = word(text)?;
        pod::exec::Exec::try_from(vec![word.clone()]).map_err(|error| error.to_string())?;
        Ok(Self::Program(word))
    }

    /// Parses `NAME=VALUE`, or `NAME` for the value that `lookup` has, if it has any.
    pub fn environment(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let (name, value) = variable(text, lookup)?;
        Ok(Self::Environment(name, value))
    }

    /// Parses `USER` or `USER:GROUP`, each a name, a number or a path whose owner is meant.
    pub fn user(text: &str) -> Result<Self, Invalid> {
        let account = |text: &str| text.parse::<Account>().map_err(|error| error.to_string());
        match text.split_once(':') {
            Some((user, group)) => Ok(Self::User(account(user)?, Some(account(group)?))),
            None => Ok(Self::User(account(text)?, None)),
        }
    }

    /// Parses a working directory.
    pub fn directory(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self::Directory).map_err(|error: pod::Error| error.to_string())
    }

    /// Parses an amount of memory: a number of bytes, or one with b, k, m, g or t, each 1024 times the one before.
    pub fn memory(text: &str) -> Result<Self, Invalid> {
        bytes(text).map(Self::Memory).ok_or_else(|| {
            format!("invalid memory {}: expected a number of bytes, or one with k, m, g or t", escape(text))
        })
    }

    /// Parses how many processes and threads an app may have.
    pub fn tasks(text: &str) -> Result<Self, Invalid> {
        tasks(text).map(Self::Tasks)
    }

    /// Parses how much an app's /tmp holds.
    pub fn tmp(text: &str) -> Result<Self, Invalid> {
        size(text).map(Self::Tmp)
    }

    /// Parses a number of CPUs, such as 1.5.
    pub fn cpus(text: &str) -> Result<Self, Invalid> {
        let quantity = Quantity::parse(text, Unit::Core).map(Self::Cpu);
        quantity
            .map_err(|_| format!("invalid number of CPUs {}: expected one such as 2 or 0.5", escape(text)))
    }

    /// Parses names of capabilities that an app has in addition.
    pub fn add(text: &str) -> Result<Self, Invalid> {
        capabilities(text).map(Self::Add)
    }

    /// Parses names of capabilities that an app doesn't have.
    pub fn drop(text: &str) -> Result<Self, Invalid> {
        capabilities(text).map(Self::Drop)
    }

    /// Parses `no`, `on-failure` or `always`.
    pub fn restart(text: &str) -> Result<Self, Invalid> {
        let invalid = || format!("invalid restart {}: expected no, on-failure or always", escape(text));
        Restart::named(text).map(Self::Restart).ok_or_else(invalid)
    }

    /// Parses `true` or `false`.
    pub fn read_only(text: &str) -> Result<Self, Invalid> {
        match text {
            "true" => Ok(Self::ReadOnly(true)),
            "false" => Ok(Self::ReadOnly(false)),
            _ => Err(format!("invalid value {}: expected true or false", escape(text))),
        }
    }

    /// Parses a number of seconds.
    pub fn stop_timeout(text: &str) -> Result<Self, Invalid> {
        let seconds = text.parse().ok().filter(|seconds| (1..=TIMEOUT_MAX).contains(seconds));
        seconds.map(Self::StopTimeout).ok_or_else(|| {
            format!("invalid stop timeout {}: expected whole seconds from 1 to {TIMEOUT_MAX}", escape(text))
        })
    }

    /// Parses the name or number of a signal.
    pub fn stop_signal(text: &str) -> Result<Self, Invalid> {
        text.parse::<Signal>().map(Self::StopSignal).map_err(|error| error.to_string())
    }
}

/// Parses how many processes and threads there may be.
pub fn tasks(text: &str) -> Result<u32, Invalid> {
    text.parse().ok().filter(|tasks| (1..=TASKS_MAX).contains(tasks)).ok_or_else(|| {
        format!("invalid number of processes {}: expected one from 1 to {TASKS_MAX}", escape(text))
    })
}

/// Parses the file of `--env-file`: a variable a line, as for `--env`. Empty lines and those that begin with `#` are
/// skipped. The error names the line.
pub(crate) fn environment_file(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(EnvName, Word)>, Invalid> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = variable(line, &lookup).map_err(|why| format!("line {number}: {why}"))?;
        all.extend(value.map(|value| (name, value)));
    }
    Ok(all)
}

fn variable(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<(EnvName, Option<Word>), Invalid> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, lookup(text)),
    };
    let name = name.parse::<EnvName>().map_err(|error| error.to_string())?;
    Ok((name, value.as_deref().map(word).transpose()?))
}

/// Parses a word that reaches a program.
pub fn word(text: &str) -> Result<Word, Invalid> {
    Word::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Parses names of capabilities with commas between them, in any case and with or without `CAP_`, or `ALL`.
fn capabilities(text: &str) -> Result<Capabilities, Invalid> {
    let mut all = Capabilities::default();
    for name in text.split(',') {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" {
            all.all = true;
            continue;
        }
        let whole = if upper.starts_with(CAP) { upper } else { format!("{CAP}{upper}") };
        let one = whole.parse::<Capability>().map_err(|_| {
            format!("unknown capability {}: expected a name such as NET_ADMIN, or ALL", escape(name))
        })?;
        all.named = all.named.union(CapabilitySet::from_iter([one]));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn variables() {
        let callers = |name: &str| (name == "HERE").then(|| "x".to_owned());
        let parse = |text: &str| match Setting::environment(text, callers) {
            Ok(Setting::Environment(name, value)) => {
                Ok((name.to_string(), value.map(|value| value.as_str().to_owned())))
            }
            other => Err(format!("{other:?}")),
        };
        assert_eq!(parse("A=b=c d"), Ok(("A".into(), Some("b=c d".into()))));
        assert_eq!(parse("A="), Ok(("A".into(), Some(String::new()))));
        assert_eq!(parse("HERE"), Ok(("HERE".into(), Some("x".into()))), "the caller's");
        assert_eq!(parse("GONE"), Ok(("GONE".into(), None)));
        for bad in ["", "=x", "1A=b", "A B=c", "A\0=b", "A=\0"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_of_variables() {
        let read = |text: &str| environment_file(text, none);
        let names = |text: &str| -> Vec<_> {
            let all = read(text).unwrap();
            all.iter().map(|(name, value)| format!("{name}={}", value.as_str())).collect()
        };
        assert_eq!(names("# a\n\nA=1\n  B=\"2\"\nC\n"), ["A=1", "B=\"2\""]);
        assert_eq!(
            read("A=1\n1=2\n").unwrap_err(),
            "line 2: invalid environment variable name \"1\": expected a letter or _, then letters, digits, _ . -"
        );
    }

    #[test]
    fn users_have_maybe_groups() {
        let parse = |text: &str| Setting::user(text);
        let account = |text: &str| text.parse::<Account>().unwrap();
        assert_eq!(parse("app"), Ok(Setting::User(account("app"), None)));
        assert_eq!(parse("7:wheel"), Ok(Setting::User(account("7"), Some(account("wheel")))));
        for bad in ["", ":", "a:", ":b", "a:b:c", "-1", "4294967295"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_counted_in_powers_of_1024() {
        for (text, bytes) in [
            ("4096", 4096),
            ("4096b", 4096),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64Ki", 65_536),
            ("3m", 3 << 20),
            ("2GiB", 2 << 30),
            ("1t", 1 << 40),
        ] {
            let expected = Quantity::parse(&u64::to_string(&bytes), Unit::Byte).unwrap();
            assert_eq!(Setting::memory(text), Ok(Setting::Memory(expected)), "{text}");
        }
        for bad in ["", "0", "m", "-1", "1.5g", "1 g", "1x", "1kk", "99999999t", "9223372036854775808"] {
            assert!(Setting::memory(bad).unwrap_err().contains("expected a number of bytes"), "{bad}");
        }
    }

    #[test]
    fn processes_are_at_least_one() {
        assert_eq!(Setting::tasks("4194304"), Ok(Setting::Tasks(4_194_304)));
        for bad in ["", "0", "-1", "1.5", "many", "4194305"] {
            assert!(Setting::tasks(bad).unwrap_err().contains("expected one from 1 to 4194304"), "{bad}");
        }
    }

    #[test]
    fn cpus_are_numbers() {
        for good in ["1", "0.5", "1.25"] {
            assert!(Setting::cpus(good).is_ok(), "{good}");
        }
        for bad in ["", "0", "-1", "x", "300000"] {
            assert!(Setting::cpus(bad).unwrap_err().contains("expected one such as"), "{bad}");
        }
    }

    #[test]
    fn capabilities_have_names_in_any_case() {
        let parse = |text: &str| match Setting::add(text) {
            Ok(Setting::Add(capabilities)) => Ok((capabilities.named.to_string(), capabilities.all)),
            other => Err(format!("{other:?}")),
        };
        for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"] {
            assert_eq!(parse(text), Ok(("CAP_NET_ADMIN".into(), false)), "{text}");
        }
        assert_eq!(parse("all,CHOWN"), Ok(("CAP_CHOWN".into(), true)));
        for bad in ["", "NOTHING", "CHOWN,", "CAP_"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_values() {
        assert!(Setting::program("/bin/sh").is_ok() && Setting::program("sh").is_ok());
        assert!(Setting::program("").is_err() && Setting::program("bin/sh").is_ok());
        assert!(Setting::directory("/a").is_ok() && Setting::directory("a").is_err());
        assert_eq!(Setting::restart("always"), Ok(Setting::Restart(Restart::Always)));
        assert!(
            Setting::restart("unless-stopped").unwrap_err().contains("expected no, on-failure or always")
        );
        assert_eq!(Setting::stop_timeout("30"), Ok(Setting::StopTimeout(30)));
        for bad in ["0", "86401", "1s", ""] {
            assert!(Setting::stop_timeout(bad).is_err(), "{bad}");
        }
        assert!(Setting::stop_signal("SIGINT").is_ok() && Setting::stop_signal("SIGNOTHING").is_err());
    }
}
