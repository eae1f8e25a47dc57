// SPDX-License-Identifier: Apache-2.0
//! Places: where a host keeps its configuration of registries. A program reads the environment here once, when it
//! starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{auth, certs, registries};

/// Bundles of certificates, as distributions have them: Debian and Arch, Fedora, SUSE, Fedora's source, Alpine.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The environment variables that credential helpers may need to find their programs, files and agents.
const HELPERS_NEED: [&str; 8] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
];

/// All files and directories that are read for registries.
#[derive(Clone, Debug)]
pub struct Places {
    /// Auth files and credential helpers.
    pub credentials: auth::Sources,
    /// registries.conf.
    pub registries: registries::Sources,
    /// Certificates.
    pub certificates: certs::Sources,
    /// policy.json; the first one that is there counts.
    pub policies: Vec<PathBuf>,
}

impl Places {
    /// Returns the places of a host, for root, from variables of the environment. Reads no file.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME").filter(|home| home.is_absolute());
        let config = path("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let config = config.map(|config| config.join("containers"));
        let in_config = |name: &str| config.iter().map(|config| config.join(name)).collect::<Vec<_>>();
        let docker = path("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
        let mut files = vec![PathBuf::from("/run/containers/0/auth.json")];
        files.extend(in_config("auth.json"));
        files.extend(docker.map(|docker| docker.join("config.json")));
        let needed = HELPERS_NEED.iter().filter_map(|name| Some(((*name).into(), variable(name)?)));
        let helpers = auth::Helpers { environment: needed.collect(), ..auth::Helpers::default() };
        Self {
            credentials: auth::Sources { files, named: path("REGISTRY_AUTH_FILE"), helpers },
            registries: registries_of(path("CONTAINERS_REGISTRIES_CONF"), config.as_deref()),
            certificates: certs::Sources {
                bundle: path("SSL_CERT_FILE"),
                bundles: BUNDLES.map(PathBuf::from).into(),
                hosts: [in_config("certs.d"), paths(&["/etc/containers/certs.d", "/etc/docker/certs.d"])]
                    .concat(),
                ..certs::Sources::default()
            },
            policies: [in_config("policy.json"), paths(&["/etc/containers/policy.json"])].concat(),
        }
    }
}

/// A file that the environment names is the only one. Otherwise the host's file is read, then its drop-ins, then the
/// user's.
fn registries_of(named: Option<PathBuf>, config: Option<&Path>) -> registries::Sources {
    if let Some(file) = named {
        return registries::Sources { file, ..registries::Sources::default() };
    }
    let mut drop_ins = paths(&["/etc/containers/registries.conf.d"]);
    drop_ins.extend(config.map(|config| config.join("registries.conf.d")));
    registries::Sources {
        file: "/etc/containers/registries.conf".into(),
        drop_ins,
        aliases: Some("/var/cache/containers/short-name-aliases.conf".into()),
    }
}

fn paths(all: &[&str]) -> Vec<PathBuf> {
    all.iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: &[(&str, &str)]) -> Places {
        Places::from_environment(|name| {
            all.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn a_home_adds_places_of_its_own() {
        let found = places(&[("HOME", "/root"), ("PATH", "/bin"), ("SECRET", "x")]);
        let expected = [
            "/run/containers/0/auth.json",
            "/root/.config/containers/auth.json",
            "/root/.docker/config.json",
        ];
        assert_eq!(found.credentials.files, expected.map(PathBuf::from));
        assert_eq!(found.credentials.named, None);
        let expected = ["/root/.config/containers/policy.json", "/etc/containers/policy.json"];
        assert_eq!(found.policies, expected.map(PathBuf::from));
        let helpers: Vec<_> =
            found.credentials.helpers.environment.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(helpers, ["PATH", "HOME"]);
        let bare = places(&[("HOME", "")]);
        assert_eq!(bare.credentials.files.len(), 1);
        assert_eq!(bare.policies, ["/etc/containers/policy.json"].map(PathBuf::from));
    }

    #[test]
    fn variables_name_other_places() {
        let all = [
            ("HOME", "/root"),
            ("XDG_CONFIG_HOME", "/c"),
            ("DOCKER_CONFIG", "/d"),
            ("REGISTRY_AUTH_FILE", "/a"),
            ("CONTAINERS_REGISTRIES_CONF", "/r"),
            ("SSL_CERT_FILE", "/s"),
        ];
        let found = places(&all);
        assert_eq!(found.credentials.named, Some("/a".into()));
        let expected = ["/run/containers/0/auth.json", "/c/containers/auth.json", "/d/config.json"];
        assert_eq!(found.credentials.files, expected.map(PathBuf::from));
        assert_eq!((found.registries.file, found.registries.drop_ins), ("/r".into(), Vec::new()));
        assert_eq!(found.certificates.bundle, Some("/s".into()));
    }
}
