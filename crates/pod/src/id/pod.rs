// SPDX-License-Identifier: Apache-2.0
//! The id of a pod.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::text::escape;

/// A pod's id: a UUID that is not zero, as text in lowercase with hyphens. It names the pod's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PodId(Uuid);

impl PodId {
    /// Returns a version 4 id made from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Returns an id, made from 16 random bytes, for a pod directory that is being removed.
    ///
    /// It is of version 8, which is for private use (RFC 9562, section 5.8), so it is never a pod's.
    pub fn for_removal(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Tells whether this is the id of a directory that is being removed.
    pub fn is_for_removal(&self) -> bool {
        self.0.get_version_num() == 8
    }

    /// Returns the 32 hex digits without hyphens, as machine-id(5) requires.
    pub fn machine_id(&self) -> String {
        self.0.simple().to_string()
    }

    /// Returns the host name that the pod's processes see: `gantry-` and the id's first group, 15 characters.
    pub fn host_name(&self) -> String {
        format!("gantry-{}", &self.machine_id()[..8])
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for PodId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid =
            || Error::new(format!("invalid pod id {}: expected a UUID that is not zero", escape(text)));
        // Uuid also accepts braces, URNs and bare digits, but a directory has only one name.
        let uuid = Uuid::try_parse(text).map_err(|_| invalid())?;
        if uuid.is_nil() || !uuid.hyphenated().to_string().eq_ignore_ascii_case(text) {
            return Err(invalid());
        }
        Ok(Self(uuid))
    }
}

impl TryFrom<String> for PodId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PodId> for String {
    fn from(id: PodId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_for_removal_are_no_pods() {
        let bytes = [7; 16];
        assert!(PodId::for_removal(bytes).is_for_removal());
        assert!(!PodId::from_random(bytes).is_for_removal());
        assert_eq!(PodId::for_removal(bytes).to_string().parse(), Ok(PodId::for_removal(bytes)));
    }

    #[test]
    fn one_spelling() {
        let text = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
        assert_eq!(text.parse::<PodId>().unwrap().to_string(), text);
        assert_eq!(text.parse::<PodId>().unwrap().host_name(), "gantry-6733c088");
        for bad in [
            "",
            "00000000-0000-0000-0000-000000000000",
            "6733c088a5074694aabfae0bc1ccaaff",
            "{6733c088-a507-4694-aabf-ae0bc1ccaaff}",
            "../../../etc",
        ] {
            assert!(bad.parse::<PodId>().is_err(), "{bad}");
        }
    }
}
