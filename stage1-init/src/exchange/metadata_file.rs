// SPDX-License-Identifier: Apache-2.0
//! The metadata file, which says what the metadata service answers. `/init` writes it and the service reads it, as its
//! stdin: systemd opens it, since the service's user can't.
//!
//! ```text
//! gantry-metadata 1
//! pod 6733c088-a507-4694-aabf-ae0bc1ccaaff
//! token 00112233445566778899aabbccddeeff     (or: without-token)
//! json 15 pod/annotations                    (or: text, plain)
//! …15 bytes and a newline, and the next document…
//! ```
//!
//! A document is what is answered for a path, which is all that follows the second blank.

use std::fmt::Write as _;
use std::str;

/// Bytes of a pod's key for signatures.
pub(crate) const KEY: usize = 64;

const VERSION: &str = "gantry-metadata 1";
/// The line in place of a token.
const WITHOUT_TOKEN: &str = "without-token";

/// The type of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// JSON.
    Json,
    /// Text of ASCII alone.
    Text,
    /// Any text, of UTF-8.
    Plain,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Json, Self::Text, Self::Plain];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Plain => "plain",
        }
    }

    /// Returns the media type.
    pub(crate) fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=us-ascii",
            Self::Plain => "text/plain; charset=utf-8",
        }
    }
}

/// The answer for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) content: String,
}

/// All that the metadata service knows, but for its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The pod's id.
    pub(crate) pod: String,
    /// The first part of a path; `None` means that every client is of the pod (0.1's form).
    pub(crate) token: Option<String>,
    pub(crate) documents: Vec<Document>,
}

impl Metadata {
    /// Returns the file.
    pub(crate) fn to_text(&self) -> String {
        let token = self.token.as_ref().map_or(WITHOUT_TOKEN.to_owned(), |token| format!("token {token}"));
        let mut text = format!("{VERSION}\npod {}\n{token}\n", self.pod);
        for Document { path, kind, content } in &self.documents {
            let _ = write!(text, "{} {} {path}\n{content}\n", kind.name(), content.len());
        }
        text
    }

    /// Reads the file; `None` means that it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = str::from_utf8(bytes).ok()?;
        let mut line = || -> Option<&str> {
            let (line, after) = rest.split_once('\n')?;
            rest = after;
            Some(line)
        };
        if line()? != VERSION {
            return None;
        }
        let pod = line()?.strip_prefix("pod ")?.to_owned();
        let token = match line()? {
            WITHOUT_TOKEN => None,
            other => Some(other.strip_prefix("token ")?.to_owned()),
        };
        let mut documents = Vec::new();
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n')?;
            let mut words = line.splitn(3, ' ');
            let (kind, length, path) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
            let kind = Kind::ALL.into_iter().find(|one| one.name() == kind)?;
            let content = after.get(..length)?;
            rest = after.get(length..)?.strip_prefix('\n')?;
            documents.push(Document { path: path.to_owned(), kind, content: content.to_owned() });
        }
        Some(Self { pod, token, documents })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let document =
            |path: &str, kind, content: &str| Document { path: path.into(), kind, content: content.into() };
        for token in [None, Some("0123".to_owned())] {
            let metadata = Metadata {
                pod: "6733c088-a507-4694-aabf-ae0bc1ccaaff".into(),
                token,
                documents: vec![
                    document("a b", Kind::Json, "{\n\n\"é\": 1}\n"),
                    document("c", Kind::Text, ""),
                    document("d", Kind::Plain, "json 1 c\nx"),
                ],
            };
            assert_eq!(Metadata::read(metadata.to_text().as_bytes()), Some(metadata));
        }
        let text = "gantry-metadata 1\npod x\nwithout-token\n";
        assert!(Metadata::read(text.as_bytes()).is_some());
        for bad in ["", "json 2 a\nb\n", "json 1 a\nb", "xml 1 a\nb\n", "json 1\n", "json a b\n"] {
            let text = if bad.is_empty() { text.trim_end().to_owned() } else { text.to_owned() + bad };
            assert_eq!(Metadata::read(text.as_bytes()), None, "{bad}");
        }
    }
}
