// SPDX-License-Identifier: Apache-2.0
//! Parses JSON as manifests have it: unknown fields are ignored, but a key that occurs twice in an object is an error,
//! anywhere in the document. serde alone would take the last one where it ignores the field or fills a map.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Result};
use crate::text::one_line;

/// Parses `bytes`, refusing duplicate keys. Nesting is bounded by `serde_json` (128).
///
/// # Errors
/// Fails if the bytes are not JSON or do not contain what they should; the message has line and column.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    DistinctKeys.deserialize(&mut deserializer).map_err(said)?;
    deserializer.end().map_err(said)?;
    serde_json::from_slice(bytes).map_err(said)
}

/// Puts what is wrong first, then where.
#[expect(clippy::needless_pass_by_value, reason = "as map_err has it")]
fn said(error: serde_json::Error) -> Error {
    let (place, message) = place_and_message(&error);
    let invalid = if error.is_data() { "" } else { "invalid JSON: " };
    Error::new(format!("{invalid}{} ({place})", one_line(&message)))
}

/// Returns where something is wrong, and what.
pub(crate) fn place_and_message(error: &serde_json::Error) -> (String, String) {
    let (line, column) = (error.line(), error.column());
    let mut message = error.to_string();
    if let Some(rest) = message.strip_suffix(&format!(" at line {line} column {column}")) {
        message.truncate(rest.len());
    }
    (format!("line {line}, column {column}"), message)
}

/// Walks any value and keeps nothing but the keys of the current object.
struct DistinctKeys;

impl<'de> DeserializeSeed<'de> for DistinctKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DistinctKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(DistinctKeys)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(serde::de::Error::custom(format!("duplicate key {}", crate::text::escape(&key))));
            }
            seen.insert(key);
            map.next_value_seed(DistinctKeys)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        assert!(parse::<serde_json::Value>(br#"{"a":1,"b":[{"a":1}]}"#).is_ok());
        for bad in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"a":2}]}"#, "{} {}", "{", ""] {
            assert!(parse::<serde_json::Value>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_first() {
        let said = |text: &str| parse::<Vec<u8>>(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(said("[1,\n x]"), "invalid JSON: expected value (line 2, column 2)");
        assert_eq!(said("[1,"), "invalid JSON: EOF while parsing a value (line 1, column 3)");
        assert_eq!(
            said(r#"["a"]"#),
            "invalid type: string \"a\", expected u8 (line 1, column 4)",
            "it is valid JSON"
        );
        assert_eq!(said(r#"{"a": 1, "a": 2}"#), "duplicate key \"a\" (line 1, column 12)");
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse::<serde_json::Value>("[".repeat(10_000).as_bytes()).is_err());
    }
}
