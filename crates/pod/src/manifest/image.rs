// SPDX-License-Identifier: Apache-2.0
//! The image manifest.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::annotations::Annotations;
use super::or_null;
use super::pairs::Pairs;
use super::port::Port;
use super::version::AcVersion;
use crate::arch::Arch;
use crate::error::{Error, Result};
use crate::exec::{Exec, Word};
use crate::isolators::Isolators;
use crate::json;
use crate::name::{EnvName, Identifier, OfVersion, VolumeName};
use crate::path::AbsolutePath;
use crate::text::escape;
use crate::user::{Account, is_usable};

/// A process can be in 65536 groups (limits.h, `NGROUPS_MAX`); one is its primary one.
const GROUPS_MAX: usize = 65_535;

/// What an image says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct ImageManifest {
    /// The image's name.
    pub name: Identifier,
    /// What it is labelled with; `os` and `arch` say where it runs.
    pub labels: BTreeMap<String, String>,
    /// What it runs, unless it only carries files.
    pub app: Option<AppSpec>,
    /// What it says to Gantry of its app.
    pub annotations: Annotations,
}

/// What an image, or a pod manifest in its place, says of how an app runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// The program and its arguments.
    pub exec: Exec,
    /// Whom it runs as.
    pub user: Account,
    /// Its primary group.
    pub group: Account,
    /// Further groups, by number.
    #[serde(default, rename = "supplementaryGIDs", deserialize_with = "gids")]
    pub supplementary_gids: Vec<u32>,
    /// Where it starts.
    #[serde(default)]
    pub working_directory: Option<AbsolutePath>,
    /// Its environment, in order; of equal names the last counts.
    #[serde(default, deserialize_with = "environment")]
    pub environment: Vec<(EnvName, Word)>,
    /// What runs before and after it.
    #[serde(default, deserialize_with = "or_null")]
    pub event_handlers: EventHandlers,
    /// Where it expects volumes.
    #[serde(default, deserialize_with = "or_null")]
    pub mount_points: Vec<MountPoint>,
    /// Where it listens.
    #[serde(default, deserialize_with = "or_null")]
    pub ports: Vec<Port>,
    /// What it may do and use.
    #[serde(default, deserialize_with = "or_null")]
    pub isolators: Isolators,
    /// What it says to Gantry.
    #[serde(default, deserialize_with = "or_null")]
    pub annotations: Annotations,
}

/// `pre-start` and `post-stop`, at most one of each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<RawHandler>")]
pub struct EventHandlers {
    /// Runs to completion before the app.
    pub pre_start: Option<Exec>,
    /// Runs once the app is gone.
    pub post_stop: Option<Exec>,
}

/// A place in an app's tree where a volume goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// Names the volume that fulfils it.
    pub name: VolumeName,
    /// Where in the app's tree.
    pub path: AbsolutePath,
    /// Whether the app may not write there.
    #[serde(default, deserialize_with = "or_null")]
    pub read_only: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    ac_kind: String,
    ac_version: AcVersion,
    name: Identifier,
    #[serde(default, deserialize_with = "labels")]
    labels: BTreeMap<String, String>,
    app: Option<AppSpec>,
    #[serde(default, deserialize_with = "or_null")]
    annotations: Annotations,
    #[serde(default, deserialize_with = "or_null")]
    dependencies: Vec<RawDependency>,
    #[serde(default, deserialize_with = "or_null")]
    path_whitelist: Vec<IgnoredAny>,
}

/// `{imageName, …}` of 0.8, `{app, …}` of 0.1.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDependency {
    #[serde(alias = "app")]
    image_name: String,
}

#[derive(Deserialize)]
struct RawHandler {
    name: String,
    exec: Exec,
}

impl ImageManifest {
    /// Parses an image manifest.
    ///
    /// # Errors
    /// Where it is invalid.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        json::parse(bytes)
    }

    /// Whether the image's `os` and `arch` labels, where it has them, are of this machine.
    ///
    /// # Errors
    /// Where they are of another.
    pub fn check_platform(&self, arch: &Arch) -> Result<()> {
        let foreign = |label: &str, found: &str, expected: &str| {
            Error::new(format!("image {} is for {label} {}: expected {expected}", self.name, escape(found)))
        };
        match self.labels.get("os") {
            Some(os) if os != "linux" => return Err(foreign("os", os, "linux")),
            _ => {}
        }
        match self.labels.get("arch") {
            Some(found) if !arch.labels.contains(&found.as_str()) => {
                Err(foreign("arch", found, &arch.labels.join(" or ")))
            }
            _ => Ok(()),
        }
    }
}

