// SPDX-License-Identifier: Apache-2.0
//! The environment: exactly what is expected, no more and no less.

use std::collections::BTreeMap;
use std::env;

use crate::expect::Expectations;
use crate::report::{Check, Difference, Report};

/// Variables of the sockets' protocol (sd_listen_fds(3)), which the check of sockets reads.
const OF_SOCKETS: [&str; 3] = ["LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID"];

/// The differences between an environment and the expected one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differences<'a> {
    missing: Vec<&'a str>,
    extra: BTreeMap<&'a str, &'a str>,
    different: BTreeMap<&'a str, &'a str>,
}

/// The variable that says where the metadata service is.
const METADATA_URL: &str = "AC_METADATA_URL";
/// What stands for its value where that has a token: a port and a token, which are the pod's alone.
const WITH_TOKEN: &str = "http://127.0.0.1:PORT/TOKEN";

/// Checks `environment`.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    report.check("environment", &expected.environment, |environment| {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        let mut found: BTreeMap<String, String> =
            env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        if expected.sockets.is_some() {
            found.retain(|name, _| !OF_SOCKETS.contains(&name.as_str()));
        }
        if let Some(url) = found.get_mut(METADATA_URL).filter(|url| has_token(url)) {
            WITH_TOKEN.clone_into(url);
        }
        compare(&found, environment)
    });
}

/// Tells whether a URL is of the loopback, and has a token of 128 bits.
fn has_token(url: &str) -> bool {
    let parts = url.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(port, token)| {
        let is_token = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        port.parse::<u16>().is_ok() && is_token
    })
}

fn compare(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) -> Check {
    let differences = differences(found, expected);
    if differences == Differences::default() {
        return Ok(());
    }
    Err(Difference { found: format!("{differences:?}"), expected: format!("{expected:?}") })
}

fn differences<'a>(
    found: &'a BTreeMap<String, String>,
    expected: &'a BTreeMap<String, String>,
) -> Differences<'a> {
    let mut differences = Differences {
        missing: expected.keys().filter(|name| !found.contains_key(*name)).map(String::as_str).collect(),
        ..Differences::default()
    };
    for (name, value) in found {
        match expected.get(name) {
            None => differences.extra.insert(name, value),
            Some(other) if other != value => differences.different.insert(name, value),
            Some(_) => None,
        };
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_token_has_128_bits() {
        assert!(has_token("http://127.0.0.1:16925/00112233445566778899aabbccddeeff"));
        for url in [
            "http://169.254.169.255",
            "http://127.0.0.1:1/0",
            "http://127.0.0.1/00112233445566778899aabbccddeeff",
        ] {
            assert!(!has_token(url), "{url}");
        }
    }

    #[test]
    fn the_same_environment_is_no_difference() {
        let same = environment(&[("PATH", "/bin"), ("EMPTY", "")]);
        assert_eq!(compare(&same, &same), Ok(()));
    }

    #[test]
    fn missing_extra_and_different_variables_are_told_apart() {
        let found = environment(&[("PATH", "/sbin"), ("EXTRA", "1"), ("SAME", "")]);
        let expected = environment(&[("PATH", "/bin"), ("SAME", ""), ("USER", "app")]);
        assert_eq!(
            differences(&found, &expected),
            Differences {
                missing: vec!["USER"],
                extra: BTreeMap::from([("EXTRA", "1")]),
                different: BTreeMap::from([("PATH", "/sbin")]),
            }
        );
    }
}
