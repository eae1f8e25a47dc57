// SPDX-License-Identifier: Apache-2.0
//! An image's configuration: what it runs, and what its layers are (OCI image spec, config.md; Docker's fields beside
//! it).

use std::collections::BTreeMap;

use pod::blob::BlobDigest;
use serde::{Deserialize, Serialize};

use super::descriptor::or_null;
use super::document::{check_length, object};
use super::error::Error;
use super::platform::Platform;

/// The most entries of a list in a configuration: names are made of them, each different from the others.
const LENGTH_MAX: usize = 1024;

/// An image's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// The operating system.
    pub os: String,
    /// The architecture, in Go's words.
    pub architecture: String,
    /// The architecture's variant.
    #[serde(default)]
    pub variant: Option<String>,
    /// When the image was made, as it says itself.
    #[serde(default)]
    pub created: Option<String>,
    /// The author that the image names.
    #[serde(default)]
    pub author: Option<String>,
    /// How its program runs. An image without that is legal.
    #[serde(default, deserialize_with = "or_null")]
    pub config: RunConfig,
    /// The layers' tars.
    rootfs: RootFs,
    /// The steps that made it.
    #[serde(default, deserialize_with = "or_null")]
    pub history: Vec<History>,
}

/// How an image's program runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// The user, and maybe the group: `u`, `uid`, `u:g`, `uid:gid`.
    #[serde(default, deserialize_with = "or_null")]
    pub user: String,
    /// The ports that it listens on: `PORT`, `PORT/tcp` or `PORT/udp`.
    #[serde(default, deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// Its environment, `NAME=VALUE`.
    #[serde(default, deserialize_with = "or_null")]
    pub env: Vec<String>,
    /// The words before `Cmd`.
    #[serde(default, deserialize_with = "or_null")]
    pub entrypoint: Vec<String>,
    /// The words after `Entrypoint`, which a user's replace.
    #[serde(default, deserialize_with = "or_null")]
    pub cmd: Vec<String>,
    /// The directories that are volumes.
    #[serde(default, deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// The working directory.
    #[serde(default, deserialize_with = "or_null")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "or_null")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops it.
    #[serde(default, deserialize_with = "or_null")]
    pub stop_signal: String,
    /// Docker's check of its health.
    #[serde(default)]
    pub healthcheck: Option<Healthcheck>,
}

/// Docker's check of an app's health. Times are nanoseconds; 0 is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `NONE`, or `CMD` and words, or `CMD-SHELL` and a line for the image's shell.
    #[serde(default, deserialize_with = "or_null")]
    pub test: Vec<String>,
    /// The time between two checks.
    #[serde(default, deserialize_with = "or_null")]
    pub interval: i64,
    /// How long a check may take.
    #[serde(default, deserialize_with = "or_null")]
    pub timeout: i64,
    /// How long failed checks don't count after the start.
    #[serde(default, deserialize_with = "or_null")]
    pub start_period: i64,
    /// The time between two checks in that period.
    #[serde(default, deserialize_with = "or_null")]
    pub start_interval: i64,
    /// How many checks fail in a row until the app is unhealthy.
    #[serde(default, deserialize_with = "or_null")]
    pub retries: i64,
}

/// A step that made the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// A comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_null")]
    diff_ids: Vec<BlobDigest>,
}

