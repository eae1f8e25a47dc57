// SPDX-License-Identifier: Apache-2.0
//! The file of a pod's manifest that a person has written. Its apps may name their images where the specification has an
//! id; the pod's own manifest has ids alone.
//!
//! ```json
//! {"name": "cache", "image": {}, "annotations": [{"name": "gantry/image", "value": "docker.io/library/redis:7"}]}
//! {"name": "cache", "image": {"name": "docker.io/library/redis", "labels": [{"name": "version", "value": "7"}]}}
//! ```
//!
//! The annotation has whatever `--image` takes. An id beside it says which image that must be. Without it and without an id,
//! the name and labels mean an image that is given to the command, or else one of the store or of a registry.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use pod::id::{ImageId, TreeId};
use pod::manifest::{ImageManifest, Manifest, PodApp, PodManifest};
use pod::name::Identifier;
use pod::text::escape;
use serde_json::{Value, json};

/// The annotation that says which image an app is made of.
pub(crate) const IMAGE: &str = "gantry/image";

/// The label that is a tag where the image is one of a registry.
const VERSION: &str = "version";
/// Labels that no name of an image has. They are checked once the image is found.
const OF_PLATFORM: [&str; 2] = ["os", "arch"];

/// A pod's manifest, and what its apps say in place of ids.
#[derive(Debug)]
pub struct ManifestFile {
    /// The manifest as it becomes the pod's.
    bytes: Vec<u8>,
    /// These bytes, parsed. An image's id that isn't known yet is a placeholder, which no image has.
    manifest: PodManifest,
    /// The apps whose images are named, by their numbers.
    named: BTreeMap<usize, Named>,
}

/// How an app names its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// As `--image` does, and the id that it must have, if one is given.
    Reference(String, Option<ImageId>),
    /// By the name and the labels of its manifest.
    Called(Identifier, BTreeMap<String, String>),
}

impl ManifestFile {
    /// Parses the file's content.
    ///
    /// # Errors
    /// If it is no manifest of a pod of 0.8, or an app says nothing of its image.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self> {
        let mut document: Value = pod::json::parse(&bytes)?;
        ensure!(
            document["acKind"] != "ContainerRuntimeManifest",
            "acKind is ContainerRuntimeManifest: expected PodManifest"
        );
        let mut said = BTreeMap::new();
        for (number, app) in apps(&mut document).enumerate() {
            if let Some(found) = take(app)? {
                said.insert(number, found);
            }
        }
        if said.is_empty() {
            let manifest = of_pod(&bytes)?;
            return Ok(Self { bytes, manifest, named: BTreeMap::new() });
        }
        let bytes = document.to_string().into_bytes();
        let manifest = of_pod(&bytes)?;
        let named = said.into_iter().map(|(number, said)| {
            let app = &manifest.apps[number];
            Ok((number, said.of(app)?))
        });
        let named = named.collect::<Result<_>>()?;
        Ok(Self { bytes, manifest, named })
    }

    /// Returns the manifest.
    pub(crate) fn manifest(&self) -> &PodManifest {
        &self.manifest
    }

    /// Returns the manifest as it is written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns the apps that name their images, by their numbers.
    pub(crate) fn named(&self) -> impl Iterator<Item = (usize, &PodApp, &Named)> {
        self.named.iter().map(|(number, named)| (*number, &self.manifest.apps[*number], named))
    }

    /// Returns the ids that it gives.
    pub(crate) fn ids(&self) -> Vec<ImageId> {
        let given = |(number, app): (usize, &PodApp)| match self.named.get(&number) {
            None | Some(Named::Reference(_, Some(_))) => Some(app.image.id),
            Some(_) => None,
        };
        self.manifest.apps.iter().enumerate().filter_map(given).collect()
    }

    /// Gives apps the ids of the images that were found, and the names that these have. Their names are ids from then on.
    ///
    /// # Errors
    /// If the manifest is none any more.
    pub(crate) fn resolve(&mut self, found: &BTreeMap<usize, (ImageId, Identifier)>) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        let mut document: Value = pod::json::parse(&self.bytes)?;
        for (number, app) in apps(&mut document).enumerate() {
            let Some((id, name)) = found.get(&number) else { continue };
            app["image"]["id"] = json!(id);
            if matches!(self.named.remove(&number), Some(Named::Called(..))) {
                app["image"]["name"] = json!(name);
            }
        }
        self.bytes = document.to_string().into_bytes();
        self.manifest = of_pod(&self.bytes)?;
        Ok(())
    }
}

