// SPDX-License-Identifier: Apache-2.0
//! Translates an OCI configuration into an image manifest of appc 0.8: a pure function.
//!
//! | OCI | appc |
//! |---|---|
//! | `os`, `architecture`, `variant` | labels `os`, `arch`, in appc's words |
//! | `Entrypoint`, `Cmd` | `exec`; none of both: no `app`, so a program has to be given |
//! | `Env` | `environment`; `gantry/home` supplies HOME |
//! | `User` | `user`, `group`; without a group, `gantry/groups` |
//! | `WorkingDir` | `workingDirectory`, made in the tree if it is missing |
//! | `Volumes` | `mountPoints`, which `gantry/mount-points` lets be without volumes; made in the tree if they are missing |
//! | `ExposedPorts` | `ports` |
//! | `StopSignal` | `gantry/stop-signal` |
//! | `Labels`, `history`, `Healthcheck` | stay in the configuration, which is kept |
//! | `OnBuild`, `ArgsEscaped`, `Shell` | nothing |

mod name;
mod parts;

use pod::blob::BlobDigest;
use pod::manifest::annotations::{GROUPS, HOME, MOUNT_POINTS, STOP_SIGNAL};
use pod::manifest::{AcVersion, ImageManifest};
use pod::path::AbsolutePath;
use pod::signal::Signal;
use serde_json::{Map, Value, json};

use super::config::{Config, RunConfig};
use super::error::Error;

pub use name::image_name;

/// The user's settings of an app, in place of its image's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The words after `--`: they replace `Cmd`.
    pub arguments: Option<Vec<String>>,
    /// The program: it replaces `Entrypoint`, and `Cmd` is dropped.
    pub program: Option<Vec<String>>,
}

/// Returns the manifest of the image `id`, which is called `names` where it came from.
///
/// # Errors
/// If the configuration asks for something that can't be had: an invalid user, path, variable, port or signal.
pub fn image_manifest(config: &Config, id: BlobDigest, names: &[String]) -> Result<Vec<u8>, Error> {
    let mut manifest = json!({
        "acKind": "ImageManifest",
        "acVersion": AcVersion::current(),
        "name": image_name(names, id),
        "labels": [
            {"name": "os", "value": config.os},
            {"name": "arch", "value": parts::arch_label(&config.architecture, config.variant.as_deref())},
        ],
    });
    let document = format!("config {id}");
    if let Some(app) = app(&document, &config.config, &Overrides::default())? {
        manifest["app"] = app;
    }
    let bytes = manifest.to_string().into_bytes();
    match ImageManifest::parse(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Error::invalid(&document, error.to_string())),
    }
}

/// Returns the app of a configuration, as a pod manifest or an image manifest has it; `None` if it has no program.
///
/// # Errors
/// As [`image_manifest`]. The error names `document`.
pub fn app(document: &str, config: &RunConfig, overrides: &Overrides) -> Result<Option<Value>, Error> {
    let invalid = |why: String| Error::invalid(document, why);
    let Some(exec) = exec(config, overrides) else { return Ok(None) };
    let mut annotations = Map::from_iter([(HOME.to_owned(), json!("of-user"))]);
    let mut annotate = |name: &str, value: String| drop(annotations.insert(name.to_owned(), value.into()));
    let user = parts::user(&config.user).map_err(invalid)?;
    let mut app = json!({
        "exec": exec,
        "user": user.user,
        "group": user.group.as_deref().unwrap_or("0"),
        "environment": parts::environment(&config.env).map_err(invalid)?,
    });
    if user.group.is_none() {
        annotate(GROUPS, "of-user".into());
    }
    if !config.working_dir.is_empty() {
        app["workingDirectory"] = parts::absolute(&config.working_dir).into();
    }
    let mount_points = parts::mount_points(&config.volumes).map_err(invalid)?;
    if !mount_points.is_empty() {
        app["mountPoints"] = mount_points.into();
        annotate(MOUNT_POINTS, "anonymous".into());
    }
    let ports = parts::ports(&config.exposed_ports).map_err(invalid)?;
    if !ports.is_empty() {
        app["ports"] = ports.into();
    }
    if !config.stop_signal.is_empty() {
        let signal: Signal =
            config.stop_signal.parse().map_err(|error: pod::Error| invalid(error.to_string()))?;
        annotate(STOP_SIGNAL, signal.to_string());
    }
    app["annotations"] =
        annotations.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    Ok(Some(app))
}

/// Returns the directories that a configuration means to be there: the working directory and the volumes.
///
/// # Errors
/// If one is no path. The error names the image `id`.
pub fn directories(config: &Config, id: BlobDigest) -> Result<Vec<AbsolutePath>, Error> {
    let RunConfig { working_dir, volumes, .. } = &config.config;
    let named = volumes.iter().chain(Some(working_dir).filter(|directory| !directory.is_empty()));
    let parsed = named.map(|path| parts::absolute(path).parse());
    parsed
        .collect::<pod::Result<_>>()
        .map_err(|error| Error::invalid(&format!("config {id}"), error.to_string()))
}

/// Returns the program and its arguments; `None` if there are none.
///
/// A program with a slash in it that isn't absolute is found from the working directory.
fn exec(config: &RunConfig, overrides: &Overrides) -> Option<Vec<String>> {
    let Overrides { arguments, program } = overrides;
    let (first, rest) = match (program, arguments) {
        (Some(program), arguments) => (program, arguments.as_deref().unwrap_or_default()),
        (None, Some(arguments)) => (&config.entrypoint, arguments.as_slice()),
        (None, None) => (&config.entrypoint, config.cmd.as_slice()),
    };
    let mut words: Vec<_> = first.iter().chain(rest).cloned().collect();
    let program = words.first_mut()?;
    if program.contains('/') && !program.starts_with('/') {
        let directory = parts::absolute(&config.working_dir);
        *program = format!("{}/{program}", directory.trim_end_matches('/'));
    }
    Some(words)
}

#[cfg(test)]
mod tests;
