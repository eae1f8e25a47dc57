// SPDX-License-Identifier: Apache-2.0
//! Translates the name of an OCI image into one of appc, whose names have fewer characters.

use pod::blob::BlobDigest;
use pod::name::Identifier;

use crate::oci::reference::RegistryRef;

/// The number of hex digits in the name of an image without one.
const SHORT: usize = 12;

/// Returns the name of an image: its first full name without the tag, or a name of its id.
///
/// A port's colon becomes `-`, and where several of `.`, `_` and `-` stand between two words, the first is kept.
pub fn image_name(names: &[String], id: BlobDigest) -> Identifier {
    let full = names.iter().find_map(|name| identifier(name));
    let short = || format!("image-{}", &id.hex()[..SHORT]);
    full.unwrap_or_else(|| short().parse().expect("hex digits are a name"))
}

fn identifier(name: &str) -> Option<Identifier> {
    let with_host = |name: &str| RegistryRef::parse(name).ok();
    let full = with_host(name)
        .or_else(|| with_host(&format!("docker.io/{name}")).filter(|_| name.contains([':', '/'])))?;
    let text = format!("{}/{}", full.host, full.repository).to_ascii_lowercase();
    let mut plain = String::with_capacity(text.len());
    for c in text.chars().map(|c| if c == ':' { '-' } else { c }) {
        let is_between = |c: char| matches!(c, '.' | '_' | '-' | '/');
        if !(is_between(c) && (plain.is_empty() || plain.ends_with(is_between))) && !matches!(c, '[' | ']') {
            plain.push(c);
        }
    }
    plain.parse().ok()
}