impl Named {
    /// Returns what is the same for apps that mean the same image: it is looked for once.
    pub(crate) fn key(&self) -> (bool, String) {
        match self {
            Self::Reference(text, _) => (true, text.clone()),
            Self::Called(name, labels) => (false, name_with(name, labels)),
        }
    }

    /// Returns what messages call it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Reference(text, _) => escape(text),
            Self::Called(name, labels) => escape(&name_with(name, labels)),
        }
    }

    /// Tells whether a name means the image with this manifest.
    pub(crate) fn is(&self, image: &ImageManifest) -> bool {
        match self {
            Self::Reference(..) => false,
            Self::Called(name, labels) => {
                *name == image.name
                    && labels.iter().all(|(label, value)| image.labels.get(label) == Some(value))
            }
        }
    }
}

/// Returns a name with labels as people write it for the store, and for a registry if there is no label but a version.
pub(crate) fn name_with(name: &Identifier, labels: &BTreeMap<String, String>) -> String {
    let mut text = name.to_string();
    let rest: Vec<_> = labels.iter().filter(|(label, _)| !OF_PLATFORM.contains(&label.as_str())).collect();
    match rest.as_slice() {
        [(label, value)] if *label == VERSION => text.extend([":", value.as_str()]),
        rest => {
            rest.iter().for_each(|(label, value)| text.extend([",", label.as_str(), "=", value.as_str()]))
        }
    }
    text
}

/// The words of an app for its image: its annotation, and whether it has an id.
struct Said {
    reference: Option<String>,
    has_id: bool,
}

impl Said {
    fn of(self, app: &PodApp) -> Result<Named> {
        let Some(reference) = self.reference else {
            let Some(name) = app.image.name.clone() else {
                bail!(
                    "app {}: its image has no id, no name and no annotation {IMAGE}: expected one of them",
                    app.name
                );
            };
            return Ok(Named::Called(name, app.image.labels.clone()));
        };
        Ok(Named::Reference(reference, self.has_id.then_some(app.image.id)))
    }
}

/// Returns the values that are the document's apps.
fn apps(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    document.get_mut("apps").and_then(Value::as_array_mut).into_iter().flatten()
}

/// Takes the annotation out of an app, and fills in an id that means nothing. `None`: the app has an id and no more.
fn take(app: &mut Value) -> Result<Option<Said>> {
    let reference = take_annotation(app)?;
    let Some(image) = app.get_mut("image").and_then(Value::as_object_mut) else { return Ok(None) };
    let has_id = image.get("id").is_some_and(|id| !id.is_null());
    if has_id && reference.is_none() {
        return Ok(None);
    }
    if !has_id {
        image.insert("id".to_owned(), json!(TreeId::of_tar([0; 32].into())));
    }
    Ok(Some(Said { reference, has_id }))
}

fn take_annotation(app: &mut Value) -> Result<Option<String>> {
    let Some(annotations) = app.get_mut("annotations") else { return Ok(None) };
    let values: Vec<Value> = match annotations {
        Value::Object(by_name) => by_name.remove(IMAGE).into_iter().collect(),
        Value::Array(pairs) => {
            let (ours, others) = std::mem::take(pairs).into_iter().partition(|pair| pair["name"] == IMAGE);
            *pairs = others;
            let ours: Vec<Value> = ours;
            ours.into_iter().map(|mut pair| pair["value"].take()).collect()
        }
        _ => Vec::new(),
    };
    match values.as_slice() {
        [] => Ok(None),
        [Value::String(reference)] => Ok(Some(reference.clone())),
        [_] => bail!("annotation {IMAGE}: expected a text: an image as --image takes it"),
        _ => bail!("two annotations {IMAGE}: expected at most one"),
    }
}

