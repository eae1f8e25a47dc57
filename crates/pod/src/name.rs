// SPDX-License-Identifier: Apache-2.0
//! Names of images, apps, volumes, isolators and environment variables.
//!
//! 0.1 has one looser type for all of them but the last: any of `a-z 0-9 . - /`, in any order. If such a name can't be
//! a component of a path, an escaped form is used ([`AppName`], [`VolumeName::file_name`]), so that `..`, `//` and the
//! like never become one. 0.8's rules hold for the names that a manifest of 0.8 defines itself (`OfVersion`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::text::escape;

/// Declares a text newtype whose values have all passed `check`.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name as text.
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

/// A name that has to follow 0.8's rules if a manifest of 0.8 defines it.
pub(crate) trait OfVersion {
    /// Checks that the name follows 0.8's rules.
    ///
    /// # Errors
    /// Fails if only 0.1 allows it.
    fn check_0_8(&self) -> Result<()>;
}

/// Declares a [`checked_name`] of 1 to 255 bytes: words with one of `$between` between any two, or what 0.1 allows.
macro_rules! looser_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $between:literal) => {
        checked_name!(
            $(#[$doc])*
            $name, $what, $expected, |text| text.len() <= 255 && (is_words(text, $between) || is_of_0_1(text))
        );

        impl OfVersion for $name {
            fn check_0_8(&self) -> Result<()> {
                if is_words(&self.0, $between) {
                    return Ok(());
                }
                Err(Error::new(format!(concat!("invalid ", $what, " {}: expected ", $expected), escape(&self.0))))
            }
        }
    };
}

checked_name!(
    /// An image's, isolator's or annotation's name, 1 to 255 bytes: appc's AC Identifier (0.8) or AC Name (0.1).
    Identifier,
    "name",
    "lowercase letters and digits, with - . _ ~ / between them",
    |text| text.len() <= 255 && (is_identifier(text) || is_of_0_1(text))
);

impl OfVersion for Identifier {
    fn check_0_8(&self) -> Result<()> {
        if is_identifier(&self.0) {
            return Ok(());
        }
        let expected = "lowercase letters and digits, with - . _ ~ / between them";
        Err(Error::new(format!("invalid name {}: expected {expected}", escape(&self.0))))
    }
}

looser_name!(
    /// A volume's or mount point's name: appc's AC Name (0.8), with 0.1's dots, or that of 0.1.
    VolumeName,
    "volume name",
    "lowercase letters and digits, with - or . between them",
    b"-."
);

looser_name!(
    /// A port's name: appc's AC Name (0.8), with 0.1's dots, or that of 0.1. Either can be passed on as in
    /// sd_listen_fds_with_names(3).
    PortName,
    "port name",
    "lowercase letters and digits, with - or . between them",
    b"-."
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

/// An app's name in its pod, 1 to 200 bytes: appc's AC Name (0.8), with `.` and `_`, or that of 0.1.
///
/// Everything that belongs to the app is named by the name's escaped form: units (systemd.unit(5): at most 255 bytes),
/// directories, files, messages. A plain name is its own escaped form. This type's text is the escaped form; manifests
/// have the name itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(String);

impl AppName {
    /// Returns the escaped form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an app's name as a manifest has it.
    ///
    /// # Errors
    /// Fails if it is not one.
    pub fn of_manifest(text: &str) -> Result<Self> {
        if text.len() <= 200 && (is_words(text, b"-._") || is_of_0_1(text)) {
            return Ok(Self(component(text)));
        }
        Err(invalid_app(text))
    }

    /// Returns the name as a manifest has it.
    pub fn in_manifest(&self) -> String {
        written(&self.0)
    }

    /// Returns the default name of an app of this image: the image name's last component.
    ///
    /// # Errors
    /// Fails if that component is not a valid app name.
    pub fn of_image(image: &Identifier) -> Result<Self> {
        let last = image.as_str().rsplit('/').find(|component| !component.is_empty()).unwrap_or_default();
        Self::of_manifest(&last.replace('~', "-")).map_err(|error| error.within(format!("image {image}")))
    }
}

impl OfVersion for AppName {
    fn check_0_8(&self) -> Result<()> {
        let text = self.in_manifest();
        if is_words(&text, b"-._") { Ok(()) } else { Err(invalid_app(&text)) }
    }
}

fn invalid_app(text: &str) -> Error {
    let text = escape(text);
    Error::new(format!(
        "invalid app name {text}: expected at most 200 lowercase letters and digits, with - . _ between them"
    ))
}

impl FromStr for AppName {
    type Err = Error;

    /// Reads the escaped form.
    fn from_str(text: &str) -> Result<Self> {
        Self::of_manifest(&written(text)).ok().filter(|name| name.0 == text).ok_or_else(|| invalid_app(text))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AppName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.in_manifest())
    }
}

impl<'de> Deserialize<'de> for AppName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_manifest(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl VolumeName {
    /// Returns the name, escaped if it is not plain: one component of a path.
    pub fn file_name(&self) -> String {
        component(&self.0)
    }
}

/// Escapes a name to be one component of a path, or part of a unit's name.
///
/// A slash becomes `S`; a `-` or `.` that is not alone between words becomes `D` or `P`. Names have no capital letters,
/// so escaped forms of different names differ, and a plain name stays as it is.
fn component(name: &str) -> String {
    let bytes = name.as_bytes();
    let is_word = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_alphanumeric);
    let one = |(index, byte): (usize, &u8)| {
        let stands_alone = index > 0 && is_word(index - 1) && is_word(index + 1);
        match byte {
            b'/' => 'S',
            b'-' if !stands_alone => 'D',
            b'.' if !stands_alone => 'P',
            byte => char::from(*byte),
        }
    };
    bytes.iter().enumerate().map(one).collect()
}

