// SPDX-License-Identifier: Apache-2.0
//! The metadata service, asked as its specifications say, with the time that appc's own validator gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::expect::{AppMetadata, Expectations, Form, PodMetadata};
use crate::report::{Report, compare, each};

/// How long an answer may take, from the connection on (the specification's ace/validator.go).
const PATIENCE: Duration = Duration::from_millis(100);
/// 0.1's address, whatever the environment says.
const CONVENTIONAL: &str = "http://169.254.169.255";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=us-ascii";
const PLAIN: &str = "text/plain; charset=utf-8";
/// The content that is signed.
const CONTENT: &str = "Old MacDonald Had A Farm, E-I-E-I-O & +=%";

/// Checks what the service answers.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    let form = expected.metadata_form.unwrap_or(Form::Own);
    report.check("metadata_form", &expected.metadata_form, |form| compare(form_of_environment(), form));
    report.check("metadata_pod", &expected.metadata_pod, |pod| compare(of_pod(form), pod));
    report.check("metadata_apps", &expected.metadata_apps, |apps| {
        each(apps.clone(), |name| of_app(form, name))
    });
    report
        .check("metadata_signature", &expected.metadata_signature, |length| compare(signature(form), length));
    report.check("metadata_refusals", &expected.metadata_refusals, |statuses| {
        each(statuses.clone(), |what| refusal(form, what))
    });
}

/// Returns the pod's id.
pub(crate) fn get_id(form: Form) -> Result<String> {
    get(form, if form == Form::Own { "pod/uuid" } else { "container/uid" }, TEXT)
}

/// Returns the form of the address that the environment has.
fn form_of_environment() -> Result<Form> {
    let url = env::var("AC_METADATA_URL").context("cannot use AC_METADATA_URL")?;
    Ok(if url == CONVENTIONAL { Form::Conventional } else { Form::Own })
}

/// Returns what is known of the pod: its id has to be the one that its host name is made of.
fn of_pod(form: Form) -> Result<PodMetadata> {
    let (manifest, id, annotations) = match form {
        Form::Own => ("pod/manifest", "pod/uuid", list(&get(form, "pod/annotations", JSON)?)?),
        Form::Conventional => ("container/manifest", "container/uid", files(form, "container/annotations/")?),
    };
    let manifest: Value = serde_json::from_str(&get(form, manifest, JSON)?)?;
    let id = get(form, id, TEXT)?;
    let hostname = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    ensure!(id.len() == 36 && hostname == format!("gantry-{}", &id[..8]), "the pod is {id} on {hostname}");
    let own = manifest["uuid"].as_str().unwrap_or(&id);
    ensure!(own == id, "the pod is {id}, its manifest says {own}");
    ensure!(
        pairs(&manifest["annotations"])? == annotations,
        "the manifest has other annotations than {annotations:?}"
    );
    let kind = manifest["acKind"].as_str().unwrap_or_default().to_owned();
    Ok(PodMetadata { kind, annotations })
}

/// Returns what is known of an app. Its image's id has to be the one that the pod's manifest has.
fn of_app(form: Form, name: &str) -> Result<AppMetadata> {
    let manifest = if form == Form::Own { "pod/manifest" } else { "container/manifest" };
    let pod: Value = serde_json::from_str(&get(form, manifest, JSON)?)?;
    let app = pod["apps"].as_array().and_then(|apps| apps.iter().find(|app| app["name"] == name));
    let app = app.with_context(|| format!("the pod has no app {name}"))?;
    let id = get(form, &format!("apps/{name}/image/id"), TEXT)?;
    let named = app["image"]["id"].as_str().or(app["imageID"].as_str()).unwrap_or_default();
    ensure!(named == id, "image {id}, the pod's manifest says {named}");
    let image: Value = serde_json::from_str(&get(form, &format!("apps/{name}/image/manifest"), JSON)?)?;
    let annotations = match form {
        Form::Own => list(&get(form, &format!("apps/{name}/annotations"), JSON)?)?,
        Form::Conventional => files(form, &format!("apps/{name}/annotations/"))?,
    };
    let (algorithm, _) = id.split_once('-').context("no algorithm in the id")?;
    let image = image["name"].as_str().unwrap_or_default().to_owned();
    Ok(AppMetadata { image, algorithm: algorithm.to_owned(), annotations })
}

/// Signs, and checks that the signature holds, for this pod and this content alone. Returns the signature's length.
fn signature(form: Form) -> Result<usize> {
    let (base, id) = match form {
        Form::Own => ("pod/hmac", get(form, "pod/uuid", TEXT)?),
        Form::Conventional => ("container/hmac", get(form, "container/uid", TEXT)?),
    };
    let (sign, verify) = (format!("{base}/sign"), format!("{base}/verify"));
    let answer = match form {
        Form::Own => post(form, &sign, &[("content", CONTENT)])?,
        Form::Conventional => ask(form, "POST", &sign, Some(("text/plain", CONTENT)))?,
    };
    let signature = answer.of_type(TEXT)?;
    let other = format!("{}{}", if id.starts_with('0') { '1' } else { '0' }, &id[1..]);
    let changed = format!("{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    let status = |content: &str, id: &str, signature: &str| -> Result<u16> {
        let fields = match form {
            Form::Own => vec![("content", content), ("uuid", id), ("signature", signature)],
            Form::Conventional => vec![("uid", id), ("signature", signature)],
        };
        Ok(post(form, &verify, &fields)?.status)
    };
    ensure!(status(CONTENT, &id, &signature)? == 200, "its own signature doesn't hold");
    ensure!(status(CONTENT, &other, &signature)? == 403, "the signature holds for another pod");
    ensure!(status(CONTENT, &id, &changed)? == 403, "a changed signature holds");
    ensure!(
        form == Form::Conventional || status("other", &id, &signature)? == 403,
        "it holds for another content"
    );
    Ok(signature.trim_end_matches('=').len() * 3 / 4)
}

