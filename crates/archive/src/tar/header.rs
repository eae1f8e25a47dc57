// SPDX-License-Identifier: Apache-2.0
//! Reads a tar header block: the tar crate lays out the fields, the numbers are read strictly here.
//!
//! See POSIX.1-2017, pax, "ustar Interchange Format"; base-256 numbers are as in the GNU tar manual, "Extensions to the
//! Standard Format". The tar crate's own number parser rejects negative times and reads garbage as octal digits.

use tar::Header;

use pod::text::escape_bytes;

use crate::entry::DeviceKind;
use crate::error::{Error, Result, ensure, refuse};

/// The largest device numbers of the kernel (linux/kdev_t.h): 12 bits major, 20 bits minor.
const MAJOR_MAX: i64 = (1 << 12) - 1;
const MINOR_MAX: i64 = (1 << 20) - 1;

/// Checks that the header's sum is that of its bytes, with the sum's own field taken as blanks.
pub(crate) fn check_sum(header: &Header) -> Result<()> {
    let bytes = header.as_bytes();
    let sum: i64 =
        bytes[..148].iter().chain(&bytes[156..]).map(|byte| i64::from(*byte)).sum::<i64>() + 8 * 32;
    let found = number(&header.as_old().cksum)?;
    ensure!(sum == found, "header checksum is {found}: expected {sum}");
    Ok(())
}

/// Reads the header's size field, which is never negative.
pub(super) fn size(header: &Header) -> Result<u64> {
    let size = number(&header.as_old().size)?;
    u64::try_from(size).map_err(|_| Error::Refused(format!("size is {size}: expected none below zero")))
}

/// Reads the number of an owner or group.
pub(super) fn id(field: &[u8]) -> Result<u32> {
    usable_id(number(field)?)
}

/// Accepts a number that chown(2) takes for an id.
pub(super) fn usable_id(id: i64) -> Result<u32> {
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => refuse!("owner or group is {id}: expected 0 to 4294967294"),
    }
}

/// Reads the permission bits; some writers put the file type above them.
pub(super) fn mode(header: &Header) -> Result<u32> {
    let mode = number(&header.as_old().mode)?;
    match u32::try_from(mode) {
        Ok(bits) if bits <= 0o177_777 => Ok(bits & 0o7777),
        _ => refuse!("mode is {mode:o}: expected at most 177777"),
    }
}

/// Reads a device's major and minor number.
pub(super) fn device(header: &Header, kind: DeviceKind) -> Result<(u32, u32)> {
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (number(&ustar.dev_major)?, number(&ustar.dev_minor)?),
        (_, Some(gnu)) => (number(&gnu.dev_major)?, number(&gnu.dev_minor)?),
        _ => refuse!("a device in a header without device numbers: expected a ustar header"),
    };
    let valid = (0..=MAJOR_MAX).contains(&major) && (0..=MINOR_MAX).contains(&minor);
    ensure!(valid, "device is {major}:{minor}: expected at most {MAJOR_MAX}:{MINOR_MAX}");
    let whiteout = kind == DeviceKind::Character && (major, minor) == (0, 0);
    ensure!(!whiteout, "character device 0:0: expected none, it would delete a file in an overlay");
    Ok((u32::try_from(major).map_err(Error::refused)?, u32::try_from(minor).map_err(Error::refused)?))
}

/// Reads a number in octal digits or base 256.
pub(super) fn number(field: &[u8]) -> Result<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

/// Reads a number in two's complement, big-endian; its topmost bit marks this form.
fn base_256(field: &[u8]) -> Result<i64> {
    let first = i128::from(field[0] & 0x7f);
    let start = if first & 0x40 != 0 { first - 0x80 } else { first };
    let value = field[1..].iter().fold(start, |value, byte| (value << 8) | i128::from(*byte));
    i64::try_from(value)
        .map_err(|_| Error::Refused(format!("number {value} in a header: expected at most 64 bits")))
}

/// Reads an octal number: blanks, digits, then NULs and blanks. An empty field is zero.
fn octal(field: &[u8]) -> Result<i64> {
    let start = field.iter().take_while(|byte| **byte == b' ').count();
    let digits = field[start..].iter().take_while(|byte| matches!(**byte, b'0'..=b'7')).count();
    let (digits, rest) = field[start..].split_at(digits);
    ensure!(
        rest.iter().all(|byte| matches!(*byte, b' ' | 0)),
        "number {} in a header: expected octal digits",
        pod::text::escape_bytes(field)
    );
    Ok(digits.iter().fold(0, |value, digit| value * 8 + i64::from(digit - b'0')))
}

/// Parses a number in decimal digits, as texts in archives have it.
pub(super) fn decimal(value: &[u8]) -> Result<u64> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        Error::Refused(format!("{}: expected a number in decimal digits", escape_bytes(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let table: &[(&[u8], i64)] = &[
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"0000644\0", 0o644),
            (b" 644 \0\0\0", 0o644),
            (b"77777777777\0", 0o77_777_777_777),
            (b"777777777777", 0o777_777_777_777),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", 2 << 32),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\x00", -512),
            (b"\x80\0\0\0\xff\xff\xff\xff", 0xffff_ffff),
        ];
        for (field, value) in table {
            assert_eq!(number(field).unwrap(), *value, "{field:?}");
        }
        for bad in
            [b"8\0\0\0".as_slice(), b"-1\0\0", b"1 1\0", b"1\x001\0", b"0x10", b"\x81\0\0\0\0\0\0\0\0\0\0\0"]
        {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_that_mean_unchanged_are_refused() {
        assert_eq!(usable_id(i64::from(u32::MAX) - 1).unwrap(), u32::MAX - 1);
        for bad in [-1, i64::from(u32::MAX), 1 << 32] {
            assert!(usable_id(bad).is_err(), "{bad}");
        }
    }
}
