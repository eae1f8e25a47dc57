// SPDX-License-Identifier: Apache-2.0
//! Helpers that are shell scripts in a directory of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;

/// Held by each test. A process that another test starts has this one's script open for writing until it executes its
/// own program, and until then the script can't be executed (execve(2), ETXTBSY).
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a helper called `x`, and returns how to run it.
fn helper(directory: &Path, script: &str) -> Helpers {
    let path = directory.join("docker-credential-x");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", directory.display());
    let environment = vec![("PATH".into(), path.into()), ("HOME".into(), directory.into())];
    Helpers { environment, timeout: Duration::from_secs(20) }
}

fn get(script: &str, host: &str) -> Result<Option<Credentials>, Error> {
    let directory = tempfile::tempdir().unwrap();
    helper(directory.path(), script).get("x", &Host::parse(host).unwrap())
}

fn echo(user: &str) -> String {
    format!(r#"echo "{{\"ServerURL\":\"$key\",\"Username\":\"{user}\",\"Secret\":\"$key\"}}""#)
}

#[test]
fn a_helper_is_asked_for_one_registry_alone() {
    let _alone = alone();
    for (host, key) in [("gcr.io", "gcr.io"), ("a.b:5000", "a.b:5000"), ("docker.io", DOCKER_KEY)] {
        let found = get(&format!("test \"$1\" = get; key=$(cat); {}", echo("u")), host).unwrap();
        let expected = Credentials::Basic { user: "u".to_owned(), password: Secret::new(key) };
        assert_eq!(found, Some(expected), "{host}");
    }
}

#[test]
fn a_token_is_one_by_its_user() {
    let _alone = alone();
    let found = get(&format!("key=$(cat); {}", echo(TOKEN_USER)), "a.b").unwrap();
    assert_eq!(found, Some(Credentials::IdentityToken(Secret::new("a.b"))));
}

#[test]
fn a_helper_gets_the_environment_that_is_given_and_no_more() {
    let _alone = alone();
    // What a shell sets itself is left out.
    let script = r#"cat > "$HOME/asked"; env | cut -d= -f1 | grep -vx -e PWD -e _ -e SHLVL -e OLDPWD | sort | tr '\n' ' ' > "$HOME/seen"; exit 1"#;
    let directory = tempfile::tempdir().unwrap();
    let helpers = helper(directory.path(), script);
    assert!(helpers.get("x", &Host::parse("a.b").unwrap()).is_err());
    assert_eq!(fs::read_to_string(directory.path().join("seen")).unwrap(), "HOME PATH ");
}

#[test]
fn having_nothing_is_no_failure_and_failing_is_one() {
    let _alone = alone();
    assert_eq!(get("echo 'credentials not found in native keychain'; exit 1", "a.b").unwrap(), None);
    for script in ["exit 1", "echo secret; exit 0", "echo secret >&2; exit 3"] {
        let error = get(script, "a.b").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_helper_that_does_not_end_is_ended() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let helpers =
        Helpers { timeout: Duration::from_millis(50), ..helper(directory.path(), "exec sleep 600") };
    let error = helpers.get("x", &Host::parse("a.b").unwrap()).unwrap_err();
    assert!(error.to_string().contains("took too long"), "{error}");
}

#[test]
fn a_helper_is_a_name_and_no_path() {
    let _alone = alone();
    let error = Helpers::default().get("../../tmp/x", &Host::parse("a.b").unwrap()).unwrap_err();
    assert!(error.to_string().contains("names a credential helper"), "{error}");
    let error = Helpers::default().get("gone", &Host::parse("a.b").unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "docker-credential-gone cannot be run");
}
