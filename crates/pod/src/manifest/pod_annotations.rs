// SPDX-License-Identifier: Apache-2.0
//! The annotations of a pod: those about each of its apps, those about its network, and `gantry/metadata`: `none`, for a
//! pod without a metadata service.

use std::ops::Deref;

use serde::Deserialize;

use super::annotations::Annotations;
use super::pairs::Pairs;
use crate::error::{Error, Result};
use crate::network::Settings;
use crate::text::escape;

/// The annotation that says whether a pod has a metadata service.
const METADATA: &str = "gantry/metadata";

/// Whether a pod has a metadata service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    /// It has one.
    #[default]
    Served,
    /// It has none.
    None,
}

impl Metadata {
    /// Returns the annotation that says the same, unless it is usual.
    pub fn annotation(self) -> Option<(&'static str, String)> {
        (self == Self::None).then(|| (METADATA, "none".to_owned()))
    }
}

/// The annotations of a pod's manifest that Gantry reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Pairs")]
pub struct PodAnnotations {
    of_apps: Annotations,
    /// The settings of the pod's network.
    pub network: Settings,
    /// Whether the pod has a metadata service.
    pub metadata: Metadata,
}

impl Deref for PodAnnotations {
    type Target = Annotations;

    fn deref(&self) -> &Annotations {
        &self.of_apps
    }
}

impl TryFrom<Pairs> for PodAnnotations {
    type Error = Error;

    fn try_from(pairs: Pairs) -> Result<Self> {
        let (mut network, mut seen, mut rest) = (Settings::default(), Vec::new(), Vec::new());
        let mut metadata = Metadata::default();
        for (name, value) in pairs.0 {
            let is_metadata = name == METADATA;
            if is_metadata {
                if value != "none" {
                    let value = escape(&value);
                    return Err(Error::new(format!(
                        "annotation {METADATA}: invalid value {value}: expected none"
                    )));
                }
                metadata = Metadata::None;
            }
            if !is_metadata && !network.read(&name, &value)? {
                rest.push((name, value));
            } else if seen.contains(&name) {
                return Err(Error::new(format!("two annotations {}: expected at most one", escape(&name))));
            } else {
                seen.push(name);
            }
        }
        network.check()?;
        let of_apps: Annotations = Pairs(rest).try_into()?;
        of_apps.check_known()?;
        Ok(Self { of_apps, network, metadata })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::network::Mode;

    #[test]
    fn a_pod_says_which_network_it_has_and_an_image_does_not() {
        let said = json!({"gantry/net": "none", "gantry/restart": "always", "authors": "x"});
        let read: PodAnnotations = from_value(said.clone()).unwrap();
        assert_eq!(read.network.mode, Mode::None);
        assert_eq!(read.restart, Some(crate::manifest::Restart::Always));
        assert!(from_value::<Annotations>(said).unwrap().check_known().is_err());
        let twice = json!([{"name": "gantry/net", "value": "none"}, {"name": "gantry/net", "value": "host"}]);
        assert!(from_value::<PodAnnotations>(twice).is_err());
        assert!(from_value::<PodAnnotations>(json!({"gantry/nett": "none"})).is_err());
    }

    #[test]
    fn a_pod_may_be_without_a_metadata_service() {
        let read = |said| from_value::<PodAnnotations>(said).map(|read| read.metadata);
        assert_eq!(read(json!({})).unwrap(), Metadata::Served);
        let (name, value) = Metadata::None.annotation().unwrap();
        assert_eq!(read(json!({name: value})).unwrap(), Metadata::None);
        assert_eq!(Metadata::Served.annotation(), None);
        let error = read(json!({"gantry/metadata": "no"})).unwrap_err().to_string();
        assert_eq!(error, "annotation gantry/metadata: invalid value \"no\": expected none");
        assert!(read(json!([{"name": name, "value": "none"}, {"name": name, "value": "none"}])).is_err());
    }
}
