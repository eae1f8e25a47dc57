// SPDX-License-Identifier: Apache-2.0
//! Annotations as they are written, whatever they mean: the metadata service tells apps of them (appc spec, "App
//! Container Metadata Service").

use serde::{Deserialize, Deserializer};

use super::field::or_null;
use super::pairs::Pairs;
use crate::error::Result;
use crate::json;

/// The annotations of a manifest, of a pod or an image.
#[derive(Debug, Deserialize)]
pub struct Noted {
    #[serde(default, deserialize_with = "present")]
    annotations: Option<Option<Pairs>>,
    #[serde(default, deserialize_with = "or_null")]
    apps: Vec<NotedApp>,
}

#[derive(Debug, Deserialize)]
struct NotedApp {
    #[serde(default, deserialize_with = "or_null")]
    annotations: Pairs,
}

/// How a manifest says that there are no annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does not speak of them.
    Absent,
    /// It has null in their place.
    Null,
    /// It has a list or a map of them, maybe an empty one.
    There,
}

impl Noted {
    /// Reads the annotations of a manifest.
    ///
    /// # Errors
    /// Fails if it is no manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        json::parse(bytes)
    }

    /// Tells how the manifest speaks of its annotations.
    pub fn presence(&self) -> Presence {
        match &self.annotations {
            None => Presence::Absent,
            Some(None) => Presence::Null,
            Some(Some(_)) => Presence::There,
        }
    }

    /// Returns the names and values of the manifest's own annotations, in its order.
    pub fn own(&self) -> &[(String, String)] {
        self.annotations.iter().flatten().next().map_or(&[], |pairs| &pairs.0)
    }

    /// Returns this image's annotations with those that the pod's manifest has for its app of this number: of equal
    /// names, the pod's count.
    pub fn of_app(&self, pod: &Self, number: usize) -> Vec<(String, String)> {
        let mut all = self.own().to_vec();
        for (name, value) in pod.apps.get(number).map_or(&[][..], |app| &app.annotations.0) {
            match all.iter_mut().find(|(own, _)| own == name) {
                Some((_, own)) => own.clone_from(value),
                None => all.push((name.clone(), value.clone())),
            }
        }
        all
    }
}

/// Tells a value that is null from one that is missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Pairs>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn noted(manifest: &serde_json::Value) -> Noted {
        Noted::parse(manifest.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_pods_annotations_count_before_the_images() {
        let image = noted(&json!({"annotations": {"a": "1", "b": "2"}, "other": 7}));
        let pod = json!({"apps": [{"name": "x"}, {"annotations": [{"name": "b", "value": "3"}, {"name": "c", "value": ""}]}]});
        let pod = noted(&pod);
        let texts = |pairs: Vec<(String, String)>| {
            pairs.into_iter().map(|(name, value)| name + "=" + &value).collect::<Vec<_>>()
        };
        assert_eq!(texts(image.of_app(&pod, 1)), ["a=1", "b=3", "c="]);
        assert_eq!(texts(image.of_app(&pod, 0)), ["a=1", "b=2"]);
    }

    #[test]
    fn no_annotations_null_and_an_empty_list_are_told_apart() {
        for (manifest, presence) in [
            (json!({}), Presence::Absent),
            (json!({"annotations": null, "apps": null}), Presence::Null),
            (json!({"annotations": []}), Presence::There),
        ] {
            let noted = noted(&manifest);
            assert_eq!((noted.presence(), noted.own()), (presence, &[][..]), "{manifest}");
        }
    }
}
