// SPDX-License-Identifier: Apache-2.0
//! Reads fields whose values need more than their types say.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::Result;
use crate::name::{AppName, OfVersion};

/// Reads a field's value, or its default for null.
///
/// Null means that the field is absent, whatever its type: Go's encoder, which writes most manifests, has null for an
/// empty list.
pub(super) fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a value whose names have to follow 0.8's rules.
pub(super) fn of_0_8<'de, D: Deserializer<'de>, T: Deserialize<'de> + OfVersion>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = T::deserialize(deserializer)?;
    value.check_0_8().map_err(serde::de::Error::custom)?;
    Ok(value)
}

impl<T: OfVersion> OfVersion for Option<T> {
    fn check_0_8(&self) -> Result<()> {
        self.as_ref().map_or(Ok(()), T::check_0_8)
    }
}

/// Reads a pod's apps. An error in one of them names the app.
pub(super) fn apps<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let one = |value: Value| {
        let name = value.get("name").and_then(Value::as_str).and_then(|name| AppName::of_manifest(name).ok());
        T::deserialize(value).map_err(|error| match name {
            Some(name) => format!("app {name}: {error}"),
            None => error.to_string(),
        })
    };
    let values = Vec::<Value>::deserialize(deserializer)?;
    values.into_iter().map(one).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}
