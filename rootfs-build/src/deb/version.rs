// SPDX-License-Identifier: Apache-2.0
//! The order of package versions (Debian policy, section 5.6.12). It decides which package is used if a directory holds
//! several versions.

use std::cmp::Ordering;

/// Compares two versions, `[epoch:]upstream[-revision]` each.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let split = |version| -> (u64, String, String) {
        let version: &str = version;
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.parse().unwrap_or(0), upstream.to_owned(), revision.to_owned())
    };
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0)
        .then_with(|| part(a.1.as_bytes(), b.1.as_bytes()))
        .then_with(|| part(a.2.as_bytes(), b.2.as_bytes()))
}

/// Compares one part of a version: runs of non-digits and of digits alternate, starting with non-digits.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) = (take(&mut a, false), take(&mut b, false));
        let length = text_a.len().max(text_b.len());
        for index in 0..length {
            let order = weight(text_a.get(index)).cmp(&weight(text_b.get(index)));
            if order != Ordering::Equal {
                return order;
            }
        }
        let order = number(take(&mut a, true)).cmp(&number(take(&mut b, true)));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn take<'a>(rest: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = rest.iter().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(rest.len());
    let (run, after) = rest.split_at(end);
    *rest = after;
    run
}

/// Returns a character's rank: `~` sorts before the end, the end before letters, letters before the rest.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// Returns a number's length and digits, both without leading zeros, so that numbers of any length can be compared.
fn number(digits: &[u8]) -> (usize, &[u8]) {
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    (digits.len() - start, &digits[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let table = [
            ("1", "1", Ordering::Equal),
            ("0:1-0", "1", Ordering::Equal),
            ("1.0", "1.00", Ordering::Equal),
            ("1.2", "1.10", Ordering::Less),
            ("1:0", "2", Ordering::Greater),
            ("1~rc1", "1", Ordering::Less),
            ("1~~", "1~", Ordering::Less),
            ("1", "1a", Ordering::Less),
            ("1a", "1+", Ordering::Less),
            ("252.39-1~deb12u2", "252.39-1~deb12u10", Ordering::Less),
            ("2.36-9+deb12u14", "2.36-9", Ordering::Greater),
            ("99999999999999999999999", "100000000000000000000000", Ordering::Less),
        ];
        for (a, b, expected) in table {
            assert_eq!(compare(a, b), expected, "{a} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} {a}");
        }
    }
}