impl Config {
    /// Parses the configuration `name`.
    ///
    /// # Errors
    /// If it is too long, or no configuration of an image.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        check_length(name, bytes.len() as u64)?;
        let config: Self = object(name, bytes)?;
        if config.rootfs.kind != "layers" {
            let kind = pod::text::escape(&config.rootfs.kind);
            return Err(Error::invalid(name, format!("rootfs is of type {kind}: expected layers")));
        }
        let run = &config.config;
        let lists = [
            ("Env", run.env.len()),
            ("Volumes", run.volumes.len()),
            ("ExposedPorts", run.exposed_ports.len()),
        ];
        if let Some((field, found)) = lists.into_iter().find(|(_, length)| *length > LENGTH_MAX) {
            let why = format!("{field} has {found} entries: expected {LENGTH_MAX} or fewer");
            return Err(Error::invalid(name, why));
        }
        Ok(config)
    }

    /// Returns the digests of the layers' tars, the lowest first.
    pub fn diff_ids(&self) -> &[BlobDigest] {
        &self.rootfs.diff_ids
    }

    /// Checks that it has a diff_id for each layer of the manifest `name`.
    ///
    /// # Errors
    /// If it has more or fewer.
    pub fn check_layers(&self, name: &str, layers: usize) -> Result<(), Error> {
        let found = self.rootfs.diff_ids.len();
        if found != layers {
            let why = format!("the config has {found} diff_ids: expected {layers}, one for each layer");
            return Err(Error::invalid(name, why));
        }
        Ok(())
    }

    /// Returns what the image runs on.
    pub fn platform(&self) -> Platform {
        let Self { os, architecture, variant, .. } = self;
        Platform { os: os.clone(), architecture: architecture.clone(), variant: variant.clone() }
    }
}

/// Reads the keys of a map whose values are empty objects, which is Go's form of a set.
fn keys<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let map: BTreeMap<String, serde::de::IgnoredAny> = or_null(deserializer)?;
    Ok(map.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(config: &serde_json::Value) -> Result<Config, Error> {
        Config::parse("config", config.to_string().as_bytes())
    }

    #[test]
    fn fields_and_nulls() {
        let digest = BlobDigest::sha256(b"");
        let config = json!({
            "os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00Z", "unknown": [1],
            "config": {"User": "u:g", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=1"], "Entrypoint": ["/e"], "Cmd": null,
                       "Volumes": {"/data": {}}, "WorkingDir": "/w", "Labels": null, "StopSignal": "SIGINT",
                       "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5}, "OnBuild": ["x"], "ArgsEscaped": true},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
            "history": [{"created_by": "x", "empty_layer": true}]
        });
        let config = parse(&config).unwrap();
        let run = &config.config;
        assert_eq!(
            (run.user.as_str(), run.working_dir.as_str(), run.stop_signal.as_str()),
            ("u:g", "/w", "SIGINT")
        );
        assert_eq!(
            (run.exposed_ports.as_slice(), run.volumes.as_slice()),
            (&["80/tcp".into()][..], &["/data".into()][..])
        );
        assert_eq!((run.entrypoint.len(), run.cmd.len()), (1, 0));
        assert_eq!(config.diff_ids(), [digest]);
        assert!(config.check_layers("m", 1).is_ok() && config.check_layers("m", 2).is_err());
        assert!(config.history[0].empty_layer);
        assert_eq!(config.platform().to_string(), "linux/amd64");
    }

    #[test]
    fn an_image_without_a_config_is_legal() {
        let bare =
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": null}});
        assert_eq!(parse(&bare).unwrap().config, RunConfig::default());
        let null = json!({"os": "linux", "architecture": "amd64", "config": null, "history": null,
                          "rootfs": {"type": "layers"}});
        assert_eq!(parse(&null).unwrap().config, RunConfig::default());
    }

    #[test]
    fn anything_else_is_refused() {
        let good =
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
        for (field, bad) in [
            ("os", json!(null)),
            ("os", json!(1)),
            ("rootfs", json!(null)),
            ("rootfs", json!({"type": "tree", "diff_ids": []})),
            ("rootfs", json!({"type": "layers", "diff_ids": ["sha256:x"]})),
            ("config", json!({"Env": "A=1"})),
            ("config", json!({"Entrypoint": "/bin/sh"})),
            ("config", json!({"Volumes": ["/data"]})),
            ("config", json!({"Env": vec!["A=1"; LENGTH_MAX + 1]})),
        ] {
            let mut config = good.clone();
            config[field] = bad.clone();
            assert!(parse(&config).is_err(), "{field}: {bad}");
        }
        let twice = br#"{"os":"linux","os":"linux","architecture":"amd64","rootfs":{"type":"layers"}}"#;
        assert!(Config::parse("config", twice).is_err());
    }
}
