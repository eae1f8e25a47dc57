// SPDX-License-Identifier: Apache-2.0
//! What an app is expected to see, as it stands in `/conformance.json`. An unknown key is an error, since a misspelt
//! check would never fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::calls::Call;

/// The place of the expectations in an image.
const PATH: &str = "/conformance.json";

/// The expectations of one role. Paths are strings, as in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expectations {
    /// The arguments after the program, including the role.
    pub(crate) arguments: Option<Vec<String>>,
    /// The whole environment, except for `LISTEN_*` if `sockets` are expected.
    pub(crate) environment: Option<BTreeMap<String, String>>,
    /// The real, effective, saved and file system user.
    pub(crate) user: Option<u32>,
    /// The real, effective, saved and file system group.
    pub(crate) group: Option<u32>,
    /// The supplementary groups.
    pub(crate) groups: Option<BTreeSet<u32>>,
    /// The working directory.
    pub(crate) directory: Option<String>,
    pub(crate) umask: Option<Octal>,

    pub(crate) bounding: Option<BTreeSet<String>>,
    pub(crate) effective: Option<BTreeSet<String>>,
    pub(crate) permitted: Option<BTreeSet<String>>,
    pub(crate) inheritable: Option<BTreeSet<String>>,
    pub(crate) ambient: Option<BTreeSet<String>>,
    pub(crate) no_new_privileges: Option<bool>,
    /// The seccomp mode: 0 for none, 2 for a filter.
    pub(crate) seccomp: Option<u32>,
    /// Calls that fail, and their error (`EPERM`), or `SIGSYS`.
    pub(crate) denied_calls: Option<BTreeMap<Call, String>>,
    /// Calls that succeed.
    pub(crate) allowed_calls: Option<BTreeSet<Call>>,

    pub(crate) oom_score_adjust: Option<i32>,
    /// All open descriptors.
    pub(crate) descriptors: Option<BTreeSet<i32>>,
    pub(crate) signals: Option<Signals>,
    /// Whether standard input, output and error are terminals.
    pub(crate) terminals: Option<[bool; 3]>,
    /// The whole of standard input.
    pub(crate) input: Option<String>,
    /// Soft and hard limits by their names in `/proc/self/limits`.
    pub(crate) limits: Option<BTreeMap<String, [String; 2]>>,
    pub(crate) hostname: Option<String>,
    /// Names of processes that can be seen.
    pub(crate) processes: Option<BTreeSet<String>>,
    /// Names of processes that can't be seen.
    pub(crate) hidden_processes: Option<BTreeSet<String>>,
    /// The sockets that were passed, in order.
    pub(crate) sockets: Option<Vec<Socket>>,

    /// Nodes; symbolic links are followed unless one is expected.
    pub(crate) devices: Option<BTreeMap<String, Node>>,
    /// Nodes; symbolic links are not followed.
    pub(crate) modes: Option<BTreeMap<String, Node>>,
    /// Files that can be opened for reading and writing at once.
    pub(crate) opens: Option<BTreeSet<String>>,
    pub(crate) contents: Option<BTreeMap<String, String>>,
    /// Symbolic links and their targets.
    pub(crate) links: Option<BTreeMap<String, String>>,
    /// Paths that don't exist.
    pub(crate) missing: Option<BTreeSet<String>>,
    /// Directories in which files can be made.
    pub(crate) writable: Option<BTreeSet<String>>,
    /// Directories in which making a file fails with `EROFS`.
    pub(crate) read_only: Option<BTreeSet<String>>,
    /// Files that can't be opened for writing: `EROFS`. A user without the permission gets `EACCES` in any case.
    pub(crate) read_only_files: Option<BTreeSet<String>>,
    /// Files of others', which can't be opened for writing.
    pub(crate) others_files: Option<BTreeSet<String>>,
    /// Paths at which there is nothing to read.
    pub(crate) masked: Option<BTreeSet<String>>,
    /// Mount points, and per-mount options that they must have. Others are permitted.
    pub(crate) mounts: Option<BTreeMap<String, BTreeSet<String>>>,
    pub(crate) localtime: Option<Localtime>,

    /// The form of the metadata service's address, and of what it is asked for; 0.8's by default.
    pub(crate) metadata_form: Option<Form>,
    /// What it says about the pod.
    pub(crate) metadata_pod: Option<PodMetadata>,
    /// What it says about each app, and its image.
    pub(crate) metadata_apps: Option<BTreeMap<String, AppMetadata>>,
    /// Bytes of a signature, which has to hold for this pod and what was signed alone.
    pub(crate) metadata_signature: Option<usize>,
    /// The statuses of requests that are refused.
    pub(crate) metadata_refusals: Option<BTreeMap<String, u16>>,

    /// How many connections to the metadata service to keep, beside which it answers in time.
    pub(crate) metadata_crowd: Option<usize>,
    /// The statuses of what is no request.
    pub(crate) metadata_nonsense: Option<Vec<u16>>,
    /// A process of which nothing can be seen, by its name.
    pub(crate) metadata_process: Option<String>,

    /// Empty files to make before anything else, so that others see that this role runs.
    pub(crate) announce: Option<BTreeSet<String>>,
    /// Paths to wait for before any check.
    pub(crate) wait_for: Option<BTreeSet<String>>,
    /// A file to which the role is appended, before the checks.
    pub(crate) log: Option<String>,
    /// Roles that the log has by then, in this order. Others are permitted.
    pub(crate) log_before: Option<Vec<String>>,
    /// Empty files to make after the checks.
    pub(crate) make: Option<BTreeSet<String>>,
    /// The exit code if everything is as expected.
    pub(crate) exit: Option<u8>,
}

