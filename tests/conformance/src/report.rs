// SPDX-License-Identifier: Apache-2.0
//! Compares what was found with what was expected, and prints one line about each check. A check that fails ends
//! nothing, so that one run shows everything that is wrong.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;

/// What a check found, and what was expected, as text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) found: String,
    pub(crate) expected: String,
}

/// The result of a check.
pub(crate) type Check = Result<(), Difference>;

/// The checks of a role so far.
#[derive(Debug)]
pub(crate) struct Report {
    role: String,
    failed: bool,
}

impl Report {
    pub(crate) fn new(role: &str) -> Self {
        Self { role: role.to_owned(), failed: false }
    }

    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// Runs a check if something is expected, and prints its result. A line that can't be printed counts as a failure.
    pub(crate) fn check<T>(&mut self, name: &str, expected: &Option<T>, check: impl FnOnce(&T) -> Check) {
        let Some(expected) = expected else { return };
        let result = check(expected);
        self.failed |=
            result.is_err() | writeln!(io::stdout(), "{}", line(&self.role, name, &result)).is_err();
    }

    /// Returns `code`, by default 0, if all checks passed, and 1 otherwise.
    pub(crate) fn exit(self, code: Option<u8>) -> ExitCode {
        ExitCode::from(if self.failed { 1 } else { code.unwrap_or(0) })
    }
}

fn line(role: &str, name: &str, result: &Check) -> String {
    match result {
        Ok(()) => format!("ok {role} {name}"),
        Err(Difference { found, expected }) => {
            format!("not ok {role} {name}: found {found}, expected {expected}")
        }
    }
}

/// Compares one value. An error is a difference, too.
pub(crate) fn compare<T: Debug + PartialEq>(found: Result<T>, expected: &T) -> Check {
    match found {
        Ok(found) if found == *expected => Ok(()),
        found => Err(Difference { found: format!("{:?}", Found(found)), expected: format!("{expected:?}") }),
    }
}

/// Compares the values of all keys, and shows those that differ.
pub(crate) fn each<K: Clone + Debug + Ord, V: Debug + PartialEq>(
    expected: impl IntoIterator<Item = (K, V)>,
    look: impl Fn(&K) -> Result<V>,
) -> Check {
    let (mut different, mut wanted) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in expected {
        match look(&key) {
            Ok(found) if found == value => {}
            found => {
                different.insert(key.clone(), Found(found));
                wanted.insert(key, value);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    Err(Difference { found: format!("{different:?}"), expected: format!("{wanted:?}") })
}

/// Compares the values of all keys with one expected value.
pub(crate) fn all<'a, V: Clone + Debug + PartialEq>(
    keys: impl IntoIterator<Item = &'a String>,
    expected: &V,
    look: impl Fn(&str) -> V,
) -> Check {
    each(keys.into_iter().map(|key| (key, expected.clone())), |key| Ok(look(key)))
}

/// A value, or why there is none. Both are printed on one line.
struct Found<T>(Result<T>);

impl<T: Debug> Debug for Found<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(value) => value.fmt(formatter),
            Err(error) => write!(formatter, "error {:?}", format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_check_is_one_line() {
        assert_eq!(line("main", "user", &compare(Ok(1), &1)), "ok main user");
        let failed = compare(Ok("a\nb"), &"c");
        assert_eq!(line("main", "input", &failed), r#"not ok main input: found "a\nb", expected "c""#);
        let unknown = compare::<u32>(Err(anyhow!("two\nlines")), &1);
        assert_eq!(
            line("main", "user", &unknown),
            r#"not ok main user: found error "two\nlines", expected 1"#
        );
    }

    #[test]
    fn only_what_differs_is_shown() {
        let look = |key: &&str| if *key == "c" { Err(anyhow!("no {key}")) } else { Ok(1) };
        assert_eq!(each([("a", 1)], look), Ok(()));
        let difference = each([("a", 1), ("b", 2), ("c", 3)], look).unwrap_err();
        assert_eq!(difference.found, r#"{"b": 1, "c": error "no c"}"#);
        assert_eq!(difference.expected, r#"{"b": 2, "c": 3}"#);
    }
}
