// SPDX-License-Identifier: Apache-2.0
//! Times as dates of UTC, in the Gregorian calendar.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;

/// A moment as date and time of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    /// Year, month and day.
    pub date: (u64, u64, u64),
    /// Hour, minute and second.
    pub time: (u64, u64, u64),
}

impl Utc {
    /// Returns the date and the time this many seconds after 1970 began.
    pub fn of(seconds: u64) -> Self {
        let of_day = seconds % SECONDS_A_DAY;
        Self { date: date(seconds / SECONDS_A_DAY), time: (of_day / 3600, of_day / 60 % 60, of_day % 60) }
    }
}

/// Formats a moment as RFC 3339 has it, with nanoseconds: texts of the same length, whose order is that of the moments.
pub fn stamp(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let Utc { date: (year, month, day), time: (hour, minute, second) } = Utc::of(since.as_secs());
    let nanoseconds = since.subsec_nanos();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

/// Returns the date of a day that is this many days after 1970-01-01.
///
/// Years are counted from March, so that the day that may be missing is a year's last. An era is 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_AN_ERA: u64 = 146_097;
    let since = days + 719_468;
    let (era, of_era) = (since / DAYS_AN_ERA, since % DAYS_AN_ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month < 3), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn stamps_have_nanoseconds() {
        let at = |seconds, nanoseconds| stamp(UNIX_EPOCH + Duration::new(seconds, nanoseconds));
        assert_eq!(at(1_795_932_077, 23), "2026-11-29T06:01:17.000000023Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000000000Z");
    }
}
