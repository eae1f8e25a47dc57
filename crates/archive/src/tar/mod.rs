// SPDX-License-Identifier: Apache-2.0
//! The tar stream: headers, what extends them, and the entries that they describe.

mod acl;
pub(crate) mod header;
mod pax;
mod reader;
mod sparse;

pub use reader::{Input, Reader};
