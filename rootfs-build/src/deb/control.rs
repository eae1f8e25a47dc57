// SPDX-License-Identifier: Apache-2.0
//! Reads the fields of a package's control file that Gantry uses (deb-control(5)).

use anyhow::{Context as _, Result, ensure};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    pub(super) source: String,
    pub(super) source_version: String,
}

impl Control {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let required = |name: &str| {
            let value = field(name).with_context(|| format!("control file without {name}"))?;
            // The values become paths and JSON in stage1.
            let clean = value.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:~_".contains(c));
            ensure!(clean && !value.starts_with('.'), "bad {name}: {}", pod::text::escape(value));
            Ok(value.to_owned())
        };
        let (name, version) = (required("Package")?, required("Version")?);
        // The field is `Source: name` or `Source: name (version)`. It is absent if both equal the binary package's.
        let (source, source_version) = match field("Source").map(|source| source.split_once('(')) {
            None => (name.clone(), version.clone()),
            Some(None) => (field("Source").unwrap_or(&name).to_owned(), version.clone()),
            Some(Some((source, rest))) => {
                (source.trim().to_owned(), rest.trim_end_matches(')').trim().to_owned())
            }
        };
        Ok(Self { architecture: required("Architecture")?, name, version, source, source_version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<[String; 5]> {
        let control = Control::parse(text)?;
        Ok([control.name, control.version, control.architecture, control.source, control.source_version])
    }

    #[test]
    fn fields() {
        let table = [
            ("Package: a\nVersion: 1:2-3\nArchitecture: all\n", ["a", "1:2-3", "all", "a", "1:2-3"]),
            ("package: a\nSource: s\nVersion: 1\nArchitecture: amd64\n", ["a", "1", "amd64", "s", "1"]),
            (
                "Package: a\nSource: s (0.9)\nVersion: 1+b2\nArchitecture: amd64\n",
                ["a", "1+b2", "amd64", "s", "0.9"],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "Package: a\nVersion: 1\n", "Package: ../a\nVersion: 1\nArchitecture: all\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
