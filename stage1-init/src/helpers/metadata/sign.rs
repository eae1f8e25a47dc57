// SPDX-License-Identifier: Apache-2.0
//! Signatures by the pod's key: HMAC (RFC 2104) with SHA-512 (FIPS 180-4), in base64 (RFC 4648, section 4).
//!
//! A signature of 0.8 is the HMAC of the content. One of 0.1 has to be verified without the content. So it consists of
//! two tags, each 16 bytes of an HMAC: one of the content, then one of the first tag. It shows that this pod has signed
//! something.

use sha2::{Digest as _, Sha512};

use crate::exchange::metadata_file::KEY;

/// The block of SHA-512.
const BLOCK: usize = 128;
/// The bytes of a tag of 0.1.
const TAG: usize = 16;
/// The keys are derived from the pod's.
const OF_0_8: &[u8] = b"appc 0.8";
const OF_CONTENT: &[u8] = b"appc 0.1, content";
const OF_TAG: &[u8] = b"appc 0.1, tag";

/// A pod's key.
pub(super) struct Key([u8; KEY]);

impl Key {
    /// Takes the bytes of a key. Returns `None` if they are no key.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the signature of a content, as 0.8 has it.
    pub(super) fn sign(&self, content: &[u8]) -> String {
        base64(&hmac(&hmac(&self.0, OF_0_8), content))
    }

    /// Tells whether a signature is of the content.
    pub(super) fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        is_same(self.sign(content).as_bytes(), signature)
    }

    /// Returns the signature of a content, as 0.1 has it.
    pub(super) fn sign_of_0_1(&self, content: &[u8]) -> String {
        let of_content = hmac(&hmac(&self.0, OF_CONTENT), content);
        self.complete(&of_content[..TAG])
    }

    /// Tells whether a signature is one of this pod's, as 0.1 asks: without the content.
    pub(super) fn verifies_of_0_1(&self, signature: &[u8]) -> bool {
        let Some(bytes) = from_base64(signature) else { return false };
        let Some(tag) = bytes.get(..TAG) else { return false };
        is_same(self.complete(tag).as_bytes(), signature)
    }

    fn complete(&self, tag: &[u8]) -> String {
        let of_tag = hmac(&hmac(&self.0, OF_TAG), tag);
        base64(&[tag, &of_tag[..TAG]].concat())
    }
}

/// Returns the HMAC of a content; the key is no longer than a block.
fn hmac(key: &[u8], content: &[u8]) -> [u8; 64] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        block.iter_mut().zip(key).for_each(|(place, byte)| *place ^= byte);
        block
    };
    let inner = Sha512::new().chain_update(pad(0x36)).chain_update(content).finalize();
    Sha512::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Compares in a time that only the lengths decide.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |bits, (one, other)| bits | (one ^ other)) == 0
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, index| bits << 8 | usize::from(part.get(index).copied().unwrap_or(0)));
        for digit in 0..4 {
            let there = digit <= part.len();
            text.push(if there { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}

/// Reads base64. Malformed text makes bytes that differ from those it is compared with, so it isn't refused here.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in text.chunks_exact(4) {
        let mut bits = 0;
        for byte in part {
            let digit = DIGITS.iter().position(|digit| digit == byte);
            bits = bits << 6 | u32::try_from(digit.or((*byte == b'=').then_some(0))?).ok()?;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn it_is_the_hmac_of_rfc_4231() {
        for (key, content, digest) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
                                                 daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                                                        9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39\
                                        bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
            ),
        ] {
            assert_eq!(hex(&hmac(key, content)), digest);
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
            let read = from_base64(text.as_bytes()).unwrap();
            assert!(read.starts_with(bytes.as_bytes()) && read[bytes.len()..].iter().all(|byte| *byte == 0));
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
        assert_eq!(from_base64(b"Zg=!"), None);
    }

    #[test]
    fn a_signature_is_verified_by_its_own_key_and_content_alone() {
        let (key, other) = (Key::new(&[1; KEY]).unwrap(), Key::new(&[2; KEY]).unwrap());
        let signature = key.sign(b"content");
        assert_eq!(signature.len(), 88);
        assert!(key.verifies(b"content", signature.as_bytes()));
        assert!(!key.verifies(b"contenu", signature.as_bytes()));
        assert!(!other.verifies(b"content", signature.as_bytes()));
        assert!(!key.verifies(b"content", &signature.as_bytes()[..87]));
        assert!(Key::new(&[1; KEY - 1]).is_none());
    }

    #[test]
    fn a_signature_of_0_1_needs_no_content() {
        let (key, other) = (Key::new(&[1; KEY]).unwrap(), Key::new(&[2; KEY]).unwrap());
        let signature = key.sign_of_0_1(b"content");
        assert_eq!(signature.len(), 44);
        assert_ne!(signature, key.sign_of_0_1(b"contenu"));
        assert!(key.verifies_of_0_1(signature.as_bytes()) && !other.verifies_of_0_1(signature.as_bytes()));
        let changed = signature.replace(&signature[..1], if signature.starts_with('A') { "B" } else { "A" });
        for bad in ["", "AAAA", &key.sign(b"content"), &changed, &format!("{signature}AAAA"), &signature[4..]]
        {
            assert!(!key.verifies_of_0_1(bad.as_bytes()), "{bad}");
        }
    }
}
