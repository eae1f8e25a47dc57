// SPDX-License-Identifier: Apache-2.0
//! How much a file system in memory (tmpfs(5)) holds at most: bytes of content and inodes, which are its objects.
//!
//! Both take memory, so one without the other is no limit. Neither can be unlimited.

use std::num::NonZeroU32;

use serde_json::Value;

use super::quantity::{Quantity, Unit};
use super::value::{number, quantity};
use crate::error::Result;

/// The most bytes and inodes of a file system in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    bytes: u64,
    inodes: u64,
}

/// The bytes for each inode where no number of inodes is given: one page, as in tmpfs(5).
const BYTES_PER_INODE: u64 = 4096;
/// As many are there in any case.
const INODES_LEAST: u64 = 1024;
/// More than any memory has space for, and less than the kernel refuses.
const INODES_MOST: u32 = u32::MAX;

impl Capacity {
    /// An app's /tmp.
    pub const TMP: Self = Self { bytes: 256 << 20, inodes: (256 << 20) / BYTES_PER_INODE };
    /// An app's /run.
    pub const RUN: Self = Self { bytes: 64 << 20, inodes: (64 << 20) / BYTES_PER_INODE };
    /// A pod's /dev/shm.
    pub const SHM: Self = Self { bytes: 64 << 20, inodes: (64 << 20) / BYTES_PER_INODE };

    /// Returns this capacity. Without a number of inodes, it follows from the bytes.
    pub fn new(bytes: Quantity, inodes: Option<NonZeroU32>) -> Self {
        let bytes = bytes.units();
        let usual = || (bytes / BYTES_PER_INODE).clamp(INODES_LEAST, INODES_MOST.into());
        Self { bytes, inodes: inodes.map_or_else(usual, |inodes| inodes.get().into()) }
    }

    /// Reads a size and a number of inodes of a manifest; null is the same as none.
    pub(crate) fn parse(size: &Value, inodes: Option<&Value>) -> Result<Self> {
        let inodes = inodes.filter(|inodes| !inodes.is_null());
        let inodes = inodes.map(|inodes| number(inodes, 1, INODES_MOST.into()));
        let inodes = inodes.transpose().map_err(|error| error.within("inodes"))?;
        Ok(Self::new(quantity(size, Unit::Byte)?, inodes.and_then(NonZeroU32::new)))
    }

    /// Returns how many bytes of content there may be.
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// Returns how many objects there may be, one of which is its root.
    pub fn inodes(self) -> u64 {
        self.inodes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(size: &Value, inodes: &Value) -> Result<(u64, u64)> {
        Capacity::parse(size, Some(inodes)).map(|capacity| (capacity.bytes(), capacity.inodes()))
    }

    #[test]
    fn inodes_follow_from_the_size_unless_they_are_given() {
        assert_eq!(parse(&json!("64Mi"), &Value::Null), Ok((64 << 20, 16_384)));
        assert_eq!(parse(&json!(4096), &Value::Null), Ok((4096, 1024)));
        assert_eq!(parse(&json!("7Ei"), &Value::Null), Ok((7 << 60, 4_294_967_295)));
        assert_eq!(parse(&json!("1M"), &json!(7)), Ok((1_000_000, 7)));
        assert_eq!(parse(&json!("1"), &json!("4294967295")), Ok((1, 4_294_967_295)));
        for (usual, size) in [(Capacity::SHM, "64Mi"), (Capacity::TMP, "256Mi")] {
            assert_eq!(Capacity::parse(&json!(size), None), Ok(usual));
        }
    }

    #[test]
    fn what_is_no_bound_is_refused() {
        for (size, why) in [
            (json!("0"), "expected an amount above zero"),
            (json!(0), "expected an amount above zero"),
            (json!("-1"), "expected an amount above zero"),
            (json!(-1), "expected a whole number"),
            (json!("much"), "expected an amount above zero"),
            (json!(""), "expected an amount above zero"),
            (json!("8Ei"), "expected at most 9223372036854775807"),
            (json!(true), "expected text"),
            (Value::Null, "expected text"),
        ] {
            let error = parse(&size, &Value::Null).expect_err("no size").to_string();
            assert!(error.contains(why) && !error.contains('\n'), "{size}: {error}");
        }
        for inodes in [json!(0), json!(-1), json!("many"), json!(4_294_967_296_u64)] {
            let error = parse(&json!("1M"), &inodes).expect_err("no number of inodes").to_string();
            assert!(error.contains("expected a number from 1 to 4294967295"), "{inodes}: {error}");
        }
    }
}