fn of_pod(bytes: &[u8]) -> Result<PodManifest> {
    match Manifest::parse(bytes)? {
        Manifest::Pod(manifest) => Ok(*manifest),
        Manifest::Runtime(_) => bail!("acKind is ContainerRuntimeManifest: expected PodManifest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(apps: &Value) -> Result<ManifestFile> {
        let document = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps, "other": 1});
        ManifestFile::parse(document.to_string().into_bytes())
    }

    fn id(byte: u8) -> ImageId {
        TreeId::of_tar([byte; 32].into()).as_image()
    }

    #[test]
    fn apps_may_name_their_images() {
        let with =
            |value: &str| json!([{"name": "gantry/image", "value": value}, {"name": "a", "value": "b"}]);
        let apps = json!([
            {"name": "by-id", "image": {"id": id(1)}},
            {"name": "by-reference", "image": {}, "annotations": with("oci:dir:1")},
            {"name": "by-both", "image": {"id": id(2)}, "annotations": {"gantry/image": "docker://a.b/c"}},
            {"name": "by-name", "image": {"name": "a.b/c", "labels": [{"name": "version", "value": "2"}]}},
        ]);
        let mut file = file(&apps).unwrap();
        assert_eq!(file.ids(), [id(1), id(2)]);
        let named: Vec<_> = file.named().map(|(number, _, named)| (number, named.clone())).collect();
        let labels = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
        assert_eq!(
            named,
            [
                (1, Named::Reference("oci:dir:1".into(), None)),
                (2, Named::Reference("docker://a.b/c".into(), Some(id(2)))),
                (3, Named::Called("a.b/c".parse().unwrap(), labels)),
            ]
        );
        assert_eq!(named[2].1.shown(), "\"a.b/c:2\"");
        let name: Identifier = "own/name".parse().unwrap();
        let found = (1..4).zip([3, 2, 4]).map(|(app, byte)| (app, (id(byte), name.clone())));
        file.resolve(&found.collect()).unwrap();
        assert_eq!(file.ids(), [id(1), id(3), id(2), id(4)]);
        let document: Value = serde_json::from_slice(&file.into_bytes()).unwrap();
        assert_eq!(document["other"], 1);
        assert_eq!(document["apps"][1]["annotations"], json!([{"name": "a", "value": "b"}]));
        assert_eq!(document["apps"][2]["annotations"], json!({}));
        assert_eq!(document["apps"][3]["image"]["name"], "own/name");
    }

    #[test]
    fn a_manifest_that_names_nothing_stays_as_it_is() {
        let text = format!(
            r#"{{"acVersion": "0.8.11",  "acKind": "PodManifest", "apps": [{{"name": "a", "image": {{"id": "{}"}}}}]}}"#,
            id(1)
        );
        assert_eq!(ManifestFile::parse(text.clone().into()).unwrap().into_bytes(), text.into_bytes());
    }

    #[test]
    fn names_have_their_labels() {
        let with = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            name_with(&"a.b/c".parse().unwrap(), &labels.collect())
        };
        assert_eq!(with(&[]), "a.b/c");
        assert_eq!(with(&[("os", "linux"), ("arch", "amd64")]), "a.b/c");
        assert_eq!(with(&[("os", "linux"), ("version", "1")]), "a.b/c:1");
        assert_eq!(with(&[("flavour", "x"), ("version", "1")]), "a.b/c,flavour=x,version=1");
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let app = |image: Value, annotations: Value| json!([{"name": "a", "image": image, "annotations": annotations}]);
        let two = json!([{"name": IMAGE, "value": "a"}, {"name": IMAGE, "value": "b"}]);
        for (apps, says) in [
            (app(json!({}), json!([])), "app a: its image has no id, no name"),
            (app(json!({"id": null}), json!(null)), "no id, no name"),
            (app(json!({"id": "x"}), json!([])), "app a"),
            (app(json!({}), two), "two annotations gantry/image"),
            (app(json!({}), json!({"gantry/image": 1})), "expected a text"),
            (json!([{"name": "a"}]), "image"),
            (app(json!({"name": "A"}), json!([])), "app a"),
        ] {
            let error = file(&apps).expect_err(says).to_string();
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
        let runtime = json!({"acKind": "ContainerRuntimeManifest", "acVersion": "0.1.1"}).to_string();
        let error = ManifestFile::parse(runtime.into_bytes()).unwrap_err().to_string();
        assert!(error.contains("expected PodManifest"), "{error}");
    }
}
