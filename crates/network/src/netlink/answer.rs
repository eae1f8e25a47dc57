// SPDX-License-Identifier: Apache-2.0
//! Answers of the kernel: messages, and what is in them, read without trust in their lengths.

use rustix::io::Errno;

use super::message::HEADER;

/// `NLMSG_*`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// The bits of an attribute's kind that are no flags.
const KIND: u16 = 0x3fff;

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The end of an answer: the request has succeeded or failed.
    Done {
        /// The number of the message that this answers.
        sequence: u32,
        result: Result<(), Errno>,
    },
    /// Something that was asked for, without the message's header.
    Object(&'a [u8]),
}

/// Reads the answers in what one call received.
pub(crate) fn answers(mut bytes: &[u8]) -> Vec<Answer<'_>> {
    let mut all = Vec::new();
    while let Some(header) = bytes.get(..HEADER) {
        let length = number(header, 0).map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        let Some(body) = bytes.get(HEADER..length) else { break };
        let (kind, sequence) = (u16::from_ne_bytes([header[4], header[5]]), number(header, 8).unwrap_or(0));
        match (kind, number(body, 0)) {
            (ERROR | DONE, Some(code)) => {
                all.push(Answer::Done { sequence, result: result(code.cast_signed()) });
            }
            (ERROR | DONE, None) => all.push(Answer::Done { sequence, result: Ok(()) }),
            _ => all.push(Answer::Object(body)),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// Reads an error number, which is negative.
fn result(code: i32) -> Result<(), Errno> {
    if code < 0 { Err(Errno::from_raw_os_error(code.saturating_neg())) } else { Ok(()) }
}

/// Lists attributes, kind and value.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let [low, high, kind_low, kind_high, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let Some(value) = bytes.get(4..length) else { break };
        all.push((u16::from_ne_bytes([kind_low, kind_high]) & KIND, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// Finds an attribute's value.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).into_iter().find_map(|(other, value)| (other == kind).then_some(value))
}

/// Reads a number in the machine's byte order.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads a number in the network's byte order.
pub(crate) fn big_endian(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// Reads text up to its NUL.
pub(crate) fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let failed = Message::new(ERROR, 0, &(-17_i32).to_ne_bytes()).finish(5);
        let object = Message::new(16, 0, &[1, 2, 3, 4]).text(3, "eth0").finish(6);
        let done = Message::new(DONE, 0, &[0; 4]).finish(6);
        let all = [failed, object.clone(), done].concat();
        let expected = [
            Answer::Done { sequence: 5, result: Err(Errno::EXIST) },
            Answer::Object(&object[HEADER..]),
            Answer::Done { sequence: 6, result: Ok(()) },
        ];
        assert_eq!(answers(&all), expected);
        assert_eq!(attribute(&object[HEADER + 4..], 3).map(text).as_deref(), Some("eth0"));
    }

    #[test]
    fn lengths_that_are_wrong_end_the_reading() {
        let object = Message::new(16, 0, &[]).text(3, "eth0").finish(6);
        for length in 0..object.len() {
            assert_eq!(answers(&object[..length]), []);
        }
        for length in [0_u32, 1, 15, u32::MAX] {
            let bad = [&length.to_ne_bytes(), &object[4..]].concat();
            assert_eq!(answers(&bad), []);
        }
        assert_eq!(attributes(&[0, 0, 0, 0, 1]), []);
        assert_eq!(attributes(&[255, 255, 0, 0, 1]), []);
        assert_eq!(attributes(&[4, 0, 3, 0x80, 9]), [(3, &[][..])]);
    }
}
