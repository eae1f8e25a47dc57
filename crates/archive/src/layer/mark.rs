// SPDX-License-Identifier: Apache-2.0
//! Marks: entries of a layer that hide objects of lower layers, told from other entries by their names.
//!
//! See the OCI image spec, layer.md, "Whiteouts". The marks come from aufs, whose own administrative files also begin
//! with `.wh..wh.` and mean nothing to anybody else.

use pod::path::RelativePath;

const PREFIX: &[u8] = b".wh.";
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The meaning of an entry's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// An object of the layer.
    Object,
    /// The object at this path, and all below it, is hidden.
    Whiteout(RelativePath),
    /// Hides what lower layers have below this directory, but not the directory itself.
    Opaque(RelativePath),
    /// A file of aufs's own, which is ignored.
    Aufs,
}

/// Why a name that looks like a mark is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMark {
    /// The whiteout's name is `.wh.` alone, or leads to the directory itself or above it.
    #[error("a whiteout of no name, . or ..: expected the name of an object")]
    OfNoObject,
    /// A directory above the entry has the name of a whiteout.
    #[error("lies below a whiteout: expected no object there")]
    Below,
}

impl Mark {
    /// Returns what an entry with this path means.
    ///
    /// # Errors
    /// If the name begins like a whiteout's, but can't hide anything.
    pub fn of(path: &RelativePath) -> Result<Self, InvalidMark> {
        let Some((parent, name)) = path.split_last() else { return Ok(Self::Object) };
        if parent.components().any(|name| name.starts_with(AUFS)) {
            return Ok(Self::Aufs);
        }
        if parent.components().any(|name| name.starts_with(PREFIX)) {
            return Err(InvalidMark::Below);
        }
        let Some(hidden) = name.as_encoded_bytes().strip_prefix(PREFIX) else { return Ok(Self::Object) };
        match hidden {
            _ if name.as_encoded_bytes() == OPAQUE => Ok(Self::Opaque(parent)),
            b"" | b"." | b".." => Err(InvalidMark::OfNoObject),
            hidden if hidden.starts_with(PREFIX) => Ok(Self::Aufs),
            hidden => {
                let path = [parent.as_bytes(), hidden].join(&b'/');
                RelativePath::from_bytes(&path).map(Self::Whiteout).map_err(|_| InvalidMark::OfNoObject)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn names() {
        for (name, mark) in [
            ("", Mark::Object),
            ("a", Mark::Object),
            ("a/b.wh.c", Mark::Object),
            (".wh", Mark::Object),
            (".whx", Mark::Object),
            (".wh.a", Mark::Whiteout(path("a"))),
            ("d/.wh.a", Mark::Whiteout(path("d/a"))),
            ("d/.wh....", Mark::Whiteout(path("d/..."))),
            ("d/.wh..a", Mark::Whiteout(path("d/.a"))),
            ("d/.wh..wh", Mark::Whiteout(path("d/.wh"))),
            (".wh..wh..opq", Mark::Opaque(path(""))),
            ("d/e/.wh..wh..opq", Mark::Opaque(path("d/e"))),
            (".wh..wh.x", Mark::Aufs),
            (".wh..wh.", Mark::Aufs),
            (".wh..wh.plnk/12.34", Mark::Aufs),
            ("d/.wh..wh.orph/.wh.x", Mark::Aufs),
            (".wh..wh..opqx", Mark::Aufs),
        ] {
            assert_eq!(Mark::of(&path(name)), Ok(mark), "{name}");
        }
    }

    #[test]
    fn whiteouts_that_hide_nothing_one_can_name_are_refused() {
        for name in [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh..."] {
            assert_eq!(Mark::of(&path(name)), Err(InvalidMark::OfNoObject), "{name}");
        }
        for name in [".wh.d/a", "a/.wh.d/.wh.x", ".wh../x"] {
            assert_eq!(Mark::of(&path(name)), Err(InvalidMark::Below), "{name}");
        }
    }
}
