// SPDX-License-Identifier: Apache-2.0
//! Sizes as a command line writes them: of memory, and of file systems in memory.

use std::num::NonZeroU32;

use pod::isolators::{Capacity, Quantity, Unit};
use pod::text::escape;

use image::Invalid;

/// The suffixes of amounts of memory, with the power of 1024 that each stands for.
const MEMORY_SUFFIXES: [(&str, u32); 6] = [("", 0), ("b", 0), ("k", 1), ("m", 2), ("g", 3), ("t", 4)];

/// Parses how much a file system in memory holds: `BYTES[,inodes=N]`.
pub fn size(text: &str) -> Result<Capacity, Invalid> {
    match text.split_once(",inodes=") {
        None => sized(text, None),
        Some((size, inodes)) => sized(size, Some(inodes)),
    }
}

/// Returns how much a file system in memory holds that has these options.
pub(crate) fn capacity(size: Option<&str>, inodes: Option<&str>) -> Result<Option<Capacity>, Invalid> {
    match (size, inodes) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("inodes without a size: expected both".into()),
        (Some(size), inodes) => sized(size, inodes).map(Some),
    }
}

fn sized(size: &str, inodes: Option<&str>) -> Result<Capacity, Invalid> {
    let size = bytes(size).ok_or_else(|| {
        format!("invalid size {}: expected a number of bytes above 0, or one with k, m, g or t", escape(size))
    })?;
    let inodes = inodes.map(|inodes| {
        let invalid =
            |_| format!("invalid inodes {}: expected a number from 1 to {}", escape(inodes), u32::MAX);
        inodes.parse::<NonZeroU32>().map_err(invalid)
    });
    Ok(Capacity::new(size, inodes.transpose()?))
}

/// Parses a number of bytes, or one with b, k, m, g or t, each 1024 times the one before.
pub(crate) fn bytes(text: &str) -> Option<Quantity> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let suffix = suffix.to_ascii_lowercase();
    let short = suffix.strip_suffix("ib").or(suffix.strip_suffix('i')).unwrap_or(&suffix);
    let power = MEMORY_SUFFIXES.iter().find(|(name, _)| *name == short).map(|(_, power)| *power)?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power))?;
    Quantity::parse(&bytes.to_string(), Unit::Byte).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_bytes_and_maybe_inodes() {
        let parse = |text: &str| size(text).map(|size| (size.bytes(), size.inodes()));
        assert_eq!(parse("64m"), Ok((64 << 20, 16_384)));
        assert_eq!(parse("1g,inodes=7"), Ok((1 << 30, 7)));
        for (bad, why) in [
            ("", "expected a number of bytes above 0"),
            ("0", "expected a number of bytes above 0"),
            ("-1", "expected a number of bytes above 0"),
            ("much", "expected a number of bytes above 0"),
            ("8388608t", "expected a number of bytes above 0"),
            ("1m,inodes=0", "expected a number from 1 to 4294967295"),
            ("1m,inodes=-1", "expected a number from 1 to 4294967295"),
            ("1m,inodes=", "expected a number from 1 to 4294967295"),
            ("1m,nodes=1", "expected a number of bytes above 0"),
        ] {
            let error = size(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains('\n'), "{bad}: {error}");
        }
    }
}
