// SPDX-License-Identifier: Apache-2.0
//! What prepare is given, opened and checked as far as that goes without writing anything.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use pod::digest::{self, Digest};
use pod::manifest::{Manifest, RuntimeVolume, VolumeKind};
use pod::name::VolumeName;
use pod::path::AbsolutePath;
use pod::text::{escape, escape_bytes};

use crate::in_root::read_bounded;

/// A pod's manifest may be this long.
const MANIFEST_MAX: u64 = 4 << 20;

/// `FILE[@sha256-HEX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageArgument {
    pub(crate) path: PathBuf,
    pub(crate) digest: Option<Digest>,
}

/// `NAME,kind=host,source=/PATH[,readOnly=true]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeArgument {
    name: VolumeName,
    source: AbsolutePath,
    read_only: bool,
}

/// An image's file, open.
#[derive(Debug)]
pub(crate) struct ImageInput {
    path: PathBuf,
    pub(crate) file: File,
    pub(crate) digest: Option<Digest>,
}

/// A pod's manifest, as it is and as it reads.
#[derive(Debug)]
pub(crate) struct ManifestInput {
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
}

impl ImageArgument {
    /// The digest is what follows the last `@sha256-`.
    pub(crate) fn parse(argument: &OsStr) -> Result<Self, pod::Error> {
        let mark = format!("@{}", digest::PREFIX);
        let bytes = argument.as_bytes();
        let at = bytes.windows(mark.len()).rposition(|window| window == mark.as_bytes());
        let Some(at) = at else {
            return Ok(Self { path: argument.into(), digest: None });
        };
        let digest = String::from_utf8_lossy(&bytes[at + 1..]).parse()?;
        Ok(Self { path: OsStr::from_bytes(&bytes[..at]).into(), digest: Some(digest) })
    }

    /// Opens the image.
    pub(crate) fn open(&self) -> Result<ImageInput> {
        let file = open_regular(&self.path, "image")?;
        Ok(ImageInput { path: self.path.clone(), file, digest: self.digest })
    }
}

impl ImageInput {
    /// The path, for messages.
    pub(crate) fn shown(&self) -> String {
        shown(&self.path)
    }
}

impl VolumeArgument {
    /// Parses the argument. A comma that starts no known key belongs to the value before it.
    pub(crate) fn parse(argument: &str) -> Result<Self, pod::Error> {
        let invalid = |why: &str| {
            let argument = escape(argument);
            pod::Error::new(format!(
                "{argument}: {why}: expected NAME,kind=host,source=/PATH[,readOnly=true]"
            ))
        };
        let (name, rest) = argument.split_once(',').ok_or_else(|| invalid("has no kind"))?;
        let mut values: Vec<(&str, String)> = Vec::new();
        for part in rest.split(',') {
            let key = ["kind", "source", "readOnly"]
                .into_iter()
                .find(|key| part.strip_prefix(key).is_some_and(|value| value.starts_with('=')));
            if values.iter().any(|(known, _)| Some(*known) == key) {
                return Err(invalid("says something twice"));
            }
            match (key, values.last_mut()) {
                (Some(key), _) => values.push((key, part[key.len() + 1..].to_owned())),
                (None, Some((_, value))) => *value = format!("{value},{part}"),
                (None, None) => return Err(invalid("is not understood")),
            }
        }
        let value = |key| values.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str());
        if value("kind") != Some("host") {
            return Err(invalid("is of another kind"));
        }
        Ok(Self {
            name: name.parse()?,
            source: value("source").ok_or_else(|| invalid("has no source"))?.parse()?,
            read_only: match value("readOnly") {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(invalid("has an unknown readOnly")),
            },
        })
    }

    /// As the pod's manifest has it.
    pub(crate) fn to_manifest(&self) -> RuntimeVolume {
        RuntimeVolume {
            kind: VolumeKind::Host,
            source: self.source.clone(),
            read_only: self.read_only,
            fulfills: vec![self.name.clone()],
        }
    }
}

/// Reads a pod's manifest.
pub(crate) fn open_manifest(path: &Path) -> Result<ManifestInput> {
    let file = open_regular(path, "pod manifest")?;
    let about = || format!("pod manifest {}", shown(path));
    let bytes = read_bounded(&file, MANIFEST_MAX).with_context(about)?;
    let manifest = Manifest::parse(&bytes).with_context(about)?;
    if !matches!(manifest, Manifest::Pod(_)) {
        bail!("{}: acKind is \"ContainerRuntimeManifest\": expected PodManifest", about());
    }
    Ok(ManifestInput { bytes, manifest })
}

/// The sources of a pod's volumes have to be there.
pub(crate) fn check_sources<'a>(sources: impl Iterator<Item = &'a AbsolutePath>) -> Result<()> {
    for source in sources {
        fs::metadata(source.as_str())
            .with_context(|| format!("volume source {source}: expected a file or directory of the host"))?;
    }
    Ok(())
}

/// Opens a file that is to be read more than once.
pub(crate) fn open_regular(path: &Path, what: &str) -> Result<File> {
    let about = || format!("{what} {}", shown(path));
    let file = File::open(path).with_context(|| format!("cannot open {}", about()))?;
    let is_file = file.metadata().with_context(about)?.is_file();
    ensure!(is_file, "{}: is not a regular file", about());
    Ok(file)
}

/// A path of the caller's, for messages.
pub(crate) fn shown(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_bytes())
}

/// `PATH` and then `suffix`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_arguments() {
        let hex = "ab".repeat(32);
        let parse = |text: &str| ImageArgument::parse(OsStr::new(text));
        assert_eq!(parse("a.aci").unwrap(), ImageArgument { path: "a.aci".into(), digest: None });
        let named = parse(&format!("/x@sha256-1/a.aci@sha256-{hex}")).unwrap();
        assert_eq!(named.path, PathBuf::from("/x@sha256-1/a.aci"));
        assert_eq!(named.digest.unwrap().hex(), hex);
        for bad in
            ["a@sha256-", "a@sha256-12", &format!("a@sha256-{}", hex.to_uppercase()), "a@sha256-../../x"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn volume_arguments() {
        let parse = VolumeArgument::parse;
        let volume = parse("data,kind=host,source=/a,b:c\\,readOnly=true").unwrap();
        assert_eq!(
            (volume.name.as_str(), volume.source.as_str(), volume.read_only),
            ("data", "/a,b:c\\", true)
        );
        assert!(!parse("d,source=/x,kind=host").unwrap().read_only);
        for bad in [
            "",
            "data",
            "data,",
            "data,kind=host",
            "data,kind=host,source=",
            "data,kind=host,source=x",
            "data,kind=host,source=/x/../y",
            "data,kind=empty,source=/x",
            "data,source=/x",
            "data,kind=host,source=/x,readOnly=yes",
            "data,kind=host,kind=host,source=/x",
            "DATA,kind=host,source=/x",
            "data,other=1,kind=host,source=/x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
