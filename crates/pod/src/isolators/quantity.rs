// SPDX-License-Identifier: Apache-2.0
//! Amounts of a resource, as the App Container specification writes them: `128974848`, `125952Ki`, `1G`, `0.3`, `300m`.

use crate::error::{Error, Result};
use crate::text::escape;

/// An amount above zero that can be enforced, in thousandths: whole bytes and thousandths of a core are both exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u128);

/// The factors of the suffixes, in thousandths.
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
/// The most digits before and after the point: these are enough for every `u64`, and for any fraction.
const DIGITS: (usize, usize) = (20, 15);

/// The unit of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Cores of CPU time.
    ///
    /// The maximum is what systemd reads as a quota: its hundredths of a percent are an `int`
    /// (systemd.resource-control(5), `CPUQuota=`); the kernel's bound is a thousand times that.
    Core,
    /// Bytes. The maximum is what the kernel counts: below 2^63.
    Byte,
}

impl Unit {
    /// Returns the largest amount that can be enforced.
    fn most(self) -> u64 {
        match self {
            Self::Core => 214_748,
            Self::Byte => u64::MAX >> 1,
        }
    }
}

impl Quantity {
    /// Reads an amount of a unit.
    ///
    /// # Errors
    /// Fails if it is not an amount, is zero, or is more than can be enforced.
    pub fn parse(text: &str, unit: Unit) -> Result<Self> {
        let invalid = |expected: String| Error::new(format!("invalid quantity {}: {expected}", escape(text)));
        let amount = thousandths(text)
            .filter(|amount| *amount > 0)
            .ok_or_else(|| invalid("expected an amount above zero such as 500m, 0.5, 64Mi or 1G".into()))?;
        let most = unit.most();
        match u128::from(most) * 1000 {
            highest if amount <= highest => Ok(Self(amount)),
            _ => Err(invalid(format!("expected at most {most}"))),
        }
    }

    /// Returns the amount in thousandths, at most `u64::MAX` of them.
    pub fn thousandths(self) -> u64 {
        u64::try_from(self.0).unwrap_or(u64::MAX)
    }

    /// Returns the amount in whole units, rounded up.
    pub fn units(self) -> u64 {
        u64::try_from(self.0.div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

/// Parses an amount into thousandths; the result saturates far above whatever can be enforced.
fn thousandths(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, factor) = SUFFIXES.iter().find(|(name, _)| *name == suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || whole.len() > DIGITS.0 || fraction.len() > DIGITS.1 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = whole.parse::<u128>().ok()?.checked_mul(scale)? + fraction.parse::<u128>().ok()?;
    Some(scaled.saturating_mul(*factor).div_ceil(scale))
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
            let quantity = Quantity::parse(text, Unit::Byte).unwrap();
            assert_eq!((quantity.units(), quantity.thousandths()), (units, thousandths), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_enforced_is_refused() {
        for (unit, most, above) in [
            (
                Unit::Byte,
                &["9223372036854775807", "7Ei", "9.2E"][..],
                &[
                    "9223372036854775808",
                    "9223372036854775807.001",
                    "8Ei",
                    "18446744073709551615",
                    "99999999999999999999.999999999999999Ei",
                ][..],
            ),
            (Unit::Core, &["214748", "214.748k", "214748000m"], &["214748001m", "300000", "1E"]),
        ] {
            for text in most {
                assert!(Quantity::parse(text, unit).is_ok(), "{text}");
            }
            for text in above {
                let error = Quantity::parse(text, unit).expect_err(text).to_string();
                assert!(error.ends_with(&format!("expected at most {}", unit.most())), "{error}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "0",
            "0m",
            "-1",
            "1 G",
            "1g",
            "G",
            ".5",
            "1.",
            "1.2.3",
            "1e3",
            "1KiB",
            "123456789012345678901",
            "0.1234567890123456",
        ] {
            assert!(Quantity::parse(bad, Unit::Core).is_err(), "{bad:?}");
        }
    }
}
