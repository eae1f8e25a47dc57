// SPDX-License-Identifier: Apache-2.0
//! Answers a request: a pure function of what the service knows.

use std::fmt::Write as _;

use super::http::{Request, Status, field};
use super::sign::{Key, is_same};
use crate::exchange::metadata_file::{Kind, Metadata};

/// The prefix of all paths (appc spec, "Pod Metadata").
const PREFIX: &str = "acMetadata/v1/";
/// The most bytes of an answer that are copied behind its header. Longer answers are sent from their own memory.
const SMALL: usize = 16 << 10;

/// The documents that the service answers with, and its key.
pub(super) struct Service {
    metadata: Metadata,
    key: Key,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer<'s> {
    /// Its line, its headers and, unless that is long, its body.
    pub(super) bytes: Vec<u8>,
    /// The body, if it is long.
    pub(super) more: &'s [u8],
}

impl Service {
    /// Makes a service. Returns `None` if `key` is no key.
    pub(super) fn new(metadata: Metadata, key: &[u8]) -> Option<Self> {
        Some(Self { metadata, key: Key::new(key)? })
    }

    /// Answers a request.
    pub(super) fn answer(&self, request: &Request<'_>) -> Answer<'_> {
        match self.find(request) {
            Ok(answer) => answer,
            Err(status) => refusal(status),
        }
    }

    fn find(&self, request: &Request<'_>) -> Result<Answer<'_>, Status> {
        let path = request.path.strip_prefix(b"/").ok_or(Status::BadRequest)?;
        let path = match &self.metadata.token {
            Some(token) => {
                let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
                let (given, rest) = path.split_at(end);
                if !is_same(given, token.as_bytes()) {
                    return Err(Status::Unauthorized);
                }
                rest.strip_prefix(b"/").unwrap_or_default()
            }
            None if request.has_flavor => path,
            None => return Err(Status::Forbidden),
        };
        let path = path.strip_prefix(PREFIX.as_bytes()).ok_or(Status::NotFound)?;
        match path {
            b"pod/hmac/sign" => {
                let content = field(form(request)?, b"content")?;
                Ok(text(&self.key.sign(&content)))
            }
            b"pod/hmac/verify" => {
                let form = form(request)?;
                let (content, signature) = (field(form, b"content")?, field(form, b"signature")?);
                let is_own = self.is_own(&field(form, b"uuid")?);
                verdict(is_own && self.key.verifies(&content, &signature))
            }
            b"container/hmac/sign" if self.is_of_0_1() => {
                is_post(request)?;
                Ok(text(&self.key.sign_of_0_1(request.body)))
            }
            b"container/hmac/verify" if self.is_of_0_1() => {
                let form = form(request)?;
                let signature = field(form, b"signature")?;
                let is_own = self.is_own(&field(form, b"uid")?);
                verdict(is_own && self.key.verifies_of_0_1(&signature))
            }
            _ => {
                let mut all = self.metadata.documents.iter();
                let document = all.find(|one| one.path.as_bytes() == path).ok_or(Status::NotFound)?;
                if request.method != b"GET" {
                    return Err(Status::NotAllowed);
                }
                Ok(answer(Status::Ok, document.kind.media(), document.content.as_bytes()))
            }
        }
    }

    /// Tells whether a pod's id is this pod's. The keys of others are not known here.
    fn is_own(&self, id: &[u8]) -> bool {
        id.eq_ignore_ascii_case(self.metadata.pod.as_bytes())
    }

    fn is_of_0_1(&self) -> bool {
        self.metadata.documents.iter().any(|one| one.path == "container/uid")
    }
}

fn is_post(request: &Request<'_>) -> Result<(), Status> {
    if request.method == b"POST" { Ok(()) } else { Err(Status::NotAllowed) }
}

fn form<'r>(request: &Request<'r>) -> Result<&'r [u8], Status> {
    is_post(request)?;
    if request.is_form { Ok(request.body) } else { Err(Status::NoForm) }
}

