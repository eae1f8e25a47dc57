// SPDX-License-Identifier: Apache-2.0
//! The image manifest.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::annotations::Annotations;
use super::field::or_null;
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

/// The most supplementary groups: a process can be in 65536 groups (limits.h, `NGROUPS_MAX`), one of which is its
/// primary one.
const GROUPS_MAX: usize = 65_535;

/// An image manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct ImageManifest {
    /// The image's name.
    pub name: Identifier,
    /// Its labels; `os` and `arch` say where it runs.
    pub labels: BTreeMap<String, String>,
    /// Its app, unless the image only carries files.
    pub app: Option<AppSpec>,
    /// The annotations for Gantry about its app.
    pub annotations: Annotations,
}

/// How an app runs, as defined by its image, or by a pod manifest instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// The program and its arguments.
    pub exec: Exec,
    /// The user it runs as.
    pub user: Account,
    /// Its primary group.
    pub group: Account,
    /// Further groups, by number.
    #[serde(default, rename = "supplementaryGIDs", deserialize_with = "gids")]
    pub supplementary_gids: Vec<u32>,
    /// Its working directory.
    #[serde(default)]
    pub working_directory: Option<AbsolutePath>,
    /// Its environment, in order; of equal names the last one counts.
    #[serde(default, deserialize_with = "environment")]
    pub environment: Vec<(EnvName, Word)>,
    /// The handlers that run before and after it.
    #[serde(default, deserialize_with = "or_null")]
    pub event_handlers: EventHandlers,
    /// Where it expects volumes to be mounted.
    #[serde(default, deserialize_with = "or_null")]
    pub mount_points: Vec<MountPoint>,
    /// The ports it listens on.
    #[serde(default, deserialize_with = "or_null")]
    pub ports: Vec<Port>,
    /// The isolators: what it may do and use.
    #[serde(default, deserialize_with = "or_null")]
    pub isolators: Isolators,
    /// The annotations for Gantry.
    #[serde(default, deserialize_with = "or_null")]
    pub annotations: Annotations,
}

/// The handlers `pre-start` and `post-stop`, at most one of each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<RawHandler>")]
pub struct EventHandlers {
    /// The handler that runs to completion before the app.
    pub pre_start: Option<Exec>,
    /// The handler that runs once the app has ended.
    pub post_stop: Option<Exec>,
}

/// A place in an app's tree at which a volume is mounted.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// The name of the volume that fulfils it.
    pub name: VolumeName,
    /// Its path in the app's tree.
    pub path: AbsolutePath,
    /// Whether it is read-only for the app.
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

/// A dependency: `{imageName, …}` in 0.8, `{app, …}` in 0.1.
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
    /// Fails if it is invalid.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        json::parse(bytes)
    }

    /// Checks that the image's `os` and `arch` labels, if present, are those of this machine.
    ///
    /// # Errors
    /// Fails if they are another machine's.
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
    /// Checks that the image's tree is all of its archive, and no more. Other images' trees are not put below it, so an
    /// image with dependencies or a selection of paths would run as something else (appc spec, "Dependency Matching"
    /// and pathWhitelist).
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

/// Reads labels by name; each name may occur only once.
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

/// Reads the numbers of groups. The kernel must take each as an id, and accept that many groups together.
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

/// Reads the list of 0.8 or the map of 0.1.
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
