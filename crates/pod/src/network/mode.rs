// SPDX-License-Identifier: Apache-2.0
//! Which network a pod has.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::text::escape;

/// Which network a pod has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A network of its own, with a way out and published ports.
    #[default]
    Private,
    /// A network of its own that has nothing but loopback.
    None,
    /// The host's.
    Host,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::None => "none",
            Self::Host => "host",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Private, Self::None, Self::Host];
        all.into_iter().find(|mode| mode.to_string() == text).ok_or_else(|| {
            Error::new(format!("unknown network {}: expected private, none or host", escape(text)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_one_of_three_words() {
        for mode in [Mode::Private, Mode::None, Mode::Host] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!(
            "bridge\n".parse::<Mode>().unwrap_err().to_string(),
            "unknown network \"bridge\\n\": expected private, none or host"
        );
    }
}
