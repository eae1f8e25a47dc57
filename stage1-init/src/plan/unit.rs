// SPDX-License-Identifier: Apache-2.0
//! systemd units as typed lines, see systemd.syntax(7) and systemd.service(5).
//!
//! systemd fails open: it drops a directive that it can't read, and still loads the unit. So every value is a number,
//! a [`Command`] of Gantry's own, or text of Gantry's own. Text from a manifest appears only as a name, whose type
//! excludes all characters that systemd gives a meaning (`pod::name::AppName`).

use std::fmt::{self, Write as _};

/// A command line of Gantry's own program and words that need no quotes.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Whether it runs with all privileges and outside the service's root (systemd.service(5), the `+` prefix).
    privileged: bool,
    program: &'static str,
    words: Vec<String>,
}

impl Command {
    /// Makes a command that runs as the unit says.
    pub(crate) fn new(program: &'static str, words: Vec<String>) -> Self {
        Self { privileged: false, program, words }
    }

    /// Makes a command that runs with all privileges, in the pod's root.
    pub(crate) fn privileged(program: &'static str, words: Vec<String>) -> Self {
        Self { privileged: true, program, words }
    }
}

impl fmt::Display for Command {
    /// Writes the command line; its prefix `:` turns off the expansion of variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}{}", if self.privileged { "+" } else { "" }, self.program)?;
        self.words.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

/// A unit file being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit(String);

impl Unit {
    /// Starts a section.
    pub(crate) fn section(mut self, name: &'static str) -> Self {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let _ = writeln!(self.0, "[{name}]");
        self
    }

    /// Adds a directive. The module's documentation says what may be its value.
    pub(crate) fn set(mut self, directive: &'static str, value: impl fmt::Display) -> Self {
        let _ = writeln!(self.0, "{directive}={value}");
        self
    }

    /// Returns the file's text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_expand_nothing() {
        assert_eq!(Command::new("/p", vec!["a".into(), "b".into()]).to_string(), ":/p a b");
        assert_eq!(Command::privileged("/p", vec![]).to_string(), ":+/p");
    }

    #[test]
    fn sections_and_directives() {
        let unit = Unit::default().section("Unit").set("Description", "x").section("Service").set("User", 7);
        assert_eq!(unit.into_text(), "[Unit]\nDescription=x\n\n[Service]\nUser=7\n");
    }
}
