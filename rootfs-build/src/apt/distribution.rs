// SPDX-License-Identifier: Apache-2.0
//! The host's distribution, as far as its package archive is concerned, and the release of it that packages are from.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, io};

use anyhow::{Context as _, Error, Result, bail, ensure};

/// A distribution's archive: which part of it is used, and its signing keyring.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    pub(super) id: &'static str,
    /// The host's release, by which its sources name their suites.
    codename: Codename,
    /// The release that packages are from.
    wanted: Codename,
    pub(super) components: &'static [&'static str],
    /// Paths of the keyring, any of which may exist: newer releases call the same keyring `.pgp`.
    keyrings: &'static [&'static str],
}

/// The codename of a release of the distribution: `trixie`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codename(String);

impl FromStr for Codename {
    type Err = Error;

    /// Takes a name, or fails if it has characters that can't be part of a suite's name.
    fn from_str(name: &str) -> Result<Self> {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        ensure!(!name.is_empty() && name.chars().all(ok), "expected a codename, such as trixie");
        Ok(Self(name.to_owned()))
    }
}

/// The suites of a release, by what follows its codename: the release itself and its updates.
const SUITES: [&str; 3] = ["", "-updates", "-security"];

const DEBIAN_KEYRINGS: &[&str] =
    &["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];
const UBUNTU_KEYRINGS: &[&str] =
    &["/usr/share/keyrings/ubuntu-archive-keyring.gpg", "/usr/share/keyrings/ubuntu-archive-keyring.pgp"];

impl Distribution {
    /// Returns the distribution that this program runs on, by os-release(5).
    ///
    /// # Errors
    /// Fails if the host runs no distribution whose packages are known.
    pub(super) fn of_host() -> Result<Self> {
        let text = match fs::read_to_string("/etc/os-release") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::read_to_string("/usr/lib/os-release")
            }
            other => other,
        };
        Self::parse(&text.context("read /etc/os-release")?)
    }

    pub(super) fn parse(os_release: &str) -> Result<Self> {
        let field = |name: &str| {
            let mut lines = os_release.lines().filter_map(|line| line.split_once('='));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim().trim_matches(['"', '\'']))
        };
        let (id, components, keyrings): (_, &[&str], _) = match field("ID").unwrap_or("linux") {
            "debian" => ("debian", &["main"], DEBIAN_KEYRINGS),
            "ubuntu" => ("ubuntu", &["main", "universe"], UBUNTU_KEYRINGS),
            other => bail!("this host runs {other}: expected debian or ubuntu"),
        };
        let codename = field("VERSION_CODENAME").filter(|name| !name.is_empty());
        let codename = codename.context("/etc/os-release names no VERSION_CODENAME")?;
        let codename = Codename(codename.to_owned());
        Ok(Self { id, wanted: codename.clone(), codename, components, keyrings })
    }

    /// Takes packages from another release than the host's.
    pub(super) fn with_release(self, wanted: Codename) -> Self {
        Self { wanted, ..self }
    }

    /// Returns the suites of the host's release.
    pub(super) fn suites(&self) -> [String; 3] {
        SUITES.map(|part| format!("{}{part}", self.codename.0))
    }

    /// Returns the suite that takes the place of the host's `suite`; `None` if that isn't one of the release's own.
    ///
    /// A mirror of the archive has all releases in the same places.
    pub(super) fn wanted(&self, suite: &str) -> Option<String> {
        let part = SUITES.into_iter().find(|part| suite.strip_prefix(&self.codename.0) == Some(part))?;
        Some(format!("{}{part}", self.wanted.0))
    }

    /// Tells whether a source signed by `keyring` may be the distribution's own.
    pub(super) fn is_own_keyring(&self, keyring: &str) -> bool {
        self.keyrings.contains(&keyring)
    }

    /// Returns the archive's keyring on this host.
    ///
    /// # Errors
    /// Fails if there is none.
    pub(super) fn keyring(&self) -> Result<PathBuf> {
        let found = self.keyrings.iter().map(Path::new).find(|path| path.exists());
        found.map(Path::to_owned).with_context(|| format!("no archive keyring at {}", self.keyrings[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release() {
        let jammy = Distribution::parse("NAME=x\nID=\"ubuntu\"\nVERSION_CODENAME='jammy'\n").unwrap();
        assert_eq!(jammy.suites(), ["jammy", "jammy-updates", "jammy-security"]);
        assert_eq!(jammy.wanted("jammy-security").as_deref(), Some("jammy-security"));
        assert_eq!(jammy.components, ["main", "universe"]);
        assert!(!jammy.is_own_keyring(DEBIAN_KEYRINGS[0]));
        let table = [
            ("ID=fedora\nVERSION_CODENAME=x", "this host runs fedora: expected debian or ubuntu"),
            ("", "this host runs linux: expected debian or ubuntu"),
            ("ID=debian\n", "/etc/os-release names no VERSION_CODENAME"),
            ("ID=debian\nVERSION_CODENAME=\n", "/etc/os-release names no VERSION_CODENAME"),
        ];
        for (text, expected) in table {
            assert_eq!(Distribution::parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn another_release() {
        let bookworm = Distribution::parse("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap();
        let other = bookworm.with_release("trixie".parse().unwrap());
        assert_eq!(other.suites(), ["bookworm", "bookworm-updates", "bookworm-security"]);
        let table = [
            ("bookworm", Some("trixie")),
            ("bookworm-updates", Some("trixie-updates")),
            ("bookworm-security", Some("trixie-security")),
            ("bookworm-backports", None),
            ("trixie", None),
        ];
        for (suite, expected) in table {
            assert_eq!(other.wanted(suite).as_deref(), expected, "{suite}");
        }
        for bad in ["", "trixie/updates", "-o", "trixie-updates", "Trixie", "a b"] {
            assert!(bad.parse::<Codename>().is_err(), "{bad}");
        }
    }
}
