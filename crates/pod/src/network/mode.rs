// SPDX-License-Identifier: Apache-2.0
//! Modes: the kinds of network that a pod can have.

use std::fmt;
use std::str::FromStr;

use crate::called::is_name;
use crate::error::{Error, Result};
use crate::text::escape;

/// The prefix of a CNI network's name, which tells it from the other modes.
const CNI: &str = "cni:";

/// The kind of network that a pod has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A network of its own, with a way out and published ports.
    #[default]
    Private,
    /// A network of its own that has nothing but loopback.
    None,
    /// The host's.
    Host,
    /// A network of its own that the plugins of one of the host's CNI networks connect.
    Cni(CniName),
}

/// The name of a CNI network (CNI specification, section 1, `name`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniName(String);

impl CniName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CniName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CniName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if !is_name(text) {
            return Err(Error::new(format!(
                "invalid name of a CNI network {}: expected letters, digits, \"_\", \".\" and \"-\"",
                escape(text)
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::None => "none",
            Self::Host => "host",
            Self::Cni(name) => return write!(f, "{CNI}{name}"),
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "private" => return Ok(Self::Private),
            "none" => return Ok(Self::None),
            "host" => return Ok(Self::Host),
            _ => {}
        }
        match text.strip_prefix(CNI) {
            Some(name) => Ok(Self::Cni(name.parse()?)),
            None => Err(Error::new(format!(
                "unknown network {}: expected private, none, host or cni:NAME",
                escape(text)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_a_word_or_names_a_network() {
        for text in ["private", "none", "host", "cni:web-1"] {
            assert_eq!(text.parse::<Mode>().unwrap().to_string(), text);
        }
        assert_eq!(
            "bridge\n".parse::<Mode>().unwrap_err().to_string(),
            "unknown network \"bridge\\n\": expected private, none, host or cni:NAME"
        );
        for bad in ["cni:", "cni:-a", "cni:a/b", "cni:a b", &format!("cni:{}", "a".repeat(65))] {
            let error = bad.parse::<Mode>().unwrap_err().to_string();
            assert!(error.starts_with("invalid name of a CNI network"), "{error}");
        }
    }
}
