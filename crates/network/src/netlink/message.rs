// SPDX-License-Identifier: Apache-2.0
//! Messages to the kernel: a header and nested attributes, aligned to four bytes.

/// `NLM_F_*`.
pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACKNOWLEDGE: u16 = 0x4;
pub(crate) const REPLACE: u16 = 0x100;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// The length of a message's header.
pub(crate) const HEADER: usize = 16;
/// The offset of the sequence number in the header.
const SEQUENCE: usize = 8;

/// A message that is being built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// Begins a message with the header of its family.
    pub(crate) fn new(kind: u16, flags: u16, family_header: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
        let mut message = Self(bytes);
        message.append(family_header);
        message
    }

    /// Adds an attribute.
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.attribute(kind, value.len());
        self.append(value);
        self
    }

    /// Adds text, with the NUL at its end.
    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Adds a number in the machine's byte order.
    pub(crate) fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_ne_bytes())
    }

    /// Adds a number in the network's byte order.
    pub(crate) fn big_endian(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    /// Adds an attribute that has attributes of its own.
    pub(crate) fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.0.len();
        self.attribute(kind | NESTED, 0);
        let mut filled = fill(self);
        let length = u16::try_from(filled.0.len() - start).expect("an attribute is shorter than 64 kB");
        filled.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    /// Adds the header of a family inside of an attribute.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.append(bytes);
        self
    }

    /// Adds flags to the header's.
    pub(crate) fn with_flags(mut self, flags: u16) -> Self {
        let old = u16::from_ne_bytes([self.0[6], self.0[7]]);
        self.0[6..8].copy_from_slice(&(old | flags).to_ne_bytes());
        self
    }

    /// Returns the message's bytes, with its length and a number to know its answer by.
    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("a message is shorter than 4 GB");
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[SEQUENCE..SEQUENCE + 4].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }

    fn attribute(&mut self, kind: u16, length: usize) {
        let length = u16::try_from(length + 4).expect("an attribute is shorter than 64 kB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
    }

    fn append(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_kernels_layout() {
        let message = Message::new(16, CREATE | EXCLUSIVE, &[1, 2])
            .text(3, "eth0")
            .nest(18, |message| message.number(4, 1500).big_endian(5, 2))
            .bytes(6, &[]);
        let expected = [
            &[64, 0, 0, 0, 16, 0, 0x01, 0x06, 7, 0, 0, 0, 0, 0, 0, 0][..],
            &[1, 2, 0, 0],
            &[9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0],
            &[20, 0, 18, 0x80, 8, 0, 4, 0, 0xdc, 5, 0, 0, 8, 0, 5, 0, 0, 0, 0, 2],
            &[4, 0, 6, 0],
        ];
        let mut expected = expected.concat();
        expected[0] = u8::try_from(expected.len()).unwrap();
        assert_eq!(message.finish(7), expected);
    }
}
