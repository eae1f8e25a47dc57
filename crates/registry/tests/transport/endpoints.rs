// SPDX-License-Identifier: Apache-2.0
//! Mirrors, and registries that are busy or not there.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn mirrors_are_asked_in_order_and_the_one_that_answered_first_from_then_on() {
    let empty = Server::start(|_| Reply::new(404, ""));
    let full = Server::start(just_manifests);
    let last = Server::start(just_manifests);
    let notes = Notes::default();
    let client = Client::new(options(), &notes);
    let plan = plan(&[&empty, &full, &last]);
    let pull = client.pull(&plan);
    pull.manifest().unwrap();
    pull.manifest().unwrap();
    assert_eq!((empty.paths().len(), full.paths().len(), last.connections()), (1, 2, 0));
}

#[test]
fn all_attempts_are_named_when_all_fail() {
    let missing = Server::start(|_| Reply::new(404, ""));
    let broken = Server::start(|_| Reply::new(418, r#"{"errors":[{"code":"TEAPOT"}]}"#));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut plan = plan(&[&missing, &broken]);
    let host = Reference::parse(&format!("localhost:{}/x", gone.port())).unwrap().host().clone();
    plan.endpoints.push(Endpoint { host, repository: "a/b".to_owned(), insecure: false });
    let error = manifest(options(), &plan).unwrap_err();
    assert!(error.starts_with("cannot fetch the manifest of registry.example/a/b:1: "), "{error}");
    let expected = format!("localhost:{} (without TLS): 404: it has no such image; ", missing.address.port());
    assert!(error.contains(&expected), "{error}");
    let expected = format!("localhost:{} (without TLS): status 418 (TEAPOT); ", broken.address.port());
    assert!(error.contains(&expected), "{error}");
    assert!(error.contains(&format!("localhost:{}: Connection refused", gone.port())), "{error}");
    assert!(!error.contains('\n'));
}

/// Fetches the manifest from a server that answers so `times` times before it answers well.
fn busy(times: usize, reply: Reply) -> (Result<Vec<u8>, String>, usize, Vec<String>) {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let is_busy = count.fetch_add(1, Ordering::SeqCst) < times;
        if is_busy { reply.clone() } else { just_manifests(seen) }
    });
    let notes = Notes::default();
    let client = Client::new(options(), &notes);
    let plan = plan(&[&server]);
    let result =
        client.pull(&plan).manifest().map(|manifest| manifest.bytes).map_err(|error| error.to_string());
    let paths = server.paths().len();
    (result, paths, notes.all())
}

#[test]
fn a_busy_registry_is_waited_for_as_it_asks_and_that_is_said() {
    for status in [429, 503] {
        let (result, paths, notes) = busy(2, Reply::new(status, "").with("Retry-After", "0"));
        assert_eq!((result.unwrap().as_slice(), paths), (MANIFEST.as_bytes(), 3));
        assert_eq!(notes.len(), 2);
        assert!(notes[0].contains(&format!("is busy (status {status}): waiting 0 s")), "{notes:?}");
    }
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (result, paths, _) = busy(1, Reply::new(429, "").with("Retry-After", date));
    assert!(result.is_ok() && paths == 2);
    let (result, paths, notes) = busy(1, Reply::new(502, ""));
    assert!(result.is_ok() && paths == 2, "{notes:?}");
}

#[test]
fn waits_are_bounded() {
    let (result, paths, notes) = busy(100, Reply::new(429, "").with("Retry-After", "3600"));
    let error = result.unwrap_err();
    assert!(error.contains("429: it is busy, and asks to wait 3600 s"), "{error}");
    assert_eq!((paths, notes.len()), (1, 0));
    let (result, paths, _) = busy(100, Reply::new(503, ""));
    assert!(result.unwrap_err().contains("503: it is busy"));
    assert_eq!(paths, 4, "three waits");
}

#[test]
fn other_refusals_are_not_tried_again() {
    for status in [400, 403, 404, 405, 410] {
        let (result, paths, _) = busy(100, Reply::new(status, ""));
        assert!(result.unwrap_err().contains(&status.to_string()));
        assert_eq!(paths, 1, "{status}");
    }
}

#[test]
fn a_connection_that_ends_without_an_answer_is_tried_once_more() {
    let server = Server::start(just_manifests);
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = relay.local_addr().unwrap().port();
    let closing = std::thread::spawn(move || (0..3).filter(|_| relay.accept().is_ok()).count());
    let host = Reference::parse(&format!("localhost:{port}/x")).unwrap().host().clone();
    let mut plan = plan(&[&server]);
    plan.endpoints.insert(0, Endpoint { host, repository: "a/b".to_owned(), insecure: true });
    manifest(options(), &plan).unwrap();
    // The handshake twice, then without TLS.
    assert_eq!(closing.join().unwrap(), 3);
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_each_phase() {
    // The kernel takes the connections; nobody ever reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let host = Reference::parse(&format!("localhost:{port}/x")).unwrap().host().clone();
    let mut plan = plan(&[]);
    plan.endpoints.push(Endpoint { host, repository: "a/b".to_owned(), insecure: true });
    let short = Duration::from_millis(300);
    let limits = Limits { connect: short, answer: short, ..limits() };
    let error = manifest(Options { limits, ..options() }, &plan).unwrap_err();
    assert!(error.contains(&format!("localhost:{port}: no answer in time (connecting)")), "{error}");
    assert!(error.contains("(without TLS): no answer in time (waiting for its answer)"), "{error}");
}
