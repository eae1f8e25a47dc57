// SPDX-License-Identifier: Apache-2.0
//! Amounts of a resource, as the App Container specification writes them: `128974848`, `125952Ki`, `1G`, `0.3`, `300m`.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::text::escape;

/// An amount above zero, in thousandths: whole bytes and thousandths of a core are both exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u128);

/// What a suffix multiplies by, in thousandths.
const SUFFIXES: [(&str, u128); 15] = [
    ("", 1000),
    ("m", 1),
    ("k", 1_000_000),
    ("K", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
];
/// So many digits on either side of the point are enough, and nothing overflows.
const DIGITS: usize = 15;

impl Quantity {
    /// The amount in thousandths, at most `u64::MAX` of them.
    pub fn thousandths(self) -> u64 {
        u64::try_from(self.0).unwrap_or(u64::MAX)
    }

    /// The amount in whole units, rounded up, at most `u64::MAX`.
    pub fn units(self) -> u64 {
        u64::try_from(self.0.div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).filter(|amount| *amount > 0).map(Self).ok_or_else(|| {
            Error::new(format!(
                "invalid quantity {}: expected an amount above zero such as 500m, 0.5, 64Mi or 1G",
                escape(text)
            ))
        })
    }
}

fn parse(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, factor) = SUFFIXES.iter().find(|(name, _)| *name == suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || whole.len() > DIGITS || fraction.len() > DIGITS {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = whole.parse::<u128>().ok()?.checked_mul(scale)? + fraction.parse::<u128>().ok()?;
    scaled.checked_mul(*factor).map(|amount| amount.div_ceil(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, units, thousandths) in [
            ("128974848", 128_974_848, 128_974_848_000),
            ("125952Ki", 128_974_848, 128_974_848_000),
            ("123Mi", 128_974_848, 128_974_848_000),
            ("1G", 1_000_000_000, 1_000_000_000_000),
            ("0.3", 1, 300),
            ("300m", 1, 300),
            ("1.5Ki", 1536, 1_536_000),
            ("1500m", 2, 1500),
            ("0.0001", 1, 1),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!((quantity.units(), quantity.thousandths()), (units, thousandths), "{text}");
        }
        assert_eq!("999999999999999Ei".parse::<Quantity>().unwrap().units(), u64::MAX);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in
            ["", "0", "0m", "-1", "1 G", "1g", "G", ".5", "1.", "1.2.3", "1e3", "1KiB", "9999999999999999"]
        {
            assert!(bad.parse::<Quantity>().is_err(), "{bad:?}");
        }
    }
}
