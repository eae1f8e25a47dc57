// SPDX-License-Identifier: Apache-2.0
//! The file: strict JSON to requirements.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pod::text::escape;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::identity::{Identity, SignedName};
use super::requirement::{Requirement, SignedBy};
use super::scope;
use crate::document::{self, Unique};
use crate::error::Error;
use crate::key::Key;

/// Requirements by transport and scope.
pub(super) type Transports = BTreeMap<String, BTreeMap<String, Vec<Requirement>>>;

/// The content of a policy.
pub(super) struct Content {
    pub(super) default: Vec<Requirement>,
    pub(super) transports: Transports,
}

/// Requirements of one scope, as they are written.
type List = Vec<Unique<Box<RawValue>>>;

/// One requirement with a signature by sigstore's tools.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Sigstore {
    #[serde(rename = "type")]
    _kind: String,
    key_path: Option<PathBuf>,
    key_paths: Option<Vec<PathBuf>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    signed_identity: Option<Unique<String>>,
    fulcio: Option<Box<RawValue>>,
    pki: Option<Box<RawValue>>,
    rekor_public_key_path: Option<PathBuf>,
    rekor_public_key_paths: Option<Vec<PathBuf>>,
    rekor_public_key_data: Option<String>,
    rekor_public_key_datas: Option<Vec<String>>,
}

/// One requirement with an OpenPGP signature: it is known, and not supported.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct OpenPgp {
    #[serde(rename = "type")]
    _kind: String,
    #[serde(rename = "keyType")]
    _key_type: String,
    #[serde(rename = "keyPath")]
    _key_path: Option<PathBuf>,
    #[serde(rename = "keyPaths")]
    _key_paths: Option<Vec<PathBuf>>,
    #[serde(rename = "keyData")]
    _key_data: Option<String>,
    #[serde(rename = "signedIdentity")]
    _signed_identity: Option<Unique<String>>,
}

/// Parses all of a policy, and reads its keys.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Content, Error> {
    let refuse = |problem: String| document::problem(path, problem);
    let top: Unique<Box<RawValue>> =
        serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    let (mut default, mut transports) = (None, BTreeMap::new());
    for (name, value) in &top.0 {
        match name.as_str() {
            "default" => {
                let list = of_json(value).and_then(|list| requirements(&list));
                default = Some(list.map_err(|problem| refuse(format!("default: {problem}")))?);
            }
            "transports" => transports = self::transports(value).map_err(refuse)?,
            other => return Err(refuse(format!("unknown field {}", escape(other)))),
        }
    }
    let default = default.ok_or_else(|| refuse("expected the field \"default\"".to_owned()))?;
    Ok(Content { default, transports })
}

/// Reads part of a document. Positions in errors are relative to the part, not to the file.
fn of_json<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|error| error.to_string())
}

fn transports(value: &RawValue) -> Result<Transports, String> {
    let all: Unique<Unique<List>> = of_json(value).map_err(|problem| format!("transports: {problem}"))?;
    let mut transports = BTreeMap::new();
    for (transport, scopes) in all.0 {
        let mut known = BTreeMap::new();
        for (name, list) in scopes.0 {
            let refuse =
                |problem: &str| format!("{}, scope {}: {problem}", escape(&transport), escape(&name));
            scope::check(&transport, &name).map_err(refuse)?;
            known.insert(name.clone(), requirements(&list).map_err(|problem| refuse(&problem))?);
        }
        transports.insert(transport, known);
    }
    Ok(transports)
}

fn requirements(list: &List) -> Result<Vec<Requirement>, String> {
    if list.is_empty() {
        return Err("expected at least one requirement".to_owned());
    }
    list.iter().map(requirement).collect()
}

fn requirement(fields: &Unique<Box<RawValue>>) -> Result<Requirement, String> {
    let kind = fields.0.get("type").ok_or("expected the field \"type\"")?;
    let kind: String = of_json(kind)?;
    let alone = |requirement| match fields.0.keys().find(|name| *name != "type") {
        Some(other) => Err(format!("{kind}: unknown field {}", escape(other))),
        None => Ok(requirement),
    };
    match kind.as_str() {
        "insecureAcceptAnything" => alone(Requirement::Accept),
        "reject" => alone(Requirement::Reject),
        "sigstoreSigned" => sigstore(again(fields)?).map_err(|problem| format!("sigstoreSigned: {problem}")),
        "signedBy" => {
            let _: OpenPgp = again(fields).map_err(|problem| format!("signedBy: {problem}"))?;
            Ok(Requirement::Unsupported("OpenPGP signatures (signedBy)"))
        }
        "signedBaseLayer" => Ok(Requirement::Unsupported("signedBaseLayer")),
        other => Err(format!("unknown type {}", escape(other))),
    }
}

