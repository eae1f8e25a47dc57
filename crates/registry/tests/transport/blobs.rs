// SPDX-License-Identifier: Apache-2.0
//! Transfers that break, go on, begin again, and lie.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use registry::{Blob, Error, Wanted};

use super::*;

const BLOB: &[u8] = b"0123456789";

/// The part of the blob that a request asks for, as a good registry sends it.
fn part(seen: &Seen) -> Reply {
    let range = seen.header("range");
    let Some(from) = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')) else {
        return Reply::new(200, BLOB);
    };
    let from: usize = from.parse().unwrap();
    let range = format!("bytes {from}-{}/{}", BLOB.len() - 1, BLOB.len());
    Reply::new(206, &BLOB[from..]).with("Content-Range", range)
}

fn ranges(server: &Server) -> Vec<String> {
    server.seen().iter().map(|seen| seen.header("range").to_owned()).collect()
}

/// Fetches the blob from a server with this behaviour, into what is held already.
fn run(
    held: &[u8],
    handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Result<Vec<u8>, String>, Vec<String>) {
    let server = Server::start(handler);
    let mut sink = held.to_vec();
    let result = fetch(options(), &plan(&[&server]), BLOB, &mut sink);
    (result.map(|()| sink), ranges(&server))
}

#[test]
fn a_transfer_that_breaks_goes_on() {
    let (result, ranges) = run(b"", |seen| match seen.header("range") {
        "" => part(seen).cut(3),
        "bytes=3-" => part(seen).cut(4),
        _ => part(seen),
    });
    assert_eq!(result.unwrap(), BLOB);
    assert_eq!(ranges, ["", "bytes=3-", "bytes=7-"]);
}

#[test]
fn a_transfer_that_comes_no_further_is_given_up() {
    let (result, ranges) =
        run(b"", |seen| if seen.header("range").is_empty() { part(seen).cut(3) } else { part(seen).cut(0) });
    let error = result.unwrap_err();
    assert!(error.contains("cut after 3 of 10 bytes"), "{error}");
    assert_eq!(ranges, ["", "bytes=3-", "bytes=3-", "bytes=3-"]);
}

#[test]
fn all_of_it_in_place_of_the_rest_begins_again() {
    let (result, ranges) = run(b"012", |_| Reply::new(200, BLOB));
    assert_eq!(result.unwrap(), BLOB);
    assert_eq!(ranges, ["bytes=3-"]);
}

#[test]
fn another_range_than_the_one_asked_for_is_refused() {
    for range in ["bytes 2-9/10", "bytes 3-9/11", "bytes 3-10/*", "bytes 4-9/10", "nonsense", ""] {
        let (result, ranges) = run(b"012", move |_| Reply::new(206, &BLOB[3..]).with("Content-Range", range));
        let error = result.unwrap_err();
        assert!(
            error.contains("it sends the range") && error.contains("expected \"bytes 3-9/10\""),
            "{error}"
        );
        assert_eq!(ranges.len(), 1);
    }
}

#[test]
fn a_range_that_can_not_be_satisfied_begins_again_once() {
    let (result, ranges) = run(b"012", |seen| match seen.header("range") {
        "" => part(seen),
        _ => Reply::new(416, "").with("Content-Range", "bytes */2"),
    });
    assert_eq!(result.unwrap(), BLOB);
    assert_eq!(ranges, ["bytes=3-", ""]);
}

#[test]
fn a_beginning_that_is_wrong_is_fetched_again() {
    let (result, ranges) = run(b"xyz", part);
    assert_eq!(result.unwrap(), BLOB);
    assert_eq!(ranges, ["bytes=3-", ""]);
}

#[test]
fn what_is_held_already_is_not_fetched() {
    let (result, ranges) = run(BLOB, part);
    assert_eq!((result.unwrap().as_slice(), ranges.len()), (BLOB, 0));
    for wrong in [b"xxxxxxxxxx".as_slice(), b"0123456789a"] {
        let (result, ranges) = run(wrong, part);
        assert_eq!((result.unwrap().as_slice(), ranges), (BLOB, vec![String::new()]));
    }
}

#[test]
fn bytes_that_are_not_the_blobs_leave_nothing() {
    let server = Server::start(|_| Reply::new(200, "012345678x"));
    let mut sink = Vec::new();
    let error = fetch(options(), &plan(&[&server]), BLOB, &mut sink).unwrap_err();
    assert!(
        error.contains("its bytes have the digest sha256:") && error.contains("expected sha256:"),
        "{error}"
    );
    assert_eq!((sink.len(), server.paths().len()), (0, 1));
}

#[test]
fn another_size_is_refused_before_it_is_received() {
    let (result, _) = run(b"", |_| Reply::new(200, vec![0; 11]));
    assert!(result.unwrap_err().contains("it has 11 bytes, expected 10"));
}

