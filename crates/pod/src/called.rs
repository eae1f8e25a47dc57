// SPDX-License-Identifier: Apache-2.0
//! Names of a pod beside its id: the one that people use ([`PodName`]), and the one that programs in it see
//! ([`HostName`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::PodId;
use crate::text::escape;

/// The longest name of a pod, and of a host (uts namespaces have room for 64 bytes).
const LENGTH_MAX: usize = 64;

/// A pod's name, which no other pod in the same data directory has: letters, digits, `_`, `.` and `-`, beginning with a
/// letter or a digit.
///
/// A UUID is no name, so that an id always means the pod of that id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PodName(String);

/// The name that a pod's programs get from gethostname(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostName(String);

impl PodName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HostName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tells whether a text has letters, digits, `_`, `.` and `-` alone, begins with a letter or a digit, and is not too long.
pub(crate) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    begins_well && text.len() <= LENGTH_MAX && text.bytes().all(is_plain)
}

impl FromStr for PodName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if is_name(text) {
            return match text.to_ascii_lowercase().parse::<PodId>() {
                Ok(_) => Err(Error::new(format!("invalid pod name {text}: expected no UUID"))),
                Err(_) => Ok(Self(text.to_owned())),
            };
        }
        Err(Error::new(format!(
            "invalid pod name {}: expected a letter or digit, then letters, digits, _ . -, {LENGTH_MAX} at most",
            escape(text)
        )))
    }
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_label = |label: &str| {
            let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
        };
        if text.len() <= LENGTH_MAX && text.split('.').all(is_label) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(format!(
            "invalid host name {}: expected letters, digits and - in words with . between them, {LENGTH_MAX} at most",
            escape(text)
        )))
    }
}

impl TryFrom<String> for PodName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl TryFrom<String> for HostName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PodName> for String {
    fn from(name: PodName) -> Self {
        name.0
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pods() {
        for good in ["web", "Web-1.a_b", "1", "cafe", &"a".repeat(64)] {
            assert!(good.parse::<PodName>().is_ok(), "{good}");
        }
        let id = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
        for bad in
            ["", "-a", ".", "..", "_a", "a/b", "a b", "a\n", "é", &"a".repeat(65), id, &id.to_uppercase()]
        {
            assert!(bad.parse::<PodName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_hosts() {
        for good in ["web", "web-1.example.com", "A", "1"] {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", ".", "a_b", "a b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }
}
