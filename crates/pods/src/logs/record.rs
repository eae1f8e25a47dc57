// SPDX-License-Identifier: Apache-2.0
//! Records of a log: `TIME STREAM P|F TEXT`, a line each. A pure function in each direction.
//!
//! `F` ends a line, `P` is a part of one that goes on in the stream's next record. A text may have any bytes but a
//! newline.

use std::fmt;

/// The longest text of a record; longer lines are several.
const TEXT_MAX: usize = 16 << 10;

/// The stream that an app has written something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its stdout.
    Out,
    /// Its stderr.
    Err,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        })
    }
}

/// Adds the records of `data`, which came at `time`, to `out`.
pub(super) fn write(out: &mut Vec<u8>, time: &str, stream: Stream, data: &[u8]) {
    let heads = ["P", "F"].map(|how| format!("{time} {stream} {how} "));
    let mut add = |text: &[u8], is_end: bool| {
        out.extend_from_slice(heads[usize::from(is_end)].as_bytes());
        out.extend_from_slice(text);
        out.push(b'\n');
    };
    let mut rest = data;
    while !rest.is_empty() {
        let within = &rest[..rest.len().min(TEXT_MAX)];
        match memchr::memchr(b'\n', within) {
            Some(end) => {
                add(&rest[..end], true);
                rest = &rest[end + 1..];
            }
            None => {
                add(within, false);
                rest = &rest[within.len()..];
            }
        }
    }
}

/// A record, as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) time: &'a str,
    pub(super) stream: Stream,
    pub(super) is_end: bool,
    pub(super) text: &'a [u8],
}

/// Reads a record, without its newline; `None` if it is damaged.
pub(super) fn read(line: &[u8]) -> Option<Record<'_>> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(words.next()?).ok()?;
    let stream = match words.next()? {
        b"stdout" => Stream::Out,
        b"stderr" => Stream::Err,
        _ => return None,
    };
    let is_end = match words.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Record { time, stream, is_end, text: words.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-29T06:01:17.000000023Z";

    fn written(data: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, TIME, Stream::Out, data);
        String::from_utf8(out).unwrap().replace(TIME, "T")
    }

    #[test]
    fn lines_are_whole_or_parts() {
        assert_eq!(written(b""), "");
        assert_eq!(written(b"a\nb c\n\n"), "T stdout F a\nT stdout F b c\nT stdout F \n");
        assert_eq!(written(b"a\nb"), "T stdout F a\nT stdout P b\n");
        let long = [vec![b'x'; TEXT_MAX + 1], b"\n".to_vec()].concat();
        let x = "x".repeat(TEXT_MAX);
        assert_eq!(written(&long), format!("T stdout P {x}\nT stdout F x\n"));
        let exact = [vec![b'x'; TEXT_MAX], b"\n".to_vec()].concat();
        assert_eq!(written(&exact), format!("T stdout P {x}\nT stdout F \n"));
    }

    #[test]
    fn what_was_written_is_read() {
        let mut out = Vec::new();
        write(&mut out, TIME, Stream::Err, b"a b\xff\npart");
        let read: Vec<_> = out
            .strip_suffix(b"\n")
            .unwrap()
            .split(|byte| *byte == b'\n')
            .map(|line| read(line).unwrap())
            .collect();
        let record = |is_end, text| Record { time: TIME, stream: Stream::Err, is_end, text };
        assert_eq!(read, [record(true, b"a b\xff".as_slice()), record(false, b"part")]);
        for bad in ["", "T", "T stdout", "T stdout F", "T other F x", "T stdout X x"] {
            assert_eq!(super::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