#[test]
fn a_body_whose_length_is_not_said_ends_where_the_blob_does() {
    let chunked =
        |body: &'static str| move |_: &Seen| Reply::new(200, body).with("Transfer-Encoding", "chunked");
    let (result, _) = run(b"", chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"));
    assert_eq!(result.unwrap(), BLOB);
    let server = Server::start(chunked("5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n"));
    let mut sink = Vec::new();
    let error = fetch(options(), &plan(&[&server]), BLOB, &mut sink).unwrap_err();
    assert!(error.contains("it has more bytes, expected 10"), "{error}");
    assert!(sink.is_empty());
}

#[test]
fn an_empty_blob_needs_no_request() {
    let server = Server::start(|_| Reply::new(500, ""));
    fetch(options(), &plan(&[&server]), b"", &mut Vec::new()).unwrap();
    assert_eq!(server.connections(), 0);
}

/// A registry with a token that redirects each blob.
fn redirecting(location: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Server {
    Server::start(move |seen| {
        if seen.path.starts_with("/token") {
            return Reply::new(200, r#"{"token":"t"}"#);
        }
        if seen.header("authorization").is_empty() {
            let realm = format!("Bearer realm=\"http://{}/token\"", seen.header("host"));
            return Reply::new(401, "").with("WWW-Authenticate", realm);
        }
        Reply::new(302, "").with("Location", location(seen))
    })
}

#[test]
fn a_redirect_to_another_host_has_no_authorization_and_is_asked_for_anew_after_a_cut() {
    let storage =
        Server::start(|seen| if seen.path == "/1?sig=secret" { part(seen).cut(5) } else { part(seen) });
    let host = storage.host();
    let count = AtomicUsize::new(0);
    let server = redirecting(move |_| {
        format!("http://{host}/{}?sig=secret", count.fetch_add(1, Ordering::SeqCst) + 1)
    });
    let mut sink = Vec::new();
    fetch(options(), &plan(&[&server]), BLOB, &mut sink).unwrap();
    assert_eq!(sink, BLOB);
    assert_eq!(storage.paths(), ["/1?sig=secret", "/2?sig=secret"]);
    assert!(storage.seen().iter().all(|seen| seen.header("authorization").is_empty()));
    assert_eq!(ranges(&storage), ["", "bytes=5-"]);
}

#[test]
fn redirects_that_are_not_followed_are_named_without_their_url() {
    for (location, expected) in [
        ("https://u:secret@a.example/", "without credentials"),
        ("ftp://a.example/secret", "expected an http or https URL"),
        ("/secret", "too many"),
    ] {
        let server = redirecting(move |_| location.to_owned());
        let error = fetch(options(), &plan(&[&server]), BLOB, &mut Vec::new()).unwrap_err();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn what_can_not_be_written_ends_the_pull() {
    struct Full;
    impl registry::Sink for Full {
        fn held(&mut self, _: &mut dyn FnMut(&[u8])) -> io::Result<()> {
            Ok(())
        }
        fn append(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn clear(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (one, two) = (Server::start(part), Server::start(part));
    let notes = Notes::default();
    let client = Client::new(options(), &notes);
    let plan = plan(&[&one, &two]);
    let digest = BlobDigest::sha256(BLOB);
    let error = client.pull(&plan).blob(digest, 10, &mut Full).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    assert_eq!(two.connections(), 0, "another endpoint can't help");
}

#[test]
fn one_blob_that_fails_ends_the_others_and_whole_ones_are_kept() {
    let good = BlobDigest::sha256(BLOB);
    let slow = BlobDigest::sha256(b"slow");
    // The bad one is answered once the good one is whole and the slow one has begun.
    let ready = Arc::new((Mutex::new(0), std::sync::Condvar::new()));
    let of_server = ready.clone();
    let add = |ready: &(Mutex<u32>, std::sync::Condvar)| {
        *ready.0.lock().unwrap() += 1;
        ready.1.notify_all();
    };
    let server = Server::start(move |seen| {
        if seen.path.ends_with(&good.to_string()) {
            return part(seen);
        }
        if seen.path.ends_with(&slow.to_string()) {
            add(&of_server);
            return Reply::new(200, "slow").stall(2);
        }
        let count = of_server.0.lock().unwrap();
        drop(of_server.1.wait_while(count, |count| *count < 2).unwrap());
        Reply::new(404, "")
    });
    let notes = Notes::default();
    let client = Client::new(
        Options { limits: Limits { stall: Duration::from_millis(500), ..limits() }, ..options() },
        &notes,
    );
    let plan = plan(&[&server]);
    let wanted = [(good, 10), (slow, 4), (BlobDigest::sha256(b"bad"), 3)];
    let wanted = wanted
        .map(|(digest, size)| Wanted { blob: Blob { digest, size }, sink: tempfile::tempfile().unwrap() });
    let complete = Mutex::new(Vec::new());
    let error = client.pull(&plan).blobs(wanted.into(), 3, &|blob, _: File| {
        complete.lock().unwrap().push(blob.digest);
        add(&ready);
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("404: it has no such blob"), "{error}");
    assert_eq!(*complete.lock().unwrap(), [good]);
}

#[test]
fn a_flag_ends_a_transfer_that_stands_still() {
    let flag = Arc::new(AtomicBool::new(false));
    let of_server = flag.clone();
    let server = Server::start(move |seen| {
        of_server.store(true, Ordering::SeqCst);
        part(seen).stall(5)
    });
    let begun = Instant::now();
    let options = Options { cancel: flag, ..options() };
    let error = fetch(options, &plan(&[&server]), BLOB, &mut Vec::new()).unwrap_err();
    assert_eq!(error, "interrupted");
    assert!(begun.elapsed() < Duration::from_secs(20), "not the time limit of a minute");
}
