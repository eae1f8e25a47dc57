// SPDX-License-Identifier: Apache-2.0
//! `manifest.json`: the list of images in an archive of `docker save` (moby, image/spec/spec.md).

use pod::path::RelativePath;
use pod::text::escape;
use serde::Deserialize;

use super::descriptor::or_null;
use super::document::{check_length, json};
use super::error::Error;

/// The most images that a list may have.
const IMAGES_MAX: usize = 4096;
const LAYERS_MAX: usize = 1024;

/// An image in an archive of `docker save`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedImage {
    /// The member that is its configuration.
    pub config: RelativePath,
    /// Its names.
    pub tags: Vec<String>,
    /// The members that are its layers, the lowest first.
    pub layers: Vec<RelativePath>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    config: String,
    #[serde(default, deserialize_with = "or_null")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    layers: Vec<String>,
}

impl SavedImage {
    /// Parses the list `name`. A list that is null is empty.
    ///
    /// # Errors
    /// If it is too long, or no such list.
    pub fn parse_all(name: &str, bytes: &[u8]) -> Result<Vec<Self>, Error> {
        check_length(name, bytes.len() as u64)?;
        let all: Option<Vec<Raw>> = json(name, bytes)?;
        let all = all.unwrap_or_default();
        if all.len() > IMAGES_MAX || all.iter().any(|image| image.layers.len() > LAYERS_MAX) {
            let why = format!("too many images or layers: expected at most {IMAGES_MAX} and {LAYERS_MAX}");
            return Err(Error::invalid(name, why));
        }
        all.into_iter().map(|raw| raw.typed(name)).collect()
    }
}

impl Raw {
    fn typed(self, name: &str) -> Result<SavedImage, Error> {
        let member = |text: &str| {
            let path = RelativePath::from_bytes(text.as_bytes()).map_err(|error| error.to_string());
            let named = path.and_then(|path| match path.as_bytes() {
                b"" => Err(format!("{}: expected a member's name", escape(text))),
                _ => Ok(path),
            });
            named.map_err(|why| Error::invalid(name, why))
        };
        Ok(SavedImage {
            config: member(&self.config)?,
            layers: self.layers.iter().map(|layer| member(layer)).collect::<Result<_, _>>()?,
            tags: self.repo_tags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let parse = |text: &str| SavedImage::parse_all("manifest.json", text.as_bytes());
        assert_eq!(parse("null").unwrap(), []);
        assert_eq!(parse("[]").unwrap(), []);
        let all =
            parse(r#"[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar","./b"],"Parent":"x"}]"#);
        let image = &all.unwrap()[0];
        assert_eq!((image.tags.len(), image.layers[1].as_bytes()), (0, b"b".as_slice()));
        for bad in [
            "{}",
            "[{}]",
            r#"[{"Config":""}]"#,
            r#"[{"Config":"../x"}]"#,
            r#"[{"Config":"c","Layers":["a/../../x"]}]"#,
            r#"[{"Config":"c","Config":"d"}]"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
