// SPDX-License-Identifier: Apache-2.0
//! URLs that a registry may name: http or https, a host, no credentials. What follows the host is never printed, as a
//! redirect's query is a credential.

use std::fmt;

use ureq::http::Uri;

/// A URL that can be asked for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) tls: bool,
    /// `HOST[:PORT]`, lower-case, without the scheme's own port.
    pub(super) authority: String,
    /// The path and the query.
    path: String,
}

impl Url {
    pub(super) fn new(tls: bool, authority: &str, path: String) -> Self {
        Self { tls, authority: authority.to_owned(), path }
    }

    /// Parses an absolute URL; an error says what was expected.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "expected a URL")?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("expected an http or https URL"),
        };
        let authority = uri.authority().ok_or("expected a host in the URL")?.as_str();
        if authority.contains('@') {
            return Err("expected a URL without credentials");
        }
        let own_port = if tls { ":443" } else { ":80" };
        let authority = authority.strip_suffix(own_port).unwrap_or(authority).to_ascii_lowercase();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, authority, path })
    }

    /// Returns the URL that a `Location` header of this one's answer means (RFC 9110, section 10.2.2).
    pub(super) fn join(&self, location: &str) -> Result<Self, &'static str> {
        let scheme = if self.tls { "https" } else { "http" };
        let location = location.split('#').next().unwrap_or_default();
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        if location.starts_with('/') {
            return Self::parse(&format!("{scheme}://{}{location}", self.authority));
        }
        let colon = location.find(':').filter(|colon| !location[..*colon].contains(['/', '?']));
        if colon.is_some() {
            return Self::parse(location);
        }
        let path = self.path.split('?').next().unwrap_or_default();
        let directory = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
        Self::parse(&format!("{scheme}://{}{directory}{location}", self.authority))
    }

    /// Adds a parameter to the query.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&encode(value));
        self
    }

    /// Tells whether two URLs lead to the same server, so that secrets for one may be sent to the other.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        self.tls == other.tls && self.authority == other.authority
    }

    /// Returns the whole URL, for a request. It may contain secrets.
    pub(super) fn reveal(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.authority)
    }
}

/// Encodes all but unreserved characters (RFC 3986, section 2.3).
pub(super) fn encode(text: &str) -> String {
    use fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_relative_to_the_url() {
        let base = Url::parse("https://A.b:443/v2/x/blobs/y?q=1").unwrap();
        let cases = [
            ("https://c.d/e?f=g:h", "https://c.d/e?f=g:h"),
            ("http://c.d:80/e", "http://c.d/e"),
            ("//c.d:5000/e", "https://c.d:5000/e"),
            ("/e?f", "https://a.b/e?f"),
            ("e/f?g=a:b", "https://a.b/v2/x/blobs/e/f?g=a:b"),
            ("https://c.d", "https://c.d/"),
            ("/e#f", "https://a.b/e"),
        ];
        for (location, expected) in cases {
            assert_eq!(base.join(location).unwrap().reveal(), expected, "{location}");
        }
        for location in ["ftp://c.d/e", "https://u:p@c.d/e", "https:///e", "javascript:x", "https://c d/"] {
            assert!(base.join(location).is_err(), "{location}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let url = Url::parse("https://a.b/token?x=1").unwrap().with("scope", "repository:a/b:pull c");
        assert_eq!(url.reveal(), "https://a.b/token?x=1&scope=repository%3Aa%2Fb%3Apull%20c");
        assert_eq!(format!("{url:?}"), "a.b");
    }

    #[test]
    fn another_port_or_scheme_is_another_server() {
        let url = |text| Url::parse(text).unwrap();
        assert!(url("https://a.b/x").is_same_server(&url("https://A.b:443/y")));
        assert!(!url("https://a.b/x").is_same_server(&url("http://a.b/x")));
        assert!(!url("https://a.b/x").is_same_server(&url("https://a.b:5000/x")));
        assert!(!url("https://a.b/x").is_same_server(&url("https://a.b.c/x")));
    }
}
