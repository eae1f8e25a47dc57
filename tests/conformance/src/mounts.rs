// SPDX-License-Identifier: Apache-2.0
//! Per-mount options, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)): field 5 is the mount point, field 6 its
//! options.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::expect::Expectations;
use crate::report::{Report, each};

/// Checks `mounts`.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    report.check("mounts", &expected.mounts, |mounts| {
        each(mounts.clone(), |path| {
            let found = options(path)?;
            let wanted = &mounts[path];
            // Other options than those wanted are no difference, but they are shown with one.
            Ok(if wanted.is_subset(&found) { wanted.clone() } else { found })
        })
    });
}

fn options(path: &str) -> Result<BTreeSet<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    find(&table, path)
}

/// Returns the options of what is mounted at `path`. Of several mounts, the last is on top.
fn find(table: &str, path: &str) -> Result<BTreeSet<String>> {
    let mut points = table.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(4);
        Some((unescape(fields.next()?), fields.next()?))
    });
    let (_, options) =
        points.rfind(|(point, _)| point == path).with_context(|| format!("{path:?} is no mount point"))?;
    Ok(options.split(',').map(str::to_owned).collect())
}

/// Undoes the kernel's escapes (mangle_path): these four, in octal.
fn unescape(field: &str) -> String {
    // The backslash is last, or it would make new escapes.
    field.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\012", "\n").replace(r"\134", r"\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r"
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:2 - proc proc rw
24 23 0:21 /sys /proc/sys rw - proc proc rw
25 24 0:21 /sys /proc/sys ro,nosuid - proc proc rw
26 22 0:22 / /with\040space\134040 ro - tmpfs tmpfs rw,size=1k
";

    fn set(options: &[&str]) -> BTreeSet<String> {
        options.iter().map(|option| (*option).to_owned()).collect()
    }

    #[test]
    fn options_are_those_of_the_mount_and_not_of_its_file_system() {
        assert_eq!(find(TABLE, "/").unwrap(), set(&["rw", "relatime"]));
        assert_eq!(find(TABLE, r"/with space\040").unwrap(), set(&["ro"]));
    }

    #[test]
    fn of_mounts_at_one_path_the_last_counts() {
        assert_eq!(find(TABLE, "/proc/sys").unwrap(), set(&["ro", "nosuid"]));
    }

    #[test]
    fn a_path_within_a_mount_is_no_mount_point() {
        assert_eq!(find(TABLE, "/proc/s").unwrap_err().to_string(), r#""/proc/s" is no mount point"#);
    }
}
