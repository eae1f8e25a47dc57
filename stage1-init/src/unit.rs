// SPDX-License-Identifier: Apache-2.0
//! systemd units as typed lines, and the one way text gets into them.
//!
//! systemd.syntax(7) and systemd.service(5), "Command lines". systemd fails open: a directive it can't read is
//! dropped and the unit still loads. So a value is one of three kinds, each written so that it reads back as it was
//! meant: a [`Command`] whose words are quoted, a number, or text of Gantry's own.

use std::fmt::{self, Write as _};

/// A command line: every word arrives at the program byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Run with all privileges and outside the service's root (systemd.service(5), the `+` prefix).
    privileged: bool,
    /// Gantry's own program.
    program: &'static str,
    words: Vec<String>,
}

impl Command {
    /// A command that runs as the unit says.
    pub(crate) fn new(program: &'static str, words: Vec<String>) -> Self {
        Self { privileged: false, program, words }
    }

    /// A command that runs with all privileges, in the pod's root.
    pub(crate) fn privileged(program: &'static str, words: Vec<String>) -> Self {
        Self { privileged: true, program, words }
    }
}

impl fmt::Display for Command {
    /// `:` turns off the expansion of variables; the program's path starts with `/`, so no word is read as a prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}{}", if self.privileged { "+" } else { "" }, quote(self.program))?;
        self.words.iter().try_for_each(|word| write!(f, " {}", quote(word)))
    }
}

/// A word in double quotes, with everything that systemd would read as more than itself escaped.
pub(crate) fn quote(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    out.push('"');
    for c in word.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '%' => out.push_str("%%"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // ASCII only: \xNN is a byte, and other controls are two bytes of UTF-8 that pass as they are.
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
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

    /// A directive whose value is a number, a command or Gantry's own text. What comes from a manifest is in it only
    /// as a [`Command`]'s word or as a name whose type has no character that systemd gives a meaning.
    pub(crate) fn set(mut self, directive: &'static str, value: impl fmt::Display) -> Self {
        let _ = writeln!(self.0, "{directive}={value}");
        self
    }

    /// The file's text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_disarmed() {
        for (word, quoted) in [
            ("", r#""""#),
            ("%n $HOME ${X} $$ ;", r#""%%n $HOME ${X} $$ ;""#),
            (r#"\ " ' é"#, r#""\\ \" ' é""#),
            ("a\nb\tc\rd", r#""a\nb\tc\x0dd""#),
            ("\x07\x1b\x7f", r#""\x07\x1b\x7f""#),
            ("x\rExecStartPre=/bin/sh", r#""x\x0dExecStartPre=/bin/sh""#),
            ("end\\", r#""end\\""#),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn commands_expand_nothing() {
        let command = Command::new("/p", vec!["$A".into(), String::new()]);
        assert_eq!(command.to_string(), r#":"/p" "$A" """#);
        assert_eq!(Command::privileged("/p", vec![]).to_string(), r#":+"/p""#);
    }
}
