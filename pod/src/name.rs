// SPDX-License-Identifier: Apache-2.0
//! Names: of images, apps, volumes, isolators, environment variables.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::escape;

/// Declares a text newtype whose only door is `check`.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Error::new(format!(concat!("invalid ", $what, " {}: expected ", $expected), escape(text))))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// An image's, isolator's or annotation's name: appc's AC Identifier (0.8) or AC Name (0.1), 1 to 255 bytes.
    Identifier,
    "name",
    "lowercase letters and digits, with - . _ ~ / between them",
    |text| text.len() <= 255 && is_words(text, b"-._~/")
);

checked_name!(
    /// A volume's or mount point's name: appc's AC Name (0.8), with 0.1's dots, 1 to 255 bytes.
    VolumeName,
    "volume name",
    "lowercase letters and digits, with - or . between them",
    |text| text.len() <= 255 && is_words(text, b"-.")
);

checked_name!(
    /// A port's name: appc's AC Name (0.8), with 0.1's dots, 1 to 255 bytes. So it is also a name that
    /// sd_listen_fds_with_names(3) can pass on.
    PortName,
    "port name",
    "lowercase letters and digits, with - or . between them",
    |text| text.len() <= 255 && is_words(text, b"-.")
);

checked_name!(
    /// An app's name in its pod, 1 to 200 bytes: appc's AC Name (0.8), with 0.1's dots. It is part of unit names
    /// (systemd.unit(5): at most 255 bytes) and is a file name, so it has no slash.
    AppName,
    "app name",
    "at most 200 lowercase letters and digits, with - . _ between them",
    |text| text.len() <= 200 && is_words(text, b"-._")
);

checked_name!(
    /// An environment variable's name (appc spec, image manifest, environment).
    EnvName,
    "environment variable name",
    "a letter or _, then letters, digits, _ . -",
    |text| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    }
);

impl AppName {
    /// The name an app of this image has when nobody names it: the image name's last component.
    ///
    /// # Errors
    /// Where that component makes no app name.
    pub fn of_image(image: &Identifier) -> Result<Self> {
        let last = image.as_str().rsplit('/').next().unwrap_or_default();
        last.replace('~', "-").parse().map_err(|error: Error| error.within(format!("image {image}")))
    }
}

/// `[a-z0-9]+` runs with one of `between` between any two of them.
fn is_words(text: &str, between: &[u8]) -> bool {
    text.split(|c: char| c.is_ascii() && between.contains(&(c as u8)))
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names() {
        for good in ["a", "redis", "redis-6.2", "0", "halt", "default"] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        let long = "a".repeat(201);
        for bad in ["", "-a", "a-", "a--b", "A", "a/b", "a b", "a\n", "é", "..", "a\0", "a%n", long.as_str()]
        {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn app_name_of_an_image() {
        let name = |image: &str| AppName::of_image(&image.parse().unwrap()).map(|name| name.to_string());
        assert_eq!(name("example.com/redis"), Ok("redis".into()));
        assert_eq!(name("example.com/a~b"), Ok("a-b".into()));
        assert!(name(&"a".repeat(255)).is_err());
    }

    #[test]
    fn environment_names() {
        for good in ["PATH", "_", "a.b", "a-b", "A1"] {
            assert!(good.parse::<EnvName>().is_ok(), "{good}");
        }
        for bad in ["", "1A", "A=B", "A B", ".a", "é", "A\0"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad:?}");
        }
    }
}
