// SPDX-License-Identifier: Apache-2.0
//! Programs that an app executes: words that reach the program byte for byte.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::escape;

/// The longest argument that the kernel passes, without its NUL (linux/binfmts.h, MAX_ARG_STRLEN: 32 pages).
const ARGUMENT_MAX: usize = 32 * 4096 - 1;

/// The most bytes that the kernel passes to a program in all: a quarter of the stack's limit, which `/init` sets to 8
/// MiB for a pod's processes (execve(2), "Limits on size of arguments and environment").
const TOTAL_MAX: usize = 2 << 20;
/// Room for what the kernel adds: the program's path, and for scripts those of their interpreters with an argument
/// each.
const SUPPLIED_MAX: usize = 32 << 10;

/// One argument or environment value: any text without NUL, at most 131,071 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Word(String);

impl Word {
    /// Returns the word as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Word {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        if text.contains('\0') {
            return Err(Error::new(format!("invalid word {}: expected no NUL", escape(&text))));
        }
        if text.len() > ARGUMENT_MAX {
            return Err(Error::new(format!(
                "invalid word of {} bytes: expected at most {ARGUMENT_MAX}",
                text.len()
            )));
        }
        Ok(Self(text))
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

/// A program and its arguments. The program is a path, absolute or from the working directory, or a name without a slash
/// that is looked up in the app's PATH; `argv[0]` is the program as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Word>", try_from = "Vec<Word>")]
pub struct Exec(Vec<Word>);

impl Exec {
    /// Returns the program as written.
    pub fn program(&self) -> &str {
        self.0[0].as_str()
    }

    /// Returns the program and its arguments.
    pub fn words(&self) -> &[Word] {
        &self.0
    }
}

/// Lists the paths at which a program given by name is looked for: in every absolute directory of a PATH, in order.
pub fn search(path: &str, program: &str) -> impl Iterator<Item = String> {
    path.split(':').filter(|directory| directory.starts_with('/')).map(move |directory| {
        let directory = directory.trim_end_matches('/');
        format!("{directory}/{program}")
    })
}

impl TryFrom<Vec<Word>> for Exec {
    type Error = Error;

    fn try_from(words: Vec<Word>) -> Result<Self> {
        let program = words.first().map(Word::as_str).unwrap_or_default();
        if program.is_empty() {
            return Err(Error::new("invalid exec: expected a program"));
        }
        Ok(Self(words))
    }
}

/// Checks that the kernel accepts a program's arguments and environment together; each counts with its pointer and NUL.
///
/// # Errors
/// Fails if they are too long.
pub(crate) fn check_total(exec: &Exec, environment: &BTreeMap<&str, Cow<'_, str>>) -> Result<()> {
    let length = |(name, value): (&&str, &Cow<'_, str>)| name.len() + 1 + value.len();
    if let Some(variable) = environment.iter().find(|variable| length(*variable) > ARGUMENT_MAX) {
        return Err(Error::new(format!(
            "environment variable {} of {} bytes: expected at most {ARGUMENT_MAX}",
            escape(variable.0),
            length(variable)
        )));
    }
    let cost = |length: usize| length + 1 + size_of::<usize>();
    let words = exec.words().iter().map(|word| word.0.len());
    let total: usize = words.chain(environment.iter().map(length)).map(cost).sum();
    let most = TOTAL_MAX - SUPPLIED_MAX;
    match total {
        total if total <= most => Ok(()),
        total => Err(Error::new(format!(
            "arguments and environment of {} take {total} bytes: expected at most {most}",
            escape(exec.program())
        ))),
    }
}

impl From<Exec> for Vec<Word> {
    fn from(exec: Exec) -> Self {
        exec.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(words: &[&str]) -> Result<Exec> {
        words.iter().map(|word| Word::try_from((*word).to_owned())).collect::<Result<Vec<_>>>()?.try_into()
    }

    #[test]
    fn programs() {
        for good in [&["/bin/sh"][..], &["sh", ""], &["/a b"], &["./sh"], &["bin/sh"], &["-/bin/x"]] {
            assert!(exec(good).is_ok(), "{good:?}");
        }
        for bad in [&[][..], &[""], &["/a\0"]] {
            assert!(exec(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_are_bounded_as_the_kernel_bounds_them() {
        assert!(exec(&["/x", &"a".repeat(ARGUMENT_MAX)]).is_ok());
        assert!(exec(&["/x", &"a".repeat(ARGUMENT_MAX + 1)]).is_err());
    }
}