/// The form of the metadata service's address and of its entries.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Form {
    /// 0.8's: the environment says where.
    #[serde(rename = "0.8")]
    Own,
    /// 0.1's: the conventional address.
    #[serde(rename = "0.1")]
    Conventional,
}

/// What the metadata service says about a pod.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodMetadata {
    /// The kind of its manifest.
    pub(crate) kind: String,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What it says about an app.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppMetadata {
    /// The name of its image.
    pub(crate) image: String,
    /// The algorithm of its image's id.
    pub(crate) algorithm: String,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Signal sets as `/proc/self/status` has them: SigBlk and SigIgn.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Signals {
    pub(crate) blocked: Option<Mask>,
    /// Without SIGPIPE, which Rust's runtime ignores before `main`.
    pub(crate) ignored: Option<Mask>,
}

/// A node of the file system. Only the given fields are compared.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) mode: Option<Octal>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
}

/// The type of a node, by its letter in find(1).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Kind {
    #[serde(rename = "b")]
    Block,
    #[serde(rename = "c")]
    Character,
    #[serde(rename = "d")]
    Directory,
    #[serde(rename = "f")]
    File,
    #[serde(rename = "l")]
    Link,
    #[serde(rename = "p")]
    Pipe,
    #[serde(rename = "s")]
    Socket,
}

/// A socket that was passed, bound to `port`. TCP sockets listen.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Socket {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// The file of a time zone, which starts with `TZif` (tzfile(5)).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Localtime {
    pub(crate) path: String,
    pub(crate) bytes: usize,
    pub(crate) starts_with: String,
}

/// Permission bits: octal digits in a string, as JSON has no octal numbers.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct Octal(pub(crate) u32);

impl TryFrom<String> for Octal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        u32::from_str_radix(&text, 8).map(Self).map_err(|error| format!("{text:?} is not octal: {error}"))
    }
}

impl fmt::Debug for Octal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

/// A set of signals: hexadecimal digits in a string, signal 1 the lowest bit.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct Mask(pub(crate) u64);

impl TryFrom<String> for Mask {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|error| format!("{text:?} is not hexadecimal: {error}"))
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Reads what is expected of `role`.
///
/// # Errors
/// Fails if the file can't be read, has unknown keys, or has nothing for this role.
pub(crate) fn load(path: Option<&Path>, role: &str) -> Result<Expectations> {
    let path = path.unwrap_or(Path::new(PATH));
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, role).with_context(|| format!("cannot use {}", path.display()))
}

fn parse(text: &[u8], role: &str) -> Result<Expectations> {
    let mut roles: BTreeMap<String, Expectations> = serde_json::from_slice(text)?;
    let expected = roles.remove(role).with_context(|| format!("nothing is expected of the role {role:?}"))?;
    anyhow::ensure!(expected.log.is_some() || expected.log_before.is_none(), "log_before is without a log");
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_those_of_the_role() {
        let text =
            br#"{"main": {"umask": "0022", "user": 7}, "sidekick": {"denied_calls": {"mkdir": "EPERM"}}}"#;
        let main = parse(text, "main").unwrap();
        assert_eq!((main.umask, main.user, main.group), (Some(Octal(0o22)), Some(7), None));
        let calls = parse(text, "sidekick").unwrap().denied_calls.unwrap();
        assert_eq!(format!("{calls:?}"), r#"{"mkdir": "EPERM"}"#);
    }

    #[test]
    fn what_can_not_be_checked_is_an_error() {
        for text in [
            r#"{}"#,
            r#"{"main": {"usr": 0}}"#,
            r#"{"main": {}, "other": {"usr": 0}}"#,
            r#"{"main": {"umask": "0089"}}"#,
            r#"{"main": {"signals": {"blocked": "zz"}}}"#,
            r#"{"main": {"allowed_calls": ["fork"]}}"#,
            r#"{"main": {"devices": {"/dev/null": {"kind": "x"}}}}"#,
            r#"{"main": {"log_before": ["pre-start"]}}"#,
        ] {
            assert!(parse(text.as_bytes(), "main").is_err(), "{text}");
        }
    }
}
