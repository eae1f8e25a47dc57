// SPDX-License-Identifier: Apache-2.0
//! Documents of the host's: small files that an administrator wrote, and strict JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use crate::error::Error;

/// The largest document: what people write is a thousandth of it.
const LARGEST: u64 = 4 << 20;

/// Reads a document; `None` if there is none.
///
/// # Errors
/// Fails if it can't be read or is too large.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let fail = |source| Error::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > LARGEST {
        return Err(problem(path, format!("expected at most {LARGEST} bytes")));
    }
    Ok(Some(bytes))
}

/// Reads a document that is text; `None` if there is none.
///
/// # Errors
/// Fails if it can't be read, is too large or is no UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    let text = read(path)?.map(String::from_utf8);
    text.transpose().map_err(|_| problem(path, "expected UTF-8"))
}

/// The error that says what is wrong with a document.
pub(crate) fn problem(path: &Path, problem: impl fmt::Display) -> Error {
    Error::Document { path: path.to_owned(), problem: problem.to_string() }
}

/// A JSON object whose keys are names that its author chose. A key that is there twice is refused: which of the two is
/// meant can't be told, and other programs may choose the other one.
#[derive(Debug)]
pub(crate) struct Unique<T>(pub(crate) BTreeMap<String, T>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys(PhantomData))
    }
}

struct Keys<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
    type Value = Unique<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, T>()? {
            if all.contains_key(&key) {
                return Err(A::Error::custom(format!("{key:?} is there twice")));
            }
            all.insert(key, value);
        }
        Ok(Unique(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_twice_is_refused() {
        assert_eq!(serde_json::from_str::<Unique<u8>>(r#"{"a":1,"b":2}"#).unwrap().0.len(), 2);
        assert!(serde_json::from_str::<Unique<u8>>(r#"{"a":1,"a":2}"#).is_err());
    }

    #[test]
    fn a_document_that_is_not_there_is_none_and_a_directory_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(&directory.path().join("x")).unwrap().is_none());
        assert!(read(directory.path()).is_err());
    }
}