impl OfVersion for AppSpec {
    fn check_0_8(&self) -> Result<()> {
        self.mount_points.iter().try_for_each(|point| point.name.check_0_8())?;
        self.ports.iter().try_for_each(|port| port.name.check_0_8())
    }
}

impl Raw {
    /// Whether the image's archive has all of its tree, and its tree all that is in the archive: other images' trees
    /// are not put below it, so one that needs them, or a selection, would run as something else (appc spec,
    /// "Dependency Matching" and pathWhitelist).
    fn check_is_whole(&self) -> Result<()> {
        if let Some(dependency) = self.dependencies.first() {
            return Err(Error::new(format!(
                "image {} depends on {}: expected no dependencies, but all of its files in its archive",
                self.name,
                escape(&dependency.image_name)
            )));
        }
        if !self.path_whitelist.is_empty() {
            return Err(Error::new(format!(
                "image {} has a pathWhitelist: expected none, but an archive without what it leaves out",
                self.name
            )));
        }
        Ok(())
    }
}

impl TryFrom<Raw> for ImageManifest {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self> {
        if raw.ac_kind != "ImageManifest" {
            return Err(Error::new(format!("acKind is {}: expected ImageManifest", escape(&raw.ac_kind))));
        }
        raw.check_is_whole()?;
        if !raw.ac_version.has_looser_names() {
            raw.name.check_0_8()?;
            raw.app.iter().try_for_each(AppSpec::check_0_8)?;
        }
        Ok(Self { name: raw.name, labels: raw.labels, app: raw.app, annotations: raw.annotations })
    }
}

impl TryFrom<Vec<RawHandler>> for EventHandlers {
    type Error = Error;

    fn try_from(handlers: Vec<RawHandler>) -> Result<Self> {
        let mut all = Self::default();
        for RawHandler { name, exec } in handlers {
            let handler = match name.as_str() {
                "pre-start" => &mut all.pre_start,
                "post-stop" => &mut all.post_stop,
                other => {
                    let other = escape(other);
                    return Err(Error::new(format!(
                        "unknown event handler {other}: expected pre-start or post-stop"
                    )));
                }
            };
            if handler.replace(exec).is_some() {
                return Err(Error::new(format!("two {name} event handlers: expected at most one")));
            }
        }
        Ok(all)
    }
}

/// Labels by name, of which each stands once.
pub(super) fn labels<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let mut labels = BTreeMap::new();
    for (name, value) in or_null::<D, Pairs>(deserializer)?.0 {
        if labels.contains_key(&name) {
            return Err(serde::de::Error::custom(format!("duplicate label {}", escape(&name))));
        }
        labels.insert(name, value);
    }
    Ok(labels)
}

/// Numbers of groups, each one that the kernel takes as one, and no more than it takes together.
fn gids<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let gids: Vec<u32> = or_null(deserializer)?;
    if gids.len() > GROUPS_MAX {
        let count = gids.len();
        return Err(serde::de::Error::custom(format!(
            "{count} supplementary groups: expected at most {GROUPS_MAX}"
        )));
    }
    match gids.iter().find(|gid| !is_usable(**gid)) {
        None => Ok(gids),
        Some(gid) => Err(serde::de::Error::custom(format!(
            "invalid group {gid}: expected a number up to 4294967294, and not 65535, which stands for \"none\""
        ))),
    }
}

/// The list of 0.8 or the map of 0.1.
fn environment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<(EnvName, Word)>, D::Error> {
    or_null::<D, Pairs>(deserializer)?
        .0
        .into_iter()
        .map(|(name, value)| Ok((name.try_into()?, value.try_into()?)))
        .collect::<Result<_>>()
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(field: &str, value: &Value) -> Result<ImageManifest> {
        let mut manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a"});
        manifest[field] = value.clone();
        ImageManifest::parse(manifest.to_string().as_bytes())
    }

    #[test]
    fn images_that_are_not_whole_are_refused() {
        let id = format!("sha256-{}", "0".repeat(64));
        for (field, value, why) in [
            ("dependencies", json!([{"imageName": "example.com/a", "imageID": id}]), "\"example.com/a\""),
            (
                "dependencies",
                json!([{"app": "b\n"}, {"app": "c"}]),
                "image example.com/a depends on \"b\\n\"",
            ),
            ("dependencies", json!([{}]), "imageName"),
            ("dependencies", json!({"imageName": "b"}), "sequence"),
            ("pathWhitelist", json!(["/bin/a"]), "image example.com/a has a pathWhitelist"),
            ("pathWhitelist", json!([null]), "pathWhitelist"),
        ] {
            let error = parse(field, &value).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains('\n'), "{error}");
        }
        for nothing in [json!([]), Value::Null] {
            assert!(parse("dependencies", &nothing).is_ok() && parse("pathWhitelist", &nothing).is_ok());
        }
    }
}
