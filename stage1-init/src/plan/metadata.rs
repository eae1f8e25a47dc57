// SPDX-License-Identifier: Apache-2.0
//! The pod's metadata service: what it answers, and the units that start it once an app asks.

use pod::manifest::{Noted, Presence};
use pod::name::AppName;
use pod::{App, Pod};
use serde::Serialize;

use super::unit::{Command, Unit};
use crate::exchange::metadata_file::{Document, Kind, Metadata};
use crate::load::metadata::{Access, Form};
use crate::load::{Documents, Loaded};
use crate::names;

/// The user of the service, in the pod, unless an app has it: a number that usual systems give to no user, below those
/// that mean `nobody`.
const USER: u32 = 65_533;
/// The first of the ids that no distribution gives to anybody (systemd's UIDS-GIDS.md), and how many bits of them differ
/// from pod to pod.
const ON_HOST: (u32, u32) = (0x7000_0000, 0x0fff_ffff);
/// How many descriptors the service may have: its connections, and a few more.
const DESCRIPTORS: u32 = 300;

/// Returns the metadata file.
pub(super) fn file(loaded: &Loaded, access: &Access) -> String {
    let token = match &access.form {
        Form::Token { token, .. } => Some(token.clone()),
        Form::Conventional => None,
    };
    let pod = loaded.pod.id.to_string();
    Metadata { token, documents: documents(&loaded.documents, &loaded.pod), pod }.to_text()
}

/// Returns the unit of the socket, which is active before any app.
pub(super) fn socket_unit(access: &Access) -> String {
    let unit = Unit::default()
        .section("Unit")
        .set("Description", "the pod's metadata service")
        .set("DefaultDependencies", "no")
        .set("StartLimitIntervalSec", 0)
        .set("Before", names::POD_TARGET)
        .section("Socket")
        .set("ListenStream", format_args!("127.0.0.1:{}", access.port));
    let unit = match access.form {
        // systemd may be earlier than the loopback's address.
        Form::Conventional | Form::Token { on_host: false, .. } => {
            unit.set("FreeBind", "yes").set("BindToDevice", "lo")
        }
        Form::Token { on_host: true, .. } => unit,
    };
    unit.set("TriggerLimitIntervalSec", 0).into_text()
}

/// Returns the unit of the service, which begins as the pod's root and becomes this user.
pub(super) fn service_unit(user: u32) -> String {
    Unit::default()
        .section("Unit")
        .set("Description", "the pod's metadata service")
        .set("DefaultDependencies", "no")
        .set("StartLimitIntervalSec", 0)
        .section("Service")
        .set("Type", "simple")
        .set("ExecStart", Command::new(names::METADATA_PATH, vec![user.to_string()]))
        .set("StandardInput", format_args!("file:/{}", names::METADATA_FILE))
        .set("StandardOutput", "null")
        .set("StandardError", "null")
        // The last keeps apps from looking into it while it is the pod's root (`helpers::launch`).
        .set("CapabilityBoundingSet", "CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_SYS_PTRACE")
        .set("LimitNOFILE", DESCRIPTORS)
        .set("OOMPolicy", "continue")
        .set("KillSignal", "SIGKILL")
        .into_text()
}

/// Returns what makes systemd load the socket's unit before it hands out the sockets that it was started with.
pub(super) fn loaded() -> String {
    Unit::default().section("Unit").set("Wants", names::METADATA_SOCKET).into_text()
}

/// Returns the user of the service: one of the pod's that none of these apps has, or with the host's users one that
/// nobody on the host has.
pub(super) fn user(loaded: &Loaded) -> u32 {
    let pod = &loaded.pod;
    if pod.has_hosts_users {
        let digits = pod.id.machine_id();
        let random = digits.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        return ON_HOST.0 | random.unwrap_or_default() & ON_HOST.1;
    }
    let is_taken = |user: u32| {
        let mut all = loaded.credentials.values();
        all.any(|own| own.uid == user || own.gid == user || own.supplementary.contains(&user))
    };
    (0..=USER).rev().find(|user| !is_taken(*user)).unwrap_or(USER)
}

/// Returns what is answered, by paths below `acMetadata/v1`.
fn documents(written: &Documents, pod: &Pod) -> Vec<Document> {
    let Documents { manifest, images, is_0_1 } = written;
    // What can't be read twice was refused by now.
    let noted = |text: &str| Noted::parse(text.as_bytes()).ok();
    let mut all = Vec::new();
    let mut add = |path: &str, kind, content: String| all.push(Document { path: path.into(), kind, content });
    let Some(of_pod) = noted(manifest) else { return all };
    let own = match of_pod.presence() {
        Presence::Null => "null".to_owned(),
        Presence::Absent | Presence::There => list(of_pod.own()),
    };
    add("pod/annotations", Kind::Json, own);
    add("pod/manifest", Kind::Json, whole(manifest, &of_pod, *is_0_1));
    add("pod/uuid", Kind::Text, pod.id.to_string());
    if *is_0_1 {
        add("container/manifest", Kind::Json, manifest.clone());
        add("container/uid", Kind::Text, pod.id.to_string());
        all.extend(directory("container/annotations/", of_pod.own()));
    }
    for (number, App { name, image, .. }) in pod.apps.iter().enumerate() {
        let Some(text) = images.get(image) else { continue };
        let merged = noted(text).map(|of_image| of_image.of_app(&of_pod, number)).unwrap_or_default();
        let path = |what: &str| format!("apps/{}/{what}", AppName::in_manifest(name));
        let mut add =
            |what: &str, kind, content: String| all.push(Document { path: path(what), kind, content });
        add("annotations", Kind::Json, list(&merged));
        add("image/manifest", Kind::Json, text.to_owned());
        add("image/id", Kind::Text, image.to_string());
        if *is_0_1 {
            all.extend(directory(&path("annotations/"), &merged));
        }
    }
    all
}

/// Returns annotations as 0.1 has them: a directory with a file for each, and the list of their names.
fn directory(path: &str, annotations: &[(String, String)]) -> Vec<Document> {
    let names: Vec<_> = annotations.iter().map(|(name, _)| name.as_str()).collect();
    let list = Document { path: path.into(), kind: Kind::Plain, content: names.join("\n") };
    let file = |(name, value): &(String, String)| {
        // A name with a line's end is no AC Name, and no line could have it.
        let path = (!name.contains('\n')).then(|| format!("{path}{name}"))?;
        Some(Document { path, kind: Kind::Plain, content: value.clone() })
    };
    [list].into_iter().chain(annotations.iter().filter_map(file)).collect()
}

/// Returns a pod's manifest in which all is said that `pod/annotations` answers: what reads both may compare them.
fn whole(manifest: &str, noted: &Noted, is_0_1: bool) -> String {
    match (noted.presence(), manifest.split_once('{')) {
        (Presence::Absent, Some((before, fields))) if !is_0_1 => {
            format!("{before}{{\"annotations\":[],{fields}")
        }
        _ => manifest.to_owned(),
    }
}

/// An annotation as 0.8 has it.
#[derive(Serialize)]
struct Annotation<'a> {
    name: &'a str,
    value: &'a str,
}

fn list(annotations: &[(String, String)]) -> String {
    let all: Vec<_> = annotations.iter().map(|(name, value)| Annotation { name, value }).collect();
    serde_json::to_string(&all).expect("texts make JSON")
}