/// Asks for what is refused, and returns the status.
fn refusal(form: Form, what: &str) -> Result<u16> {
    let app = env::var("AC_APP_NAME").context("cannot use AC_APP_NAME")?;
    let of_pod = if form == Form::Own { "pod" } else { "container" };
    let answer = match what {
        "token" => {
            let url = env::var("AC_METADATA_URL").context("cannot use AC_METADATA_URL")?;
            let (base, token) = url.rsplit_once('/').context("no token in AC_METADATA_URL")?;
            let other: String = token.chars().rev().collect();
            at(&format!("{base}/{other}"), "GET", "pod/uuid", None)?
        }
        "no-token" => {
            let url = env::var("AC_METADATA_URL").context("cannot use AC_METADATA_URL")?;
            let (base, _) = url.rsplit_once('/').context("no token in AC_METADATA_URL")?;
            at(base, "GET", "pod/uuid", None)?
        }
        "app" => ask(form, "GET", &format!("apps/{app}x/image/id"), None)?,
        "entry" => ask(form, "GET", &format!("{of_pod}/nothing"), None)?,
        "method" => ask(form, "DELETE", &format!("{of_pod}/manifest"), None)?,
        "sign-by-get" => ask(form, "GET", &format!("{of_pod}/hmac/sign"), None)?,
        "field" => post(form, &format!("{of_pod}/hmac/verify"), &[("content", "x")])?,
        other => anyhow::bail!("{other:?} is no request known here"),
    };
    Ok(answer.status)
}

/// An answer.
struct Answer {
    status: u16,
    media: String,
    body: String,
}

impl Answer {
    /// Returns the body of an answer that is good and of this type.
    fn of_type(self, media: &str) -> Result<String> {
        ensure!(self.status == 200, "status {}", self.status);
        ensure!(self.media == media, "it is {:?}, expected {media:?}", self.media);
        Ok(self.body)
    }
}

fn get(form: Form, path: &str, media: &str) -> Result<String> {
    ask(form, "GET", path, None)?.of_type(media).with_context(|| path.to_owned())
}

fn post(form: Form, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    ask(form, "POST", path, Some(("application/x-www-form-urlencoded", &fields.join("&"))))
}

fn ask(form: Form, method: &str, path: &str, body: Option<(&str, &str)>) -> Result<Answer> {
    let url = match form {
        Form::Own => env::var("AC_METADATA_URL").context("cannot use AC_METADATA_URL")?,
        Form::Conventional => CONVENTIONAL.to_owned(),
    };
    at(&url, method, path, body)
}

fn at(url: &str, method: &str, path: &str, body: Option<(&str, &str)>) -> Result<Answer> {
    let until = Instant::now() + PATIENCE;
    let left = || until.checked_duration_since(Instant::now()).context("it takes too long");
    let rest = url.strip_prefix("http://").context("AC_METADATA_URL is no URL of HTTP")?;
    let (host, before) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address: SocketAddr = address.parse().with_context(|| format!("{address} is no address"))?;
    let mut stream =
        TcpStream::connect_timeout(&address, left()?).with_context(|| format!("connect to {host}"))?;
    let mut request = format!(
        "{method} {before}/acMetadata/v1/{path} HTTP/1.1\r\nHost: {host}\r\nMetadata-Flavor: AppContainer\r\n"
    );
    if let Some((media, body)) = body {
        request.push_str(&format!("Content-Type: {media}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    } else {
        request.push_str("\r\n");
    }
    stream.write_all(request.as_bytes()).context("cannot send")?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part).with_context(|| format!("no answer about {path}"))? {
            0 => break,
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
    let text = String::from_utf8(bytes).context("the answer is not UTF-8")?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no end of its headers")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let header =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    ensure!(header("Content-Length: ") == body.len().to_string(), "the answer is not whole");
    Ok(Answer { status, media: header("Content-Type: "), body: body.to_owned() })
}

/// Reads 0.8's list of annotations.
fn list(text: &str) -> Result<BTreeMap<String, String>> {
    let list: Value = serde_json::from_str(text)?;
    ensure!(list.is_array(), "{list} is no list");
    pairs(&list)
}

/// Returns the names and values of a list or a map; nothing is none.
fn pairs(value: &Value) -> Result<BTreeMap<String, String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a name or a value is no text");
    match value {
        Value::Array(list) => {
            list.iter().map(|pair| Ok((text(&pair["name"])?, text(&pair["value"])?))).collect()
        }
        Value::Object(map) => map.iter().map(|(name, value)| Ok((name.clone(), text(value)?))).collect(),
        _ => Ok(BTreeMap::new()),
    }
}

/// Reads 0.1's directory of annotations: a list of names, and a file for each.
fn files(form: Form, path: &str) -> Result<BTreeMap<String, String>> {
    let names = get(form, path, PLAIN)?;
    let names: BTreeSet<_> = names.split('\n').filter(|name| !name.is_empty()).collect();
    names.into_iter().map(|name| Ok((name.to_owned(), get(form, &format!("{path}{name}"), PLAIN)?))).collect()
}
