// SPDX-License-Identifier: Apache-2.0
//! Reads fields whose values need more than their types say.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::Result;
use crate::json::place_and_message;
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

/// The part of an app that tells it from others.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Reads a pod's apps. An error in one of them names the app.
///
/// They are parsed from their texts, as the whole manifest is: a second kind of deserializer would double the code
/// of all types in them, and `/init` is part of every stage1 (measured: 4 % of it).
pub(super) fn apps<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let one = |text: Box<RawValue>| {
        let text = text.get().as_bytes();
        serde_json::from_slice(text).map_err(|error| {
            let (_, error) = place_and_message(&error);
            let named = serde_json::from_slice::<Named>(text).ok();
            match named.and_then(|app| AppName::of_manifest(&app.name).ok()) {
                Some(name) => format!("app {name}: {error}"),
                None => error,
            }
        })
    };
    let texts = Vec::<Box<RawValue>>::deserialize(deserializer)?;
    texts.into_iter().map(one).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}
