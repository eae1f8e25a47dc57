// SPDX-License-Identifier: Apache-2.0
//! The image manifest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::annotations::Annotations;
use super::field::or_null;
use super::pairs::Pairs;
use super::port::Port;
use super::version::AcVersion;
use crate::arch::Arch;
use crate::error::{Error, Result};
use crate::exec::{Exec, Word};
use crate::id::ImageId;
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
    /// The images whose files are put below its own, the lowest first.
    pub dependencies: Vec<Dependency>,
    /// The only paths that its tree has; empty if it has all of its files and of its dependencies'.
    pub path_whitelist: Vec<AbsolutePath>,
    /// Whether it is of appc 0.1.
    pub is_of_0_1: bool,
}

/// How an app runs, as defined by its image, or by a pod manifest instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// The program and its arguments; an image may leave it to the pod, as appc's own tools do.
    #[serde(default, deserialize_with = "program")]
    pub exec: Option<Exec>,
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
    /// Its environment, in order; each name is there once.
    #[serde(default, deserialize_with = "environment")]
    pub environment: Vec<(EnvName, Word)>,
    /// The handlers that run before and after it.
    #[serde(default, deserialize_with = "or_null")]
    pub event_handlers: EventHandlers,
    /// The places where it expects volumes to be mounted.
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

/// A dependency: another image, whose files are put below those of the image (appc spec, "Dependency Matching"). It is
/// `{imageName, …}` in 0.8 and `{app, …}` in 0.1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The other image's name.
    #[serde(alias = "app")]
    pub image_name: Identifier,
    /// The id that it must have.
    #[serde(default, rename = "imageID")]
    pub image_id: Option<ImageId>,
    /// Labels that it must have; it may have others.
    #[serde(default, deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
    /// How many bytes its archive must have.
    #[serde(default)]
    pub size: Option<u64>,
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
    dependencies: Vec<Dependency>,
    #[serde(default, deserialize_with = "or_null")]
    path_whitelist: Vec<AbsolutePath>,
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

impl TryFrom<Raw> for ImageManifest {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self> {
        if raw.ac_kind != "ImageManifest" {
            return Err(Error::new(format!("acKind is {}: expected ImageManifest", escape(&raw.ac_kind))));
        }
        if !raw.ac_version.has_looser_names() {
            raw.name.check_0_8()?;
            raw.app.iter().try_for_each(AppSpec::check_0_8)?;
            raw.dependencies.iter().try_for_each(|dependency| dependency.image_name.check_0_8())?;
        }
        let is_of_0_1 = raw.ac_version.has_looser_names();
        let Raw { name, labels, app, annotations, dependencies, path_whitelist, .. } = raw;
        Ok(Self { name, labels, app, annotations, dependencies, path_whitelist, is_of_0_1 })
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

/// Reads a program; an empty list is none.
fn program<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Exec>, D::Error> {
    let words: Vec<Word> = or_null(deserializer)?;
    if words.is_empty() { Ok(None) } else { words.try_into().map(Some).map_err(serde::de::Error::custom) }
}

/// Reads labels by name; each name may occur only once, and none is `name`, which the image has itself (appc spec, image
/// manifest, labels).
pub(super) fn labels<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let mut labels = BTreeMap::new();
    for (name, value) in or_null::<D, Pairs>(deserializer)?.0 {
        let valid =
            name.parse::<Identifier>().map_err(|error| error.within(format_args!("label {}", escape(&name))));
        valid.map_err(serde::de::Error::custom)?;
        if name == "name" {
            return Err(serde::de::Error::custom(
                "label \"name\": expected the image's name in the field of that name",
            ));
        }
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
    let mut seen = BTreeSet::new();
    let one = |(name, value): (String, String)| {
        if !seen.insert(name.clone()) {
            let name = escape(&name);
            return Err(Error::new(format!("environment has two variables {name}: expected each once")));
        }
        Ok((name.try_into()?, value.try_into()?))
    };
    let pairs = or_null::<D, Pairs>(deserializer)?.0.into_iter();
    pairs.map(one).collect::<Result<_>>().map_err(serde::de::Error::custom)
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
    fn dependencies_and_selections_of_paths_are_read() {
        let id = format!("sha256-{}", "0".repeat(64));
        let all = json!([{"imageName": "example.com/a", "imageID": id, "size": 7, "labels": [{"name": "version", "value": "1"}]},
                         {"app": "b", "labels": [{"name": "os", "val": "linux"}]}]);
        let read = parse("dependencies", &all).unwrap().dependencies;
        assert_eq!(read[0].image_id.unwrap().to_string(), id);
        assert_eq!((read[0].size, read[0].labels["version"].as_str()), (Some(7), "1"));
        assert_eq!((read[1].image_name.as_str(), read[1].image_id, read[1].size), ("b", None, None));
        let paths = parse("pathWhitelist", &json!(["/bin//a/", "/./b"])).unwrap().path_whitelist;
        assert_eq!(paths.iter().map(AbsolutePath::as_str).collect::<Vec<_>>(), ["/bin/a", "/b"]);
        for nothing in [json!([]), Value::Null] {
            assert!(parse("dependencies", &nothing).unwrap().dependencies.is_empty());
            assert!(parse("pathWhitelist", &nothing).unwrap().path_whitelist.is_empty());
        }
    }

    #[test]
    fn what_names_no_image_and_no_path_is_refused() {
        for (field, value, why) in [
            ("dependencies", json!([{"app": "b\n"}]), "\"b\\n\""),
            ("dependencies", json!([{}]), "imageName"),
            ("dependencies", json!({"imageName": "b"}), "sequence"),
            (
                "dependencies",
                json!([{"imageName": "b", "imageID": "sha256-0"}]),
                "invalid image id \"sha256-0\"",
            ),
            ("dependencies", json!([{"imageName": "b", "size": -1}]), "-1"),
            (
                "dependencies",
                json!([{"imageName": "b", "labels": [{"name": "v", "value": "1"}, {"name": "v", "value": "1"}]}]),
                "duplicate label \"v\"",
            ),
            ("pathWhitelist", json!([null]), "null"),
            ("pathWhitelist", json!(["bin/a"]), "expected an absolute path"),
            ("pathWhitelist", json!([""]), "expected an absolute path"),
            ("pathWhitelist", json!(["/a/../../etc"]), "expected no \"..\""),
            ("pathWhitelist", json!(["/a\0"]), "expected no NUL"),
            ("pathWhitelist", json!([format!("/{}", "a".repeat(256))]), "at most 255 bytes"),
        ] {
            let error = parse(field, &value).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains('\n'), "{error}");
        }
    }
}
