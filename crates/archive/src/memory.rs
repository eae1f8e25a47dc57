// SPDX-License-Identifier: Apache-2.0
//! The memory that decoders may use, and the error of a decoder that needs more.

use crate::error::Error;
use crate::limits::Exceeded;

/// The memory that the zstd decoder needs at most beside its window: tables, and a block of input and of output.
const ZSTD_BESIDE_WINDOW: u64 = 1 << 20;
/// The smallest and the largest window of zstd (RFC 8878, "Window Descriptor"), as log2.
const ZSTD_WINDOW_LOGS: std::ops::RangeInclusive<u32> = 10..=31;

/// The error of a decoder that stopped: the memory that it would have needed, if known, and the memory that it was
/// allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLittle {
    pub(super) needed: Option<u64>,
    pub(super) allowed: u64,
}

impl From<TooLittle> for Error {
    fn from(TooLittle { needed, allowed }: TooLittle) -> Self {
        let what = match needed {
            Some(needed) => {
                format!("decompressing takes {needed} bytes of memory: expected at most {allowed}")
            }
            None => format!("decompressing takes much memory: expected at most {allowed} bytes"),
        };
        Exceeded::raised_by("--max-decoder-memory", what).into()
    }
}

/// Returns log2 of the largest zstd window for which `memory` is enough.
pub(super) fn zstd_window_log(memory: u64) -> u32 {
    let log = memory.saturating_sub(ZSTD_BESIDE_WINDOW).max(1).ilog2();
    log.clamp(*ZSTD_WINDOW_LOGS.start(), *ZSTD_WINDOW_LOGS.end())
}

/// Returns the memory that decoding a zstd frame takes, by the first bytes of its header (RFC 8878, "Frame Header").
///
/// The header of a single-segment frame has the size of its content instead of a window.
pub(super) fn zstd_needs(head: &[u8]) -> Option<u64> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return None };
    let window = if descriptor & 0x20 == 0 {
        let (exponent, mantissa) = (rest.first()? >> 3, rest.first()? & 7);
        let base = 1_u64 << (10 + exponent);
        base + base / 8 * u64::from(mantissa)
    } else {
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let mut size = [0; 8];
        size[..length].copy_from_slice(rest.get(dictionary..dictionary + length)?);
        u64::from_le_bytes(size).saturating_add(if length == 2 { 256 } else { 0 })
    };
    Some(window.saturating_add(ZSTD_BESIDE_WINDOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        assert_eq!(zstd_window_log(34 << 20), 25);
        assert_eq!(zstd_window_log(33 << 20), 25);
        assert_eq!(zstd_window_log((33 << 20) - 1), 24);
        assert_eq!(zstd_window_log(0), 10);
        assert_eq!(zstd_window_log(u64::MAX), 31);
        let beside = |window: u64| Some(window + ZSTD_BESIDE_WINDOW);
        assert_eq!(zstd_needs(b"\x28\xb5\x2f\xfd\x00\x88"), beside(1 << 27));
        assert_eq!(zstd_needs(b"\x28\xb5\x2f\xfd\x04\x8f"), beside((1 << 27) + 7 * (1 << 24)));
        assert_eq!(zstd_needs(b"\x28\xb5\x2f\xfd\x60\x01\x02"), beside(256 + 0x201));
        assert_eq!(zstd_needs(b"\x28\xb5\x2f\xfd\xa0\0\0\0\x10"), beside(1 << 28));
        assert_eq!(zstd_needs(b"\x28\xb5\x2f\xfd\x00"), None);
        assert_eq!(zstd_needs(b"\x50\x2a\x4d\x18\0\0"), None);
    }
}
