// SPDX-License-Identifier: Apache-2.0
//! Tokens and credentials: got once, renewed once, sent to nobody else.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry::{Blob, Wanted, auth};

use super::*;

/// A registry whose tokens are good for `uses` requests each. It is its own token server.
fn registry(uses: usize) -> Server {
    let requests = AtomicUsize::new(0);
    let tokens = AtomicUsize::new(0);
    Server::start(move |seen| {
        if seen.path.starts_with("/token") {
            let number = tokens.fetch_add(1, Ordering::SeqCst);
            return Reply::new(200, format!(r#"{{"token":"","access_token":"token{number}"}}"#));
        }
        let current = tokens.load(Ordering::SeqCst).wrapping_sub(1);
        let is_good = seen.header("authorization") == format!("Bearer token{current}");
        if !is_good || requests.fetch_add(1, Ordering::SeqCst) % (uses + 1) == uses {
            let realm = format!("http://{}/token?a=b", seen.header("host"));
            let bearer = format!(r#"Bearer realm="{realm}",service="x y",scope="repository:a/b:pull,push""#);
            return Reply::new(401, "").with("WWW-Authenticate", format!("Negotiate, {bearer}"));
        }
        if seen.path.contains("/blobs/") { Reply::new(200, "blob") } else { just_manifests(seen) }
    })
}

fn tokens(server: &Server) -> Vec<Seen> {
    server.seen().into_iter().filter(|seen| seen.path.starts_with("/token")).collect()
}

#[test]
fn a_guest_gets_a_token_by_the_challenge() {
    let server = registry(100);
    assert_eq!(manifest(options(), &plan(&[&server])).unwrap(), MANIFEST.as_bytes());
    let tokens = tokens(&server);
    let expected = "/token?a=b&scope=repository%3Aa%2Fb%3Apull%2Cpush&service=x%20y";
    assert_eq!(tokens.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(), [expected]);
    assert_eq!(tokens[0].header("authorization"), "");
}

#[test]
fn a_token_that_has_ended_is_renewed_and_threads_share_it() {
    let server = registry(6);
    let notes = Notes::default();
    let client = Client::new(options(), &notes);
    let plan = plan(&[&server]);
    let pull = client.pull(&plan);
    let blob = Blob { digest: BlobDigest::sha256(b"blob"), size: 4 };
    for _ in 0..3 {
        let wanted = (0..4).map(|_| Wanted { blob, sink: Vec::new() }).collect();
        let complete = AtomicUsize::new(0);
        pull.blobs(wanted, 4, &|_, sink| {
            assert_eq!(sink, b"blob");
            complete.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .unwrap();
        assert_eq!(complete.into_inner(), 4);
    }
    // Twelve blobs need two tokens of six uses, and the first one has to be got.
    let got = tokens(&server).len();
    assert!((2..=3).contains(&got), "{got}");
}

#[test]
fn a_token_that_is_never_good_ends_in_an_error() {
    let server = registry(0);
    let error = manifest(options(), &plan(&[&server])).unwrap_err();
    assert!(error.contains("401: it does not allow this with the credentials and token it got"), "{error}");
    assert_eq!((server.paths().len(), tokens(&server).len()), (3, 1));
}

/// Options with an auth file.
fn with_auth_file(server: &Server, entry: &str) -> (tempfile::TempDir, Options) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.json");
    fs::write(&path, format!(r#"{{"auths":{{"{}":{entry}}}}}"#, server.host())).unwrap();
    let credentials = auth::Sources { files: vec![path], ..auth::Sources::default() };
    (directory, Options { credentials, ..options() })
}

/// `user:hunter2`.
const BASIC: &str = "dXNlcjpodW50ZXIy";

#[test]
fn credentials_go_to_the_token_server() {
    let server = registry(100);
    let (_directory, options) = with_auth_file(&server, &format!(r#"{{"auth":"{BASIC}"}}"#));
    manifest(options, &plan(&[&server])).unwrap();
    assert_eq!(tokens(&server)[0].header("authorization"), format!("Basic {BASIC}"));
}

#[test]
fn an_identity_token_is_posted() {
    let server = registry(100);
    let (_directory, options) = with_auth_file(&server, r#"{"identitytoken":"a b&c"}"#);
    manifest(options, &plan(&[&server])).unwrap();
    let token = &tokens(&server)[0];
    assert_eq!((token.method.as_str(), token.path.as_str()), ("POST", "/token?a=b"));
    let expected = "scope=repository%3Aa%2Fb%3Apull%2Cpush&service=x%20y&grant_type=refresh_token&client_id=gantry&refresh_token=a%20b%26c";
    assert_eq!(token.body, expected);
}

/// A registry that wants a user and a password.
fn basic(refuse: bool) -> Server {
    Server::start(move |seen| {
        if seen.header("authorization") != format!("Basic {BASIC}") || refuse {
            return Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"hunter2"}]}"#)
                .with("WWW-Authenticate", "Basic realm=\"x\"");
        }
        just_manifests(seen)
    })
}

#[test]
fn a_user_and_a_password_are_sent_when_they_are_asked_for() {
    let server = basic(false);
    let (_directory, options) = with_auth_file(&server, &format!(r#"{{"auth":"{BASIC}"}}"#));
    manifest(options, &plan(&[&server])).unwrap();
    let sent: Vec<_> = server.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(sent, [String::new(), format!("Basic {BASIC}")]);
}

#[test]
fn no_credential_is_in_a_message() {
    let server = basic(true);
    let (_directory, options) = with_auth_file(&server, &format!(r#"{{"auth":"{BASIC}"}}"#));
    let error = manifest(options, &plan(&[&server])).unwrap_err();
    assert!(error.contains("401") && !error.contains("hunter2") && !error.contains(BASIC), "{error}");
    let error = manifest(super::options(), &plan(&[&server])).unwrap_err();
    assert!(error.contains("401: it asks for credentials, and the host has none for it"), "{error}");
}

#[test]
fn token_servers_that_answer_nonsense_are_named() {
    for (status, answer, expected) in [
        (200, "{}", "without a token"),
        (200, "secret", "no JSON"),
        (200, r#"{"token":"a\nb"}"#, "without a token"),
        (401, "", "its token server refuses a guest"),
        (404, "", "status 404"),
        (302, "", "status 302"),
    ] {
        let server = Server::start(move |seen| {
            if seen.path.starts_with("/token") {
                return Reply::new(status, answer).with("Location", "http://127.0.0.1:1/");
            }
            let realm = format!("Bearer realm=\"http://{}/token\"", seen.header("host"));
            Reply::new(401, "").with("WWW-Authenticate", realm)
        });
        let error = manifest(options(), &plan(&[&server])).unwrap_err();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
    }
}
