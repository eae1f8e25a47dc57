// SPDX-License-Identifier: Apache-2.0
//! Reads what the kernel says about this process: `/proc/self/status` (proc_pid_status(5)) and `/proc/self/limits`. The
//! checks get values.

use std::fs;

use anyhow::{Context, Result};

use crate::expect::{Mask, Octal};

/// The width of the name in a row of `/proc/self/limits`: the kernel prints `%-25s `.
const LIMIT_NAME: usize = 26;

/// A row of `/proc/self/status`: numbers in any base.
#[derive(Debug)]
pub(crate) struct Row(String);

/// Returns the row of this name, as it is now.
///
/// # Errors
/// Fails if there is none.
pub(crate) fn row(name: &str) -> Result<Row> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    find(&status, name)
}

fn find(status: &str, name: &str) -> Result<Row> {
    let mut rows = status.lines().filter_map(|line| line.split_once(':'));
    let (_, value) =
        rows.find(|(row, _)| *row == name).with_context(|| format!("the status has no {name}"))?;
    Ok(Row(value.trim().to_owned()))
}

impl Row {
    /// Returns its decimal numbers.
    ///
    /// # Errors
    /// Fails if they are not decimal numbers.
    pub(crate) fn numbers<C: FromIterator<u32>>(&self) -> Result<C> {
        let number = |text: &str| text.parse().with_context(|| format!("{text:?} is not a number"));
        self.0.split_whitespace().map(number).collect()
    }

    /// Returns its only decimal number.
    ///
    /// # Errors
    /// Fails if it is not one decimal number.
    pub(crate) fn number(&self) -> Result<u32> {
        self.0.parse().with_context(|| format!("{:?} is not a number", self.0))
    }

    /// Returns its only octal number.
    ///
    /// # Errors
    /// Fails if it is not one octal number.
    pub(crate) fn octal(&self) -> Result<Octal> {
        Octal::try_from(self.0.clone()).map_err(anyhow::Error::msg)
    }

    /// Returns its only hexadecimal number: a set of signals or capabilities.
    ///
    /// # Errors
    /// Fails if it is not one hexadecimal number.
    pub(crate) fn mask(&self) -> Result<Mask> {
        Mask::try_from(self.0.clone()).map_err(anyhow::Error::msg)
    }
}

/// Returns the soft and hard limit of this name.
///
/// # Errors
/// Fails if there is none.
pub(crate) fn limit(name: &str) -> Result<[String; 2]> {
    let limits = fs::read_to_string("/proc/self/limits").context("cannot read /proc/self/limits")?;
    find_limit(&limits, name)
}

fn find_limit(limits: &str, name: &str) -> Result<[String; 2]> {
    let mut rows = limits.lines().filter_map(|line| line.split_at_checked(LIMIT_NAME));
    let (_, values) = rows
        .find(|(row, _)| row.trim_end() == name)
        .with_context(|| format!("there is no limit {name:?}"))?;
    let mut values = values.split_whitespace().map(str::to_owned);
    Ok([values.next().context("no soft limit")?, values.next().context("no hard limit")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tconformance\nUmask:\t0022\nUid:\t1000\t1000\t0\t1000\nGroups:\t \n\
                          SigIgn:\t0000000000001000\nNoNewPrivs:\t1\nSeccomp_filters:\t3\n";

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     \n\
Max file size             unlimited            unlimited            bytes     \n\
Max nice priority         0                    5                    \n";

    #[test]
    fn rows_are_read_as_numbers_of_their_base() {
        assert_eq!(find(STATUS, "Uid").unwrap().numbers::<Vec<_>>().unwrap(), [1000, 1000, 0, 1000]);
        assert!(find(STATUS, "Groups").unwrap().numbers::<Vec<_>>().unwrap().is_empty());
        assert_eq!(find(STATUS, "Umask").unwrap().octal().unwrap(), Octal(0o22));
        assert_eq!(find(STATUS, "SigIgn").unwrap().mask().unwrap(), Mask(0x1000));
        assert_eq!(find(STATUS, "NoNewPrivs").unwrap().number().unwrap(), 1);
    }

    #[test]
    fn a_row_that_only_starts_like_it_is_another() {
        assert_eq!(find(STATUS, "Seccomp").unwrap_err().to_string(), "the status has no Seccomp");
        assert!(find(STATUS, "Name").unwrap().number().is_err());
    }

    #[test]
    fn limits_are_found_by_their_names() {
        assert_eq!(find_limit(LIMITS, "Max file size").unwrap(), ["unlimited", "unlimited"]);
        assert_eq!(find_limit(LIMITS, "Max nice priority").unwrap(), ["0", "5"]);
        assert!(find_limit(LIMITS, "Max file").is_err());
    }
}
