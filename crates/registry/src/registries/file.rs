// SPDX-License-Identifier: Apache-2.0
//! Reads one of the files that make up registries.conf, and adds its content to that of earlier files. A registry with
//! a known prefix replaces that one, a search list replaces the list, aliases are replaced one by one.

use std::collections::BTreeMap;
use std::path::Path;

use pod::text::escape;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::content::{Location, Mirror, Prefix, Pulls, Registries, Registry};
use crate::document;
use crate::error::Error;
use crate::host::Host;
use crate::reference::{Name, Reference};

/// The word in `credential-helpers` for auth files.
const AUTH_FILES: &str = "containers-auth.json";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    registry: Vec<RegistryTable>,
    aliases: BTreeMap<String, String>,
    short_name_mode: Option<String>,
    credential_helpers: Vec<String>,
    additional_layer_store_auth_helper: Option<IgnoredAny>,
    /// The table that only version 1 of the file's format has, which isn't read.
    registries: Option<IgnoredAny>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RegistryTable {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<MirrorTable>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct MirrorTable {
    location: String,
    insecure: bool,
    pull_from_mirror: Option<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// The file in which other programs record the aliases that a person chose.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Recorded {
    aliases: BTreeMap<String, String>,
}

impl Registries {
    /// Adds what a file says.
    pub(super) fn add(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let file: File = toml::from_str(text).map_err(|error| invalid(path, &error))?;
        let refuse = |problem| document::problem(path, problem);
        if file.registries.is_some() {
            return Err(refuse(
                "expected version 2 of the format, not the table \"registries\" of version 1".to_owned(),
            ));
        }
        let mut names: Vec<&str> = file.unknown.keys().map(String::as_str).collect();
        for registry in &file.registry {
            names.extend(registry.unknown.keys().map(String::as_str));
            names.extend(registry.mirror.iter().flat_map(|mirror| mirror.unknown.keys()).map(String::as_str));
        }
        // Auth files are always read, and name helpers themselves.
        names.extend(file.credential_helpers.iter().map(String::as_str).filter(|name| *name != AUTH_FILES));
        let warnings = names.iter().map(|name| format!("{}: {} is ignored", path.display(), escape(name)));
        self.warnings.extend(warnings);
        if let Some(search) = file.unqualified_search_registries {
            let all = search.iter().map(|text| Location::parse(text)).collect::<Result<_, _>>();
            self.search = all.map_err(refuse)?;
        }
        for table in file.registry {
            let registry = registry(table).map_err(refuse)?;
            self.registries.retain(|known| known.prefix != registry.prefix);
            self.registries.push(registry);
        }
        self.add_aliases(&file.aliases, true).map_err(refuse)
    }

    /// Adds the aliases that another program has recorded. Those that an administrator wrote take precedence.
    pub(super) fn add_recorded_aliases(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let file: Recorded = toml::from_str(text).map_err(|error| invalid(path, &error))?;
        self.add_aliases(&file.aliases, false).map_err(|problem| document::problem(path, problem))
    }

    fn add_aliases(&mut self, aliases: &BTreeMap<String, String>, replace: bool) -> Result<(), String> {
        for (short, full) in aliases {
            let is_short = matches!(Name::parse(short), Ok(Name::Short(name)) if name.version.is_empty());
            if !is_short {
                return Err(format!("alias {}: expected a name without a host and a tag", escape(short)));
            }
            if full.is_empty() {
                // An empty value removes an alias that an earlier file has set.
                self.aliases.remove(short);
                continue;
            }
            let refuse =
                || format!("alias {}: expected HOST/REPOSITORY, not {}", escape(short), escape(full));
            let bare = !full.contains('@') && full.rsplit('/').next().is_some_and(|last| !last.contains(':'));
            let full = Reference::parse(full).ok().filter(|_| bare).ok_or_else(refuse)?;
            if replace || !self.aliases.contains_key(short) {
                self.aliases.insert(short.clone(), full);
            }
        }
        Ok(())
    }
}

fn invalid(path: &Path, error: &toml::de::Error) -> Error {
    document::problem(path, error.message())
}

fn registry(table: RegistryTable) -> Result<Registry, String> {
    let location = match table.location.as_str() {
        "" => None,
        text => Some(Location::parse(text)?),
    };
    let prefix = match (table.prefix.as_str(), &location) {
        ("", None) => return Err("a registry has neither \"prefix\" nor \"location\"".to_owned()),
        ("", Some(location)) => Prefix::At(location.clone()),
        (text, _) => Prefix::parse(text)?,
    };
    let by_digest = table.mirror_by_digest_only;
    let mirrors =
        table.mirror.into_iter().map(|table| mirror(&table, by_digest)).collect::<Result<_, _>>()?;
    Ok(Registry { prefix, location, insecure: table.insecure, blocked: table.blocked, mirrors })
}

fn mirror(table: &MirrorTable, by_digest: bool) -> Result<Mirror, String> {
    let pulls = match (table.pull_from_mirror.as_deref(), by_digest) {
        (None, false) | (Some("all"), false) => Pulls::All,
        (None, true) | (Some("digest-only"), false) => Pulls::Digests,
        (Some("tag-only"), false) => Pulls::Tags,
        (Some(_), true) => {
            return Err("\"pull-from-mirror\" and \"mirror-by-digest-only\" exclude each other".to_owned());
        }
        (Some(other), false) => {
            return Err(format!(
                "pull-from-mirror: expected all, digest-only or tag-only, not {}",
                escape(other)
            ));
        }
    };
    Ok(Mirror { location: Location::parse(&table.location)?, insecure: table.insecure, pulls })
}

impl Location {
    fn parse(text: &str) -> Result<Self, String> {
        let refuse = |expected| format!("{} is not HOST[/REPOSITORY]: expected {expected}", escape(text));
        let (host, path) = text.split_once('/').map_or((text, ""), |(host, path)| (host, path));
        let host = Host::parse(host).map_err(refuse)?;
        if !path.is_empty() {
            Reference::at(host.clone(), path).map_err(refuse)?;
        }
        Ok(Self { host, path: path.to_owned() })
    }
}

impl Prefix {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(domain) = text.strip_prefix("*.") else { return Location::parse(text).map(Self::At) };
        Host::parse(domain).map_err(|expected| format!("{}: expected {expected}", escape(text)))?;
        Ok(Self::Below(format!(".{}", domain.to_ascii_lowercase())))
    }
}
