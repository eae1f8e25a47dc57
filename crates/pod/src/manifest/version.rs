// SPDX-License-Identifier: Apache-2.0
//! The version field of manifests, `acVersion`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::escape;

/// A manifest's `acVersion`: a `SemVer` that is not 0.0.0 (appc spec, types).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AcVersion(semver::Version);

impl AcVersion {
    /// Tells whether names follow 0.1's rules.
    pub(super) fn has_looser_names(&self) -> bool {
        (self.0.major, self.0.minor) == (0, 1)
    }

    /// Returns the version of the manifests of 0.1 that are written.
    pub fn runtime() -> Self {
        Self(semver::Version::new(0, 1, 1))
    }

    /// Returns the version of the image and pod manifests of 0.8 that are written.
    pub fn current() -> Self {
        Self(semver::Version::new(0, 8, 11))
    }
}

impl TryFrom<String> for AcVersion {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let bare = text.strip_prefix('v').unwrap_or(&text);
        match semver::Version::parse(bare) {
            Ok(version) if version != semver::Version::new(0, 0, 0) => Ok(Self(version)),
            _ => Err(Error::new(format!(
                "invalid acVersion {}: expected a version such as 0.8.11",
                escape(&text)
            ))),
        }
    }
}

impl From<AcVersion> for String {
    fn from(version: AcVersion) -> Self {
        version.0.to_string()
    }
}