fn verdict(is_good: bool) -> Result<Answer<'static>, Status> {
    if is_good { Ok(text("")) } else { Err(Status::Forbidden) }
}

fn text(content: &str) -> Answer<'static> {
    let Answer { mut bytes, .. } = answer_head(Status::Ok, Kind::Text.media(), content.len());
    bytes.extend_from_slice(content.as_bytes());
    Answer { bytes, more: &[] }
}

/// Returns the answer to a request that is refused.
pub(super) fn refusal(status: Status) -> Answer<'static> {
    let reason = status.reason();
    let Answer { mut bytes, .. } = answer_head(status, Kind::Text.media(), reason.len() + 1);
    bytes.extend_from_slice(reason.as_bytes());
    bytes.push(b'\n');
    Answer { bytes, more: &[] }
}

fn answer<'s>(status: Status, media: &str, body: &'s [u8]) -> Answer<'s> {
    let mut answer = answer_head(status, media, body.len());
    match body.len() <= SMALL {
        true => answer.bytes.extend_from_slice(body),
        false => answer.more = body,
    }
    answer
}

fn answer_head<'s>(status: Status, media: &str, length: usize) -> Answer<'s> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n",
        status as u16,
        status.reason()
    );
    // Each is what its status needs (RFC 9110, sections 15.5.2 and 15.5.6).
    let _ = match status {
        Status::Unauthorized => head.write_str("WWW-Authenticate: Token\r\n"),
        Status::NotAllowed => head.write_str("Allow: GET, POST\r\n"),
        _ => Ok(()),
    };
    head.push_str("\r\n");
    Answer { bytes: head.into_bytes(), more: &[] }
}

#[cfg(test)]
mod tests {
    use super::super::http::{Parsed, parse};
    use super::*;
    use crate::exchange::metadata_file::{Document, KEY};

    const POD: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

    fn service(token: Option<&str>) -> Service {
        let document =
            |path: &str, kind, content: &str| Document { path: path.into(), kind, content: content.into() };
        let mut documents = vec![
            document("pod/annotations", Kind::Json, "[]"),
            document("pod/uuid", Kind::Text, POD),
            document("apps/a/image/manifest", Kind::Json, &"x".repeat(SMALL + 1)),
        ];
        if token.is_none() {
            documents.push(document("container/uid", Kind::Text, POD));
        }
        let metadata = Metadata { pod: POD.into(), token: token.map(Into::into), documents };
        Service::new(metadata, &[7; KEY]).unwrap()
    }

