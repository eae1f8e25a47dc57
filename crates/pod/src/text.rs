// SPDX-License-Identifier: Apache-2.0
//! Prepares untrusted text for printing: nothing from an image or an argument may control a terminal.

use std::fmt::Write as _;

/// The number of characters of an untrusted text that a message shows.
const SHOWN: usize = 256;

/// Returns `text` in double quotes, with control characters, quotes and backslashes escaped and its length bounded.
pub fn escape(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars().take(SHOWN) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_format(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out.push('"');
    out
}

/// Works like [`escape`], for names that need not be UTF-8, such as those in an archive.
pub fn escape_bytes(bytes: &[u8]) -> String {
    escape(&String::from_utf8_lossy(bytes))
}

/// Returns `message` on one line: for whole messages that may contain foreign text, such as an error's.
pub fn one_line(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() || is_format(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Tells whether a character reorders or hides the text around it: bidi controls and zero-width marks (Unicode TR 36,
/// section 3.2), line and paragraph separators.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(escape("a\x1b[31mb"), r#""a\u{1b}[31mb""#);
        assert_eq!(escape("a\nb\r\t\"\\"), r#""a\nb\r\t\"\\""#);
        assert_eq!(escape("é\u{202e}x\u{9b}"), "\"é\\u{202e}x\\u{9b}\"");
        assert_eq!(escape_bytes(b"a\xffb"), "\"a\u{fffd}b\"");
        assert_eq!(one_line("a\nb"), "a\\u{a}b");
    }

    #[test]
    fn length_is_bounded() {
        let shown = escape(&"x".repeat(10_000));
        assert_eq!(shown.chars().count(), SHOWN + 3);
        assert!(shown.ends_with("…\""));
    }
}
