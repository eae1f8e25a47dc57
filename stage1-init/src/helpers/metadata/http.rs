// SPDX-License-Identifier: Apache-2.0
//! HTTP requests (RFC 9112), of which one is read on each connection, and forms. What is unusual is refused.

/// The most bytes of a request's line and headers.
const HEAD_MAX: usize = 8 << 10;
/// The most bytes of a request's body.
const BODY_MAX: usize = 64 << 10;
const END_OF_LINE: &[u8] = b"\r\n";
/// The header by which clients of 0.1 show that they mean this service.
const FLAVOR: &[u8] = b"metadata-flavor";
const FLAVOR_OF_APPC: &[u8] = b"AppContainer";
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// A status (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 200,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    NotAllowed = 405,
    TooLarge = 413,
    NoForm = 415,
    HeadTooLarge = 431,
    NotImplemented = 501,
    OtherVersion = 505,
}

impl Status {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::NotAllowed => "Method Not Allowed",
            Self::TooLarge => "Content Too Large",
            Self::NoForm => "Unsupported Media Type",
            Self::HeadTooLarge => "Request Header Fields Too Large",
            Self::NotImplemented => "Not Implemented",
            Self::OtherVersion => "HTTP Version Not Supported",
        }
    }
}

/// The result of parsing what has arrived over a connection so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'r> {
    /// A part of a request. With `continues`, the client waits to be told to send the body.
    Part {
        continues: bool,
    },
    Whole(Request<'r>),
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'r> {
    pub(super) method: &'r [u8],
    /// The path, decoded, without a query.
    pub(super) path: Vec<u8>,
    /// Whether it says that it means a metadata service.
    pub(super) has_flavor: bool,
    /// Whether its body is a form.
    pub(super) is_form: bool,
    pub(super) body: &'r [u8],
}

/// Reads a request. An error is the status to answer with.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Status> {
    let searched = &bytes[..bytes.len().min(HEAD_MAX)];
    let Some(end) = searched.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() < HEAD_MAX {
            Ok(Parsed::Part { continues: false })
        } else {
            Err(Status::HeadTooLarge)
        };
    };
    let (head, received) = (&bytes[..end], &bytes[end + 4..]);
    let (line, mut rest) = split(head, END_OF_LINE).unwrap_or((head, &[]));
    let (method, target, minor) = request_line(line)?;
    let mut headers = Headers::default();
    while !rest.is_empty() {
        let (line, after) = split(rest, END_OF_LINE).unwrap_or((rest, &[]));
        headers.read(line)?;
        rest = after;
    }
    let length = headers.length.unwrap_or_default();
    if length > BODY_MAX {
        return Err(Status::TooLarge);
    }
    let Some(body) = received.get(..length) else {
        return Ok(Parsed::Part { continues: headers.continues && minor > 0 && received.is_empty() });
    };
    let path = path(target)?;
    let Headers { has_flavor, is_form, .. } = headers;
    Ok(Parsed::Whole(Request { method, path, has_flavor, is_form, body }))
}

/// Reads the first line: a method, a target and a version, whose minor number is returned.
fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], u8), Status> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Status::BadRequest);
    };
    if method.is_empty()
        || !method.iter().all(u8::is_ascii_uppercase)
        || !target.iter().all(u8::is_ascii_graphic)
    {
        return Err(Status::BadRequest);
    }
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1')] => {
            Ok((method, target, minor - b'0'))
        }
        [b'H', b'T', b'T', b'P', b'/', ..] => Err(Status::OtherVersion),
        _ => Err(Status::BadRequest),
    }
}

/// Returns the path of a target, which may be a whole URL.
fn path(target: &[u8]) -> Result<Vec<u8>, Status> {
    let path = match target.strip_prefix(b"http://") {
        Some(rest) => rest.iter().position(|byte| *byte == b'/').and_then(|at| rest.get(at..)),
        None => Some(target),
    };
    let path = path.filter(|path| path.starts_with(b"/")).ok_or(Status::BadRequest)?;
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    decode(path, Plus::Itself).ok_or(Status::BadRequest)
}

/// The headers that mean something.
#[derive(Default)]
struct Headers {
    length: Option<usize>,
    continues: bool,
    has_flavor: bool,
    is_form: bool,
}

