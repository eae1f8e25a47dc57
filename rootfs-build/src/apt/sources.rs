// SPDX-License-Identifier: Apache-2.0
//! Derives the distribution's own sources from the host's apt sources, for the host's release or another.
//!
//! Invariant: everything from these sources is signed by the distribution's archive keyring, or apt refuses it. What an
//! entry says about trust, options and architectures is not carried over. Entries that name another keyring belong to
//! third parties and are left out. Formats: sources.list(5), deb822 stanzas as in deb-control(5).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

use super::distribution::Distribution;

/// One suite of one archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) uri: String,
    pub(super) suite: String,
    pub(super) components: BTreeSet<String>,
}

/// An entry of a sources file, in either format.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// Returns the distribution's own sources that the host's apt is configured with, in `etc` (`/etc/apt`).
///
/// # Errors
/// Fails if a file can't be read, or if there is no source at all.
pub(super) fn of_host(etc: &Path, distribution: &Distribution) -> Result<Vec<Source>> {
    let mut sources = BTreeSet::new();
    for file in files(etc)? {
        let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let deb822 = file.extension().is_some_and(|extension| extension == "sources");
        let entries = if deb822 { parse_deb822(&text) } else { parse_list(&text) };
        sources.extend(entries.iter().flat_map(|entry| own(entry, distribution)));
    }
    if sources.is_empty() {
        let (suites, etc) = (distribution.suites().join(", "), etc.display());
        bail!("no source of {}'s own (suites {suites}) is configured under {etc}", distribution.id);
    }
    Ok(sources.into_iter().collect())
}

/// Returns the files that apt would read. Others, such as `*.disabled`, are not configuration.
fn files(etc: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let list = etc.join("sources.list");
    if list.exists() {
        files.push(list);
    }
    let parts = etc.join("sources.list.d");
    let listing = match fs::read_dir(&parts) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error).with_context(|| format!("read {}", parts.display())),
    };
    for entry in listing {
        let path = entry.with_context(|| format!("read {}", parts.display()))?.path();
        if matches!(path.extension().and_then(|extension| extension.to_str()), Some("list" | "sources")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn own(entry: &Entry, distribution: &Distribution) -> Vec<Source> {
    let third_party = entry.signed_by.as_deref().is_some_and(|key| !distribution.is_own_keyring(key));
    let components: BTreeSet<String> = entry
        .components
        .iter()
        .filter(|component| distribution.components.contains(&component.as_str()))
        .cloned()
        .collect();
    if third_party || components.is_empty() {
        return Vec::new();
    }
    let suites = entry.suites.iter().filter_map(|suite| distribution.wanted(suite));
    let uris = || entry.uris.iter().filter(|uri| !uri.starts_with("cdrom:")).cloned();
    suites
        .flat_map(|suite| uris().map(move |uri| (suite.clone(), uri)))
        .map(|(suite, uri)| Source { uri, suite, components: components.clone() })
        .collect()
}

/// Parses the one-line style: `deb [ option=value … ] uri suite [component …]`.
fn parse_list(text: &str) -> Vec<Entry> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    // A `deb-src` line fails here.
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| {
        let (key, value) = option.split_once('=')?;
        key.eq_ignore_ascii_case("signed-by").then(|| value.to_owned())
    });
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Entry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by,
    })
}

/// Parses the deb822 style: stanzas of `Field: value`, with continuation lines.
fn parse_deb822(text: &str) -> Vec<Entry> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).filter_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Option<Entry> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            let _ = write!(value, "\n{line}");
        } else {
            let (key, value) = line.split_once(':')?;
            fields.push((key.trim().to_ascii_lowercase(), value.to_owned()));
        }
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim());
    let words = |name| field(name).unwrap_or("").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let off = ["no", "false", "without", "off", "disable", "0"];
    let enabled = field("enabled").is_none_or(|value| !off.contains(&value.to_ascii_lowercase().as_str()));
    (enabled && words("types").iter().any(|kind| kind == "deb")).then(|| Entry {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: field("signed-by").map(str::to_owned),
    })
}

/// Formats `sources` as a deb822 file in which `keyring` signs everything.
pub(super) fn render(sources: &[Source], keyring: &Path) -> String {
    let mut text = String::new();
    for Source { uri, suite, components } in sources {
        let components = components.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let keyring = keyring.display();
        let _ = write!(
            text,
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}\nSigned-By: {keyring}\n\n"
        );
    }
    text
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
