// SPDX-License-Identifier: Apache-2.0
//! Reads the values of isolators: sets, texts, numbers, quantities.

use serde_json::Value;

use super::quantity::{Quantity, Unit};
use crate::error::{Error, Result};

/// Reads the texts in `{"set": […]}`.
pub(super) fn set(value: &Value) -> Result<Vec<&str>> {
    let list = value.get("set").and_then(Value::as_array);
    let texts = list.and_then(|list| list.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| Error::new("invalid value: expected an object with a \"set\" of names"))
}

pub(super) fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| Error::new("invalid value: expected text"))
}

/// Reads a number, or a text that is one, as in 0.1.
pub(super) fn number<N: TryFrom<i64>>(value: &Value, least: i64, most: i64) -> Result<N> {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    number
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| Error::new(format!("invalid value: expected a number from {least} to {most}")))
}

pub(super) fn quantity(value: &Value, unit: Unit) -> Result<Quantity> {
    match value {
        Value::Number(number) => {
            let number = number.as_u64().ok_or_else(|| {
                Error::new("invalid quantity: expected a whole number, or text such as \"0.5\"")
            })?;
            Quantity::parse(&number.to_string(), unit)
        }
        value => Quantity::parse(text(value)?, unit),
    }
}
