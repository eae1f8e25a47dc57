// SPDX-License-Identifier: Apache-2.0
//! Numbers with their units, as a reader wants them.

/// Formats seconds with a suitable unit.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{seconds:.2} s"),
    }
}

/// Formats kilobytes of 1024 bytes, as in /proc.
pub(crate) fn mebibytes(kilobytes: u64) -> String {
    format!("{}.{} MiB", kilobytes / 1024, kilobytes % 1024 * 10 / 1024)
}
