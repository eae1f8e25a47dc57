// SPDX-License-Identifier: Apache-2.0
//! The annotations of a pod: those about each of its apps, and those about its network.

use std::ops::Deref;

use serde::Deserialize;

use super::annotations::Annotations;
use super::pairs::Pairs;
use crate::error::{Error, Result};
use crate::network::Settings;
use crate::text::escape;

/// The annotations of a pod's manifest that Gantry reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Pairs")]
pub struct PodAnnotations {
    of_apps: Annotations,
    /// What is said about the pod's network.
    pub network: Settings,
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
        for (name, value) in pairs.0 {
            if !network.read(&name, &value)? {
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
        Ok(Self { of_apps, network })
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
}
