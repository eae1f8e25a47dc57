// SPDX-License-Identifier: Apache-2.0
//! The tar stream: headers, what extends them, and the entries that they describe.

mod header;
mod pax;
mod reader;

pub use reader::{Input, Reader};
