// SPDX-License-Identifier: Apache-2.0
//! Encodes any bytes as one word of printable ASCII, and decodes them.

use crate::fault::{OrFault as _, Result, ensure};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `bytes` to `line`. Bytes that have a meaning in the format or aren't printable become `\` and two hex
/// digits.
pub(super) fn escape(line: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'\\' | b'=') => line.push(*byte),
            _ => line.extend([b'\\', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}

/// Decodes the bytes that [`escape`] has written.
pub(super) fn unescape(word: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, after @ ..] = rest {
        rest = match first {
            b'\\' => {
                let (digits, after) =
                    after.split_at_checked(2).or_fault(|| "expected two hex digits after \\")?;
                bytes.extend(from_hex::<1>(digits)?);
                after
            }
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    Ok(bytes)
}

/// Appends `bytes` as hex digits.
pub(super) fn to_hex(line: &mut Vec<u8>, bytes: &[u8]) {
    line.extend(bytes.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]));
}

/// Reads exactly this many bytes of lowercase hex digits.
pub(super) fn from_hex<const N: usize>(digits: &[u8]) -> Result<[u8; N]> {
    let nibble = |digit: &u8| HEX.iter().position(|hex| hex == digit).and_then(|at| u8::try_from(at).ok());
    ensure!(digits.len() == 2 * N, "expected {} hex digits", 2 * N);
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) =
            nibble(&pair[0]).zip(nibble(&pair[1])).or_fault(|| "expected lowercase hex digits")?;
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut word = Vec::new();
        escape(&mut word, &all);
        assert!(word.iter().all(|byte| (b'!'..=b'~').contains(byte)) && !word.contains(&b'='));
        assert_eq!(unescape(&word).unwrap(), all);
        for bad in [b"\\".as_slice(), b"a\\0", b"\\gg", b"\\AA"] {
            assert!(unescape(bad).is_err(), "{bad:?}");
        }
    }
}
