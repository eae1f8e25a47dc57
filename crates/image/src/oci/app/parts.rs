// SPDX-License-Identifier: Apache-2.0
//! Translates the parts of an app from an OCI configuration. An error says what is wrong and what was expected.

use std::collections::BTreeSet;

use pod::path::AbsolutePath;
use pod::text::escape;
use pod::user::Account;
use serde_json::{Value, json};

/// A user, and the group if one is named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) user: String,
    pub(super) group: Option<String>,
}

/// Reads `u`, `uid`, `u:g`, `uid:gid` and the like; no user is root.
pub(super) fn user(text: &str) -> Result<User, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let account = |text: &str| match text.parse::<Account>() {
        Ok(Account::OwnerOf(_)) => {
            Err(format!("invalid user or group {}: expected a name or a number", escape(text)))
        }
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let user = if user.is_empty() { "0" } else { user };
    Ok(User { user: account(user)?, group: group.map(account).transpose()? })
}

/// Reads `NAME=VALUE`. A name without a value is not in the environment.
pub(super) fn environment(variables: &[String]) -> Result<Vec<Value>, String> {
    let mut split: Vec<(&str, &str)> = Vec::new();
    for (name, value) in variables.iter().filter_map(|variable| variable.split_once('=')) {
        // Of equal names the last one counts.
        split.retain(|(other, _)| *other != name);
        split.push((name, value));
    }
    let read = |(name, value): (&str, &str)| {
        let name: pod::name::EnvName = name.parse().map_err(|error: pod::Error| error.to_string())?;
        Ok(json!({"name": name, "value": value}))
    };
    split.into_iter().map(read).collect()
}

/// Returns a path as an absolute one: a relative one is below the root.
pub(super) fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Returns a mount point for each volume, named by its path. A volume that lies in another one is part of that: it is
/// filled with all of the image's content there.
pub(super) fn mount_points(volumes: &[String]) -> Result<Vec<Value>, String> {
    let mut paths = Vec::new();
    for volume in volumes {
        let path: AbsolutePath = absolute(volume).parse().map_err(|error: pod::Error| error.to_string())?;
        if path.as_str() == "/" {
            return Err("volume /: expected a directory below the root".into());
        }
        paths.push(path);
    }
    paths.sort();
    paths.dedup();
    let inner = |path: &AbsolutePath| paths.iter().any(|other| other != path && other.contains(path));
    let mut names = BTreeSet::new();
    let named = |path: &AbsolutePath| {
        let name = distinct(&words(path.as_str(), "volume"), &mut names);
        json!({"name": name, "path": path})
    };
    Ok(paths.iter().filter(|path| !inner(path)).map(named).collect())
}

/// Reads `PORT`, `PORT/tcp`, `FIRST-LAST/udp`. Ports of other protocols are kept in the configuration alone.
pub(super) fn ports(exposed: &[String]) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for port in exposed {
        let invalid = || format!("invalid port {}: expected PORT, PORT/tcp or PORT/udp", escape(port));
        let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let number = |text: &str| {
            let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|number| is_digits && *number > 0).ok_or_else(invalid)
        };
        let (first, last) = (number(first)?, number(last)?);
        let count = u32::from(last).checked_sub(u32::from(first)).ok_or_else(invalid)? + 1;
        if matches!(protocol.as_str(), "tcp" | "udp") {
            let name = format!("{numbers}-{protocol}");
            all.push(json!({"name": name, "protocol": protocol, "port": first, "count": count}));
        } else if protocol != "sctp" {
            return Err(invalid());
        }
    }
    Ok(all)
}

/// Returns appc's word for an architecture.
pub(super) fn arch_label(architecture: &str, variant: Option<&str>) -> String {
    match (architecture, variant) {
        ("386", _) => "i386".into(),
        ("arm64", _) => "aarch64".into(),
        ("arm", Some(variant @ ("v5" | "v6"))) => format!("arm{variant}l"),
        ("arm", _) => "armv7l".into(),
        (other, _) => other.into(),
    }
}

/// Returns the runs of letters and digits of a text in lower case, with `-` between them.
fn words(text: &str, default: &str) -> String {
    let words: Vec<_> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let name: String = words.join("-").chars().take(200).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() { default.to_owned() } else { name.to_owned() }
}

/// Returns `name`, or with a number if that is taken.
fn distinct(name: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.unwrap_or_default();
    taken.insert(free.clone());
    free
}