/// Reads fields as a struct, now that it is known which one. So a list in place of the object, which serde would
/// accept, is refused.
fn again<T: for<'a> Deserialize<'a>>(fields: &Unique<Box<RawValue>>) -> Result<T, String> {
    let fields: Vec<_> =
        fields.0.iter().map(|(name, value)| format!("{}:{}", json(name), value.get())).collect();
    serde_json::from_str(&format!("{{{}}}", fields.join(","))).map_err(|error| error.to_string())
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn sigstore(given: Sigstore) -> Result<Requirement, String> {
    let identity = given.signed_identity.as_ref().map_or(Ok(Identity::RepositoryDigestOrExact), identity)?;
    if given.fulcio.is_some() {
        return Ok(Requirement::Unsupported("certificates of Fulcio (fulcio)"));
    }
    if given.pki.is_some() {
        return Ok(Requirement::Unsupported("certificates (pki)"));
    }
    let rekor = given.rekor_public_key_path.is_some() || given.rekor_public_key_paths.is_some();
    if rekor || given.rekor_public_key_data.is_some() || given.rekor_public_key_datas.is_some() {
        return Ok(Requirement::Unsupported("the log Rekor"));
    }
    let sources = [
        given.key_path.is_some(),
        given.key_paths.is_some(),
        given.key_data.is_some(),
        given.key_datas.is_some(),
    ];
    if sources.iter().filter(|there| **there).count() != 1 {
        return Err("expected exactly one of keyPath, keyPaths, keyData and keyDatas".to_owned());
    }
    let paths = given.key_path.into_iter().chain(given.key_paths.unwrap_or_default());
    let datas = given.key_data.into_iter().chain(given.key_datas.unwrap_or_default());
    let mut keys = Vec::new();
    for path in paths {
        let pem = document::read(&path).map_err(|error| error.to_string())?;
        let pem = pem.ok_or_else(|| format!("there is no key {}", path.display()))?;
        keys.push(Key::parse(&pem).map_err(|problem| format!("key {}: {problem}", path.display()))?);
    }
    for data in datas {
        let pem = BASE64_STANDARD.decode(data).map_err(|_| "expected keys in base64")?;
        keys.push(Key::parse(&pem)?);
    }
    if keys.is_empty() {
        return Err("expected at least one key".to_owned());
    }
    Ok(Requirement::Signed(SignedBy { keys, identity }))
}

fn identity(fields: &Unique<String>) -> Result<Identity, String> {
    let kind =
        fields.0.get("type").map(String::as_str).ok_or("signedIdentity: expected the field \"type\"")?;
    let expected: &[&str] = match kind {
        "matchExact" | "matchRepoDigestOrExact" | "matchRepository" => &[],
        "exactReference" => &["dockerReference"],
        "exactRepository" => &["dockerRepository"],
        "remapIdentity" => &["prefix", "signedPrefix"],
        other => return Err(format!("signedIdentity: unknown type {}", escape(other))),
    };
    if let Some(unknown) = fields.0.keys().find(|name| *name != "type" && !expected.contains(&name.as_str()))
    {
        return Err(format!("signedIdentity: unknown field {}", escape(unknown)));
    }
    let field = |name: &str| {
        let value = fields.0.get(name).filter(|value| !value.is_empty());
        value.cloned().ok_or_else(|| format!("signedIdentity: expected the field \"{name}\""))
    };
    let named = |name: &str| {
        let value = field(name)?;
        SignedName::parse(&value).map(|_| value)
    };
    Ok(match kind {
        "matchExact" => Identity::Exact,
        "matchRepository" => Identity::Repository,
        "exactReference" => Identity::ExactReference(named("dockerReference")?),
        "exactRepository" => Identity::ExactRepository(named("dockerRepository")?),
        "remapIdentity" => Identity::Remap { prefix: field("prefix")?, signed: field("signedPrefix")? },
        _ => Identity::RepositoryDigestOrExact,
    })
}
