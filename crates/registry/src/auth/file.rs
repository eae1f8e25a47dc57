// SPDX-License-Identifier: Apache-2.0
//! Auth files: `auth.json` of containers(5) and `config.json` of Docker's client, which have one format.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pod::text::escape;
use serde::Deserialize;

use super::credentials::{Credentials, Secret};
use crate::document::{self, Unique};
use crate::error::Error;
use crate::host::Host;

/// An auth file. Other fields are ignored: `config.json` has many that a pull doesn't need.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    auths: Unique<Entry>,
    cred_helpers: Unique<String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry")
    }
}

impl AuthFile {
    /// Reads an auth file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let Some(bytes) = document::read(path)? else { return Ok(None) };
        Self::parse(path, &bytes).map(Some)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        // serde_json's own message can quote a value, which may be a password.
        let unreadable = |error: serde_json::Error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            document::problem(path, format!("expected an auth file's JSON: {place}"))
        };
        let content = serde_json::from_slice(bytes).map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), content })
    }

    /// Returns the helper for this registry.
    pub(super) fn helper(&self, host: &Host) -> Option<&str> {
        let all = &self.content.cred_helpers.0;
        all.iter().find(|(key, _)| location(key) == host.to_string()).map(|(_, name)| name.as_str())
    }

    /// Returns the helper for all registries.
    pub(super) fn store(&self) -> Option<&str> {
        self.content.creds_store.as_deref().filter(|name| !name.is_empty())
    }

    /// Returns the entry for the longest prefix of the repository's name. Docker's client leaves empty entries where a
    /// helper has the credentials.
    pub(super) fn entry(&self, host: &Host, repository: &str) -> Result<Option<Credentials>, Error> {
        for prefix in prefixes(host, repository) {
            let entries = self.content.auths.0.iter().filter(|(key, _)| location(key) == prefix);
            for (key, entry) in entries {
                if let Some(found) = self.credentials(key, entry)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn credentials(&self, key: &str, entry: &Entry) -> Result<Option<Credentials>, Error> {
        if let Some(token) = entry.identitytoken.as_deref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials::IdentityToken(Secret::new(token))));
        }
        let Some(auth) = entry.auth.as_deref().filter(|auth| !auth.is_empty()) else { return Ok(None) };
        let refuse =
            || document::problem(&self.path, format!("{}: expected USER:PASSWORD in base64", escape(key)));
        let both = BASE64_STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let both = both.ok_or_else(refuse)?;
        let (user, password) = both.split_once(':').ok_or_else(refuse)?;
        let password = Secret::new(password.trim_end_matches('\0'));
        Ok(Some(Credentials::Basic { user: user.to_owned(), password }))
    }
}

/// Returns the keys that a repository's credentials can stand at, the longest first.
fn prefixes(host: &Host, repository: &str) -> Vec<String> {
    let ends = repository.match_indices('/').map(|(at, _)| at).chain([repository.len()]);
    let mut all: Vec<_> = ends.map(|end| format!("{host}/{}", &repository[..end])).collect();
    all.insert(0, host.to_string());
    all.reverse();
    all
}

/// Brings a key to the form `HOST[/NAMESPACE…]`. Docker's client wrote URLs: `https://index.docker.io/v1/`.
fn location(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let is_url = bare.is_some();
    let bare = bare.unwrap_or(key).trim_end_matches('/');
    let (host, path) = bare.split_once('/').map_or((bare, ""), |(host, path)| (host, path));
    let Ok(host) = Host::parse(host) else { return bare.to_owned() };
    let is_version = matches!(path, "" | "v1" | "v2");
    if is_version || is_url { host.to_string() } else { format!("{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<AuthFile, Error> {
        AuthFile::parse(Path::new("auth.json"), text.as_bytes())
    }

    fn user(file: &AuthFile, host: &str, repository: &str) -> Option<String> {
        match file.entry(&Host::parse(host).unwrap(), repository).unwrap()? {
            Credentials::Basic { user, .. } => Some(user),
            Credentials::IdentityToken(token) => Some(token.reveal().to_owned()),
        }
    }

    #[test]
    fn the_longest_prefix_counts() {
        let auth = |user: &str| BASE64_STANDARD.encode(format!("{user}:secret"));
        let text = format!(
            r#"{{"auths":{{"quay.io":{{"auth":"{}"}},"quay.io/a":{{"auth":"{}"}},"quay.io/a/b":{{"auth":"{}"}},
            "https://index.docker.io/v1/":{{"auth":"{}"}},"h:5000":{{}},"t.io":{{"identitytoken":"tok"}}}},"other":[1]}}"#,
            auth("host"),
            auth("space"),
            auth("repo"),
            auth("docker")
        );
        let file = file(&text).unwrap();
        let cases = [
            ("quay.io", "a/b", Some("repo")),
            ("quay.io", "a/b/c", Some("repo")),
            ("quay.io", "a/bb", Some("space")),
            ("quay.io", "ab", Some("host")),
            ("quay.io:5000", "a/b", None),
            ("docker.io", "library/redis", Some("docker")),
            ("h:5000", "x", None),
            ("t.io", "x", Some("tok")),
            ("io", "x", None),
        ];
        for (host, repository, expected) in cases {
            assert_eq!(user(&file, host, repository).as_deref(), expected, "{host}/{repository}");
        }
    }

    #[test]
    fn a_password_is_in_no_message() {
        for text in [r#"{"auths":{"a.b":{"auth":["hunter2"]}}}"#, r#"{"auths":{"a.b":{"auth":"hunter2"}}}"#] {
            let error = match file(text) {
                Err(error) => error,
                Ok(file) => file.entry(&Host::parse("a.b").unwrap(), "x").unwrap_err(),
            };
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let secret = Credentials::Basic { user: "u".to_owned(), password: Secret::new("hunter2") };
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn helpers_are_found_by_host() {
        let file =
            file(r#"{"credHelpers":{"gcr.io":"gcloud","https://index.docker.io/v1/":"d"},"credsStore":""}"#);
        let file = file.unwrap();
        assert_eq!(file.helper(&Host::parse("gcr.io").unwrap()), Some("gcloud"));
        assert_eq!(file.helper(&Host::parse("docker.io").unwrap()), Some("d"));
        assert_eq!(file.helper(&Host::parse("eu.gcr.io").unwrap()), None);
        assert_eq!(file.store(), None);
    }

    #[test]
    fn what_is_no_auth_file_is_refused() {
        for text in ["", "1", r#"{"auths":{"a":{},"a":{}}}"#, r#"{"auths":1}"#] {
            assert!(file(text).is_err(), "{text}");
        }
    }
}
