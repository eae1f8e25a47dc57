// SPDX-License-Identifier: Apache-2.0
//! The parts of the bench, each of which can be measured alone.

use std::str::FromStr;

use anyhow::{Error, bail};

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Cold prepares, and their memory.
    Cold,
    /// Warm prepares.
    Warm,
    /// Whole runs, many apps, many pods, steps, and the prepares that have goals.
    Start,
    /// A gigabyte through a pod.
    Stdio,
    /// Streams of TCP.
    Throughput,
    /// Cold pulls of an OCI image.
    Oci,
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "cold" => Self::Cold,
            "warm" => Self::Warm,
            "start" => Self::Start,
            "stdio" => Self::Stdio,
            "throughput" => Self::Throughput,
            "oci" => Self::Oci,
            _ => bail!("no part {name:?}: expected cold, warm, start, stdio, throughput or oci"),
        })
    }
}
