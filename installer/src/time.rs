// SPDX-License-Identifier: Apache-2.0
//! Times as people write and read them.

use std::time::Duration;

use pods::{Moment, Utc};

/// The units of a time span, with their milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SECONDS_A_DAY: u64 = 86_400;

/// Parses a time span such as `30`, `30s`, `500ms`, `5m`, `2h` or `1d`. A bare number is seconds.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "s" } else { unit };
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    let milliseconds = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(*factor));
    let expected = || "expected a number and ms, s, m, h or d, such as 30s".to_owned();
    milliseconds.map(Duration::from_millis).ok_or_else(expected)
}

/// Formats a time span in its largest unit.
pub(crate) fn age(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / SECONDS_A_DAY),
    }
}

/// Formats a moment as date and time of UTC, and says how long ago it was.
pub(crate) fn moment(moment: Moment) -> String {
    format!("{}, {} ago", utc(moment), age(moment.age()))
}

/// Formats a moment as date and time of UTC.
fn utc(moment: Moment) -> String {
    let Utc { date: (year, month, day), time: (hour, minute, second) } =
        Utc::of(moment.milliseconds() / 1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        for (text, milliseconds) in
            [("0", 0), ("30", 30_000), ("500ms", 500), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(span(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "s", "-1", "1.5s", "1w", "5 m", "99999999999999999999", "18446744073709551615d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates_are_gregorian() {
        let at = |seconds: u64| utc(Moment::from_milliseconds(seconds * 1000));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_795_932_077), "2026-11-29 06:01:17 UTC");
        assert_eq!(at(4_107_542_399), "2100-02-28 23:59:59 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }
}