impl Headers {
    fn read(&mut self, line: &[u8]) -> Result<(), Status> {
        let (name, value) = split(line, b":").ok_or(Status::BadRequest)?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_text = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
        if name.is_empty() || !name.iter().all(is_name) || !value.iter().all(is_text) {
            return Err(Status::BadRequest);
        }
        let value = value.trim_ascii();
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"content-length") {
            let length = number(value).ok_or(Status::BadRequest)?;
            if self.length.replace(length).is_some() {
                return Err(Status::BadRequest);
            }
        } else if is(b"transfer-encoding") {
            return Err(Status::NotImplemented);
        } else if is(b"expect") {
            self.continues = value.eq_ignore_ascii_case(b"100-continue");
        } else if is(FLAVOR) {
            // appc's own client of 0.1 says "AppContainer header".
            self.has_flavor = value.starts_with(FLAVOR_OF_APPC);
        } else if is(b"content-type") {
            let media = value.split(|byte| *byte == b';').next().unwrap_or_default();
            self.is_form = media.trim_ascii().eq_ignore_ascii_case(FORM);
        }
        Ok(())
    }
}

/// Reads a number of decimal digits; one that is too large is as large as can be.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: usize, digit: &u8| number.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

/// Returns the value of a form's field (WHATWG URL, `application/x-www-form-urlencoded`).
///
/// An error is the status to answer with: the field is missing, or is there twice.
pub(super) fn field(form: &[u8], name: &[u8]) -> Result<Vec<u8>, Status> {
    let mut found = None;
    for pair in form.split(|byte| *byte == b'&') {
        let (key, value) = split(pair, b"=").unwrap_or((pair, &[]));
        if decode(key, Plus::Blank).ok_or(Status::BadRequest)? == name {
            let value = decode(value, Plus::Blank).ok_or(Status::BadRequest)?;
            if found.replace(value).is_some() {
                return Err(Status::BadRequest);
            }
        }
    }
    found.ok_or(Status::BadRequest)
}

/// The meaning of `+`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Itself,
    Blank,
}

/// Decodes `%` and two hex digits; `None` means that something else follows one.
fn decode(text: &[u8], plus: Plus) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' if plus == Plus::Blank => b' ',
            other => *other,
        });
    }
    Some(decoded)
}

/// Splits a text at the first place where `at` is.
fn split<'t>(text: &'t [u8], at: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let place = text.windows(at.len()).position(|window| window == at)?;
    Some((&text[..place], &text[place + at.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Request<'_> {
        match parse(text.as_bytes()) {
            Ok(Parsed::Whole(request)) => request,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn requests_as_clients_write_them_are_read() {
        let request =
            whole("GET /t/a%20b?q HTTP/1.1\r\nHost: x\r\nmetadata-flavor: AppContainer header\r\n\r\n");
        assert_eq!((request.method, &request.path[..]), (&b"GET"[..], &b"/t/a b"[..]));
        assert!(request.has_flavor && !request.is_form && request.body.is_empty());
        let request = whole(
            "POST http://127.0.0.1:1/x HTTP/1.0\r\ncontent-type:application/x-www-form-urlencoded; charset=x\r\n\
             CONTENT-LENGTH:  3 \r\n\r\na=b and what is not of it",
        );
        assert_eq!((&request.path[..], request.is_form, request.body), (&b"/x"[..], true, &b"a=b"[..]));
    }

    #[test]
    fn a_request_that_is_not_whole_is_waited_for() {
        let text = "POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab";
        for end in 0..text.len() {
            let continues = end == text.len() - 2;
            assert_eq!(parse(&text.as_bytes()[..end]), Ok(Parsed::Part { continues }), "{end}");
        }
        assert_eq!(whole(text).body, b"ab");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (text, status) in [
            ("GET /\r\n\r\n", Status::BadRequest),
            ("\r\nGET / HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET  / HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("get / HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1 \r\n\r\n", Status::BadRequest),
            ("GET x HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET http://x HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET /% HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET /%2 HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET /%+1 HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/2.0\r\n\r\n", Status::OtherVersion),
            ("GET / SPDY\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nA\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nA: b\0\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", Status::TooLarge),
            ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", Status::TooLarge),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Status::NotImplemented),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(status), "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(HEAD_MAX));
        assert_eq!(parse(long.as_bytes()), Err(Status::HeadTooLarge));
        assert!(matches!(parse(&long.as_bytes()[..HEAD_MAX - 1]), Ok(Parsed::Part { .. })));
    }

    #[test]
    fn fields_of_forms_are_read() {
        let form = b"a=1+2%2B3&b=&c&%64=%3d&a%26=x";
        let read = |name: &str| field(form, name.as_bytes()).map(|value| String::from_utf8(value).unwrap());
        for (name, value) in [("a", "1 2+3"), ("b", ""), ("c", ""), ("d", "="), ("a&", "x")] {
            assert_eq!(read(name), Ok(value.to_owned()));
        }
        for (form, name) in [(&b"a=1"[..], "b"), (b"a=1&a=1", "a"), (b"a=%", "a"), (b"%=1", "a"), (b"", "a")]
        {
            assert_eq!(field(form, name.as_bytes()), Err(Status::BadRequest));
        }
    }
}