/// Reverts [`component`].
fn written(component: &str) -> String {
    component.replace('S', "/").replace('D', "-").replace('P', ".")
}

/// Tells whether a text is an AC Identifier: it begins and ends with a letter or digit (appc spec, types.md). Unlike the
/// pattern of the specification's code, its text allows several separators in a row, as in `example.com/~user`.
fn is_identifier(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(is_alphanumeric);
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| is_alphanumeric(byte) || b"-._~/".contains(byte))
}

/// Tells whether a text consists of 0.1's characters, in any order.
fn is_of_0_1(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-/".contains(&byte))
}

/// Tells whether a text is `[a-z0-9]+` runs with one of `between` between any two of them.
fn is_words(text: &str, between: &[u8]) -> bool {
    text.split(|c: char| c.is_ascii() && between.contains(&(c as u8)))
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_app_names_are_as_they_are() {
        for good in ["a", "redis", "redis-6.2", "a_b", "0", "halt", "default"] {
            let name = AppName::of_manifest(good).unwrap();
            assert_eq!((name.as_str(), name.check_0_8()), (good, Ok(())));
        }
        let long = "a".repeat(201);
        for bad in
            ["", "A", "a b", "a\n", "é", "a\0", "a%n", "a__b", "_", "a_b--c", "S", "aDb", long.as_str()]
        {
            assert!(AppName::of_manifest(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn looser_app_names_are_escaped_and_come_back() {
        for (name, escaped) in [
            ("example.com/etcd", "example.comSetcd"),
            ("a--b", "aDDb"),
            ("a.-b", "aPDb"),
            ("..", "PP"),
            (".", "P"),
            ("/", "S"),
            ("../x", "PPSx"),
            ("a//b/", "aSSbS"),
            ("-a", "Da"),
            ("a-", "aD"),
            ("a/-b", "aSDb"),
        ] {
            let app = AppName::of_manifest(name).unwrap();
            assert_eq!((app.as_str(), app.in_manifest().as_str()), (escaped, name));
            assert_eq!(escaped.parse::<AppName>().as_ref(), Ok(&app), "{name}");
            assert_eq!(name.parse::<VolumeName>().unwrap().file_name(), escaped);
            assert!(app.check_0_8().is_err() && name.parse::<AppName>().is_err(), "{name}");
        }
        for none in ["aDb", "aPb", "aSb-", "D D", "..", "a/b", "U"] {
            assert!(none.parse::<AppName>().is_err(), "{none}");
        }
    }

    /// Checks every name of up to four characters, of each kind that the rules distinguish.
    #[test]
    fn no_two_names_become_one() {
        let mut names = vec![String::new()];
        for _ in 0..4 {
            let longer = |name: &String| ["a", "-", ".", "/", "_"].map(|next| format!("{name}{next}"));
            names = names.iter().flat_map(longer).chain(names.iter().cloned()).collect();
        }
        names.sort();
        names.dedup();
        let apps: Vec<_> = names.iter().filter_map(|name| AppName::of_manifest(name).ok()).collect();
        let escaped: std::collections::BTreeSet<_> = apps.iter().map(AppName::as_str).collect();
        assert_eq!(escaped.len(), apps.len());
        let plain = |escaped: &&str| is_words(&escaped.to_ascii_lowercase(), b"-._");
        assert!(escaped.iter().all(plain), "{escaped:?}");
        assert!(apps.len() > 300, "{}", apps.len());
    }

    #[test]
    fn app_name_of_an_image() {
        let name = |image: &str| AppName::of_image(&image.parse().unwrap()).map(|name| name.in_manifest());
        assert_eq!(name("example.com/redis"), Ok("redis".into()));
        assert_eq!(name("example.com/a~b"), Ok("a-b".into()));
        assert_eq!(name("example.com/a--b"), Ok("a--b".into()));
        assert_eq!(name("/example.com/redis//"), Ok("redis".into()));
        assert_eq!(name("a/.."), Ok("..".into()));
        assert!(name("//").is_err());
        assert!(name(&"a".repeat(255)).is_err());
    }

    #[test]
    fn each_version_has_its_names() {
        let identifiers =
            [("example.com/a--b", true), ("a/b", true), ("/", false), ("-a", false), ("a/", false)];
        for (name, is_of_0_8) in identifiers.into_iter().chain([("example.com/~user/app_v1", true)]) {
            assert_eq!(name.parse::<Identifier>().unwrap().check_0_8().is_ok(), is_of_0_8, "{name}");
        }
        for (name, is_of_0_8) in [("data/one", false), ("data.one", true), ("a--", false)] {
            assert_eq!(name.parse::<VolumeName>().unwrap().check_0_8().is_ok(), is_of_0_8, "{name}");
            assert_eq!(name.parse::<PortName>().unwrap().check_0_8().is_ok(), is_of_0_8, "{name}");
        }
        for bad in ["", "A", "a b", "a:b", "a\n", "a_b"] {
            assert!(bad.parse::<VolumeName>().is_err() && bad.parse::<PortName>().is_err(), "{bad:?}");
        }
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
