// SPDX-License-Identifier: Apache-2.0
//! Platforms: what an image runs on, in the words of the OCI image spec (image-index.md, "platform", which takes Go's).

use std::fmt;
use std::str::FromStr;

use pod::text::escape;
use serde::Deserialize;

/// An operating system, an architecture, and the variant of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// The operating system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// The architecture, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// The architecture's variant, such as `v7`.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// Returns the platform of this machine.
    pub fn host() -> Self {
        let (architecture, variant) = known(std::env::consts::ARCH);
        Self { os: "linux".into(), architecture, variant }
    }

    /// Tells whether it is no platform, but marks something beside images, such as attestations.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }

    /// Returns how well an image for `other` runs on this platform, the more the better; `None` if it doesn't.
    ///
    /// A machine runs what was made for its variant and for those before. An image that names no variant is taken where
    /// none is better.
    pub fn rank(&self, other: &Self) -> Option<u32> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let own = self.variant.as_deref().unwrap_or(match self.architecture.as_str() {
            "arm" => "v7",
            "arm64" => "v8",
            _ => "v1",
        });
        match other.variant.as_deref().filter(|variant| !variant.is_empty()) {
            None => Some(0),
            Some(variant) if variant == own => Some(u32::MAX),
            Some(variant) => {
                let (level, most) = (level(variant)?, level(own)?);
                (level <= most).then_some(level)
            }
        }
    }
}

/// Returns a variant such as `v7` or `v8.2` as a number above 0.
fn level(variant: &str) -> Option<u32> {
    let (major, minor) = variant.strip_prefix('v')?.split_once('.').unwrap_or((&variant[1..], "0"));
    let number = |text: &str| text.parse::<u16>().ok().map(u32::from);
    Some(number(major)? * 1000 + number(minor)?.min(999) + 1)
}

/// Returns an architecture in Go's words, and its variant where the name implies one.
fn known(architecture: &str) -> (String, Option<String>) {
    let (name, variant) = match architecture {
        "x86_64" | "x86-64" => ("amd64", None),
        "aarch64" => ("arm64", None),
        "i386" | "i686" | "x86" => ("386", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        other => (other, None),
    };
    (name.to_owned(), variant.map(str::to_owned))
}

impl FromStr for Platform {
    type Err = pod::Error;

    /// Reads `OS/ARCH`, `OS/ARCH/VARIANT` or `ARCH`.
    fn from_str(text: &str) -> Result<Self, pod::Error> {
        let parts: Vec<_> = text.split('/').map(str::to_ascii_lowercase).collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os.as_str(), architecture, None),
            [os, architecture, variant] => (os.as_str(), architecture, Some(variant.clone())),
            _ => ("", &parts[0], None),
        };
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if ![os, architecture].into_iter().chain(variant.as_deref()).all(is_word) {
            let shown = escape(text);
            return Err(pod::Error::new(format!(
                "invalid platform {shown}: expected OS/ARCH or OS/ARCH/VARIANT"
            )));
        }
        let (architecture, implied) = known(architecture);
        Ok(Self { os: os.to_owned(), architecture, variant: variant.or(implied) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        let text = format!("{}/{}", or(&self.os), or(&self.architecture));
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty());
        let text = variant.map_or(text.clone(), |variant| format!("{text}/{variant}"));
        f.write_str(&pod::text::one_line(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        }
        for bad in ["", "/", "linux/", "linux/a/b/c", "linux/a b", "linux/\x1b", "/amd64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_variant_runs_what_is_for_it_and_those_before() {
        for (machine, image, runs) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v1", true),
            ("linux/amd64", "linux/amd64/v2", false),
            ("linux/amd64/v3", "linux/amd64/v2", true),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/arm/v6", "linux/arm/v5", true),
            ("linux/arm/v6", "linux/arm", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64", "linux/arm64/v8.1", false),
            ("linux/arm64/v9", "linux/arm64/v8.1", true),
            ("linux/arm64", "linux/arm/v7", false),
            ("linux/amd64", "windows/amd64", false),
            ("linux/arm", "linux/arm/soft", false),
        ] {
            let parse = |text: &str| text.parse::<Platform>().unwrap();
            assert_eq!(parse(machine).rank(&parse(image)).is_some(), runs, "{machine} {image}");
        }
    }
}
