// SPDX-License-Identifier: Apache-2.0
//! Writes the private root's apt.conf(5). From the host's configuration it takes how to reach the archive, and nothing
//! else.
//!
//! Invariant: no setting of the host can make apt accept what the distribution's keyring has not signed, or run a hook.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

/// Groups of `Acquire::` that don't describe transport: what may go unsigned, how signatures are checked, which indexes
/// are fetched (packages add some) and how they are kept.
const NOT_TRANSPORT: &[&str] = &[
    "allowinsecurerepositories",
    "allowweakrepositories",
    "allowdowngradetoinsecurerepositories",
    "cdrom",
    "changelogs",
    "compressiontypes",
    "forcehash",
    "gpgv",
    "gzipindexes",
    "indextargets",
    "languages",
];

/// Returns the whole configuration for a root at `root`. `host` is the output of `apt-config dump`.
pub(super) fn render(root: &Path, architecture: &str, host: &str) -> Result<String> {
    let root = root.to_str().unwrap_or("\"");
    ensure!(!root.contains(['"', '\n']), "the temporary directory's name can't stand in apt.conf: {root}");
    let mut text = String::new();
    for (name, value) in transport(host) {
        let _ = writeln!(text, "{name} \"{value}\";");
    }
    let _ = write!(
        text,
        "Dir \"{root}/\";
Dir::State::status \"{root}/var/lib/dpkg/status\";
APT::Architecture \"{architecture}\";
APT::Architectures {{ \"{architecture}\"; }};
APT::Install-Recommends \"false\";
APT::Install-Suggests \"false\";
APT::Get::Assume-Yes \"true\";
APT::Get::AllowUnauthenticated \"false\";
APT::Cmd::Pattern-Only \"true\";
APT::Update::Error-Mode \"any\";
Acquire::AllowInsecureRepositories \"false\";
Acquire::AllowWeakRepositories \"false\";
Acquire::AllowDowngradeToInsecureRepositories \"false\";
Acquire::ForceHash \"SHA256\";
Acquire::Languages \"none\";
"
    );
    Ok(text)
}

/// Returns the settings of `apt-config dump` that say how to reach an archive.
fn transport(dump: &str) -> impl Iterator<Item = (&str, &str)> {
    dump.lines().filter_map(|line| {
        let (name, value) = line.split_once(" \"")?;
        let value = value.strip_suffix("\";")?;
        let group = name.strip_prefix("Acquire::")?.split("::").next()?;
        let plain = !value.contains('"') && !name.contains(['"', ';', '{', '}', '#']);
        let wanted = !NOT_TRANSPORT.contains(&group.to_ascii_lowercase().as_str());
        (plain && wanted && !value.is_empty()).then_some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_hosts_settings_only_transport_is_kept() {
        let dump = r#"APT "";
APT::Update::Post-Invoke:: "rm -rf x || true";
DPkg::Post-Invoke:: "x";
Dir::Etc "etc/apt";
Acquire "";
Acquire::AllowInsecureRepositories "1";
Acquire::allowweakrepositories "1";
Acquire::Languages:: "de";
Acquire::IndexTargets::deb::DEP-11::MetaKey "x";
Acquire::gpgv::Options:: "--ignore-time-conflict";
Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128/";
Acquire::http::Proxy::mirror.example "DIRECT";
Acquire::http::User-Agent "a"b";
Acquire::x "1"; APT::Update::Post-Invoke:: "x";
Acquire::cut "1
"#;
        let expected = [
            ("Acquire::Check-Valid-Until", "false"),
            ("Acquire::Retries", "3"),
            ("Acquire::http::Proxy", "http://proxy.example:3128/"),
            ("Acquire::http::Proxy::mirror.example", "DIRECT"),
        ];
        assert_eq!(transport(dump).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn safety_is_decided_after_the_hosts_settings() {
        let text = render(Path::new("/r"), "amd64", "Acquire::Retries \"3\";\n").unwrap();
        assert!(text.starts_with("Acquire::Retries \"3\";\nDir \"/r/\";\n"), "{text}");
        assert!(text.contains("\nAcquire::AllowInsecureRepositories \"false\";\n"), "{text}");
        render(Path::new("/r\"x"), "amd64", "").unwrap_err();
    }
}