    /// Returns the status, the type and the body that are answered.
    fn ask(service: &Service, request: &str) -> (u16, String, String) {
        let Ok(Parsed::Whole(request)) = parse(request.as_bytes()) else { panic!("{request:?}") };
        let Answer { bytes, more } = service.answer(&request);
        let text = String::from_utf8([&bytes, more].concat()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        assert_eq!(header("Content-Length: ").parse(), Ok(body.len()));
        (head[9..12].parse().unwrap(), header("Content-Type: ").to_owned(), body.to_owned())
    }

    fn get(service: &Service, path: &str) -> (u16, String, String) {
        ask(service, &format!("GET {path} HTTP/1.1\r\nMetadata-Flavor: AppContainer\r\n\r\n"))
    }

    fn post(service: &Service, path: &str, form: &str) -> (u16, String, String) {
        ask(
            service,
            &format!(
                "POST {path} HTTP/1.1\r\nMetadata-Flavor: AppContainer\r\nContent-Type: \
                 application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                form.len()
            ),
        )
    }

    #[test]
    fn documents_have_their_types() {
        let service = service(Some("t0ken"));
        let answer = |path| get(&service, &format!("/t0ken/acMetadata/v1/{path}"));
        assert_eq!(answer("pod/annotations"), (200, "application/json".into(), "[]".into()));
        assert_eq!(answer("pod/uuid"), (200, "text/plain; charset=us-ascii".into(), POD.into()));
        assert_eq!(answer("apps/a/image/manifest").2.len(), SMALL + 1);
    }

    #[test]
    fn what_is_not_the_pods_is_refused() {
        let service = service(Some("t0ken"));
        for (path, status) in [
            ("/", 401),
            ("/acMetadata/v1/pod/uuid", 401),
            ("/t0keN/acMetadata/v1/pod/uuid", 401),
            ("/t0ken0/acMetadata/v1/pod/uuid", 401),
            ("/t0ken", 404),
            ("/t0ken/acMetadata/v1/", 404),
            ("/t0ken/acMetadata/v1/pod", 404),
            ("/t0ken/acMetadata/v1/pod/uuid/", 404),
            ("/t0ken/acMetadata/v1/apps/b/image/manifest", 404),
            ("/t0ken/acMetadata/v2/pod/uuid", 404),
            ("/t0ken/acMetadata/v1/container/uid", 404),
            ("/t0ken/acMetadata/v1/container/hmac/sign", 404),
            ("/t0ken/acMetadata/v1/pod/hmac/sign", 405),
        ] {
            assert_eq!(get(&service, path).0, status, "{path}");
        }
        for method in ["HEAD", "POST", "PUT", "DELETE"] {
            let request = format!("{method} /t0ken/acMetadata/v1/pod/uuid HTTP/1.1\r\n\r\n");
            assert_eq!(ask(&service, &request).0, 405, "{method}");
        }
        let no_form =
            "POST /t0ken/acMetadata/v1/pod/hmac/sign HTTP/1.1\r\nContent-Length: 9\r\n\r\ncontent=x";
        assert_eq!(ask(&service, no_form).0, 415);
    }

    #[test]
    fn a_signature_is_verified_for_this_pod_and_this_content() {
        let service = service(Some("t0ken"));
        let (sign, verify) = ("/t0ken/acMetadata/v1/pod/hmac/sign", "/t0ken/acMetadata/v1/pod/hmac/verify");
        let (status, media, signature) = post(&service, sign, "content=Old+MacDonald");
        assert_eq!((status, &media[..]), (200, "text/plain; charset=us-ascii"));
        let encoded = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let upper = POD.to_uppercase();
        for (content, uuid, signature, expected) in [
            ("Old%20MacDonald", POD, encoded.as_str(), 200),
            ("Old%20MacDonald", &upper, &encoded, 200),
            ("Old%20Macdonald", POD, &encoded, 403),
            ("Old%20MacDonald", "6733c088-a507-4694-aabf-ae0bc1ccaafe", &encoded, 403),
            ("Old%20MacDonald", POD, "", 403),
        ] {
            let form = format!("content={content}&uuid={uuid}&signature={signature}");
            assert_eq!(post(&service, verify, &form).0, expected, "{form}");
        }
        assert_eq!(post(&service, sign, "contents=x").0, 400);
        assert_eq!(post(&service, verify, &format!("content=x&uuid={POD}")).0, 400);
    }

    #[test]
    fn whoever_asks_without_a_token_says_what_it_means() {
        let service = service(None);
        assert_eq!(get(&service, "/acMetadata/v1/container/uid").2, POD);
        assert_eq!(ask(&service, "GET /acMetadata/v1/container/uid HTTP/1.1\r\n\r\n").0, 403);
        let path = "/acMetadata/v1/container/hmac";
        let signature = post(&service, &format!("{path}/sign"), "anything").2;
        let signature = signature.replace('+', "%2B");
        let verify = |form: &str| post(&service, &format!("{path}/verify"), form).0;
        assert_eq!(verify(&format!("uid={POD}&signature={signature}")), 200);
        assert_eq!(
            verify(&format!("uid={POD}&signature={}", signature.replace(&signature[5..9], "AAAA"))),
            403
        );
        assert_eq!(verify(&format!("uid=x&signature={signature}")), 403);
    }
}
