// SPDX-License-Identifier: Apache-2.0
//! Choices → manifests of a pod and its images, most of them valid.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

/// The pod's id.
pub(crate) const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
/// Texts to which something between a manifest and a program may give a meaning.
const TEXTS: &[&str] = &[
    "",
    "x",
    "/bin/sh",
    "%n%%",
    "$HOME ${X} $$",
    "end\\",
    "\"'; ",
    "\rExecStartPre=/bin/sh",
    "\n[Service]\nUser=0",
    "é\u{85}\u{2028}\u{202e}",
    "\u{1b}[2J",
    "-@/bin/sh",
    "..",
    "/../x",
];
/// Valid values, and invalid ones.
type Kind = (&'static [&'static str], &'static [&'static str]);
const NAMES: Kind =
    (&["a", "b-1", "halt", "gantry-exit", "default.target", "x.service"], &["A", "a b", "-", ""]);
/// Names that are valid only in 0.1.
const OLD_NAMES: &[&str] = &["a--b", "../b", "..", "/", "a/b", "-"];
const USERS: Kind = (&["0", "7", "65534", "root", "0day"], &["65535", "4294967295", "-1", "/bin/sh", "a:b"]);
const PATHS: Kind = (&["/", "/a", "/a b", "/%n/$x\\", "/é\n"], &["/a/../b", "a", "/a\0", ""]);
const PROGRAMS: Kind = (&["/bin/sh", "run", "/%n $x\\", "/x\rUser=0"], &["+/bin/sh", "", "bin/sh"]);
const VARIABLES: Kind = (&["A", "a.b-c", "PATH", "HOME"], &["", "A=B", "1"]);
const AMOUNTS: Kind =
    (&["1", "2", "7.000", "1Gi", "9000000000000"], &["0", "1e9", "9999999999999999999E", "-1"]);
const CAPABILITIES: Kind = (&["CAP_KILL", "CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_BPF"], &["CAP_NONE", ""]);
const STOP_MODES: Kind = (&["mixed", "all"], &["none"]);
const CALLS: Kind = (&["read", "write", "mount"], &["execve", "@appc.io/all", "none"]);

/// Manifests, and what else of an image matters to a plan.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) manifest: Value,
    /// Image manifests by id.
    pub(crate) images: Vec<(String, Value)>,
    /// The contents of every account file.
    pub(crate) accounts: Vec<u8>,
}

type Choices<'a, 'b> = &'a mut Unstructured<'b>;

/// Makes the choices.
pub(crate) fn choose(choices: Choices<'_, '_>) -> Result<Chosen> {
    let is_0_8: bool = choices.arbitrary()?;
    let (mut apps, mut images) = (Vec::new(), Vec::new());
    for number in 0..choices.int_in_range(1..=3)? {
        let shares = number > 0 && choices.ratio(1, 4)?;
        if !shares {
            images.push((format!("sha256-{number:064x}"), image(choices, is_0_8)?));
        }
        let id = &images[images.len() - 1].0;
        let mut app = match is_0_8 {
            true => json!({"image": {"id": id}, "readOnlyRootFS": choices.arbitrary::<bool>()?}),
            false => json!({"imageID": id}),
        };
        app["name"] = match choices.ratio(1, 2)? {
            true => json!(format!("app{number}")),
            false => json!(name(choices, is_0_8)?),
        };
        app["annotations"] = annotations(choices)?;
        if choices.ratio(1, 4)? {
            app["isolators"] = isolators(choices)?;
        }
        apps.push(app);
    }
    let volume = json!({"name": "v", "fulfills": ["v"], "kind": "host", "source": path(choices)?});
    let mut manifest = json!({"acVersion": "0.8.11", "uuid": ID, "apps": apps, "volumes": [volume]});
    manifest["acKind"] = json!(if is_0_8 { "PodManifest" } else { "ContainerRuntimeManifest" });
    if choices.ratio(1, 4)? {
        manifest["isolators"] = isolators(choices)?;
    }
    let accounts = match choices.ratio(1, 4)? {
        true => choices.arbitrary::<&[u8]>()?.to_vec(),
        false => b"root:x:0:0::/root:\n0day:x:7:8:::/bin/\x1b\n".to_vec(),
    };
    Ok(Chosen { manifest, images, accounts })
}

fn image(choices: Choices<'_, '_>, is_0_8: bool) -> Result<Value> {
    let mut app = Map::new();
    app.insert("exec".into(), exec(choices)?);
    app.insert("user".into(), json!(one_of(choices, USERS)?));
    app.insert("group".into(), json!(one_of(choices, USERS)?));
    if choices.arbitrary()? {
        app.insert("workingDirectory".into(), json!(path(choices)?));
    }
    // An app's own groups end before 65536.
    let groups: Vec<u32> = list(choices, |choices| Ok(choices.arbitrary::<u32>()? >> 16))?;
    app.insert("supplementaryGIDs".into(), json!(groups));
    // No image may have two variables of one name.
    let environment = list(choices, |choices| Ok((one_of(choices, VARIABLES)?, text(choices)?)))?;
    let environment: BTreeMap<_, _> = environment.into_iter().collect();
    let variables = environment.iter().map(|(name, value)| json!({"name": name, "value": value}));
    app.insert("environment".into(), variables.collect());
    let mut handlers = Vec::new();
    for name in ["pre-start", "post-stop"] {
        if choices.arbitrary()? {
            handlers.push(json!({"name": name, "exec": exec(choices)?}));
        }
    }
    app.insert("eventHandlers".into(), json!(handlers));
    app.insert("isolators".into(), isolators(choices)?);
    if choices.arbitrary()? {
        app.insert("mountPoints".into(), json!([{"name": "v", "path": format!("/m{}", path(choices)?)}]));
    }
    let ports = list(choices, |choices| {
        let (port, count) = (choices.arbitrary::<u16>()?, choices.int_in_range(0..=8)?.max(1));
        Ok(json!({"name": name(choices, is_0_8)?, "protocol": choices.choose(&["tcp", "udp"])?, "port": port,
            "count": count, "socketActivated": choices.arbitrary::<bool>()?}))
    })?;
    app.insert("ports".into(), json!(ports));
    let version = if is_0_8 { "0.8.11" } else { "0.1.1" };
    Ok(json!({"acKind": "ImageManifest", "acVersion": version, "name": "example.com/a", "app": app,
        "annotations": annotations(choices)?}))
}

/// Each isolator at most once.
fn isolators(choices: Choices<'_, '_>) -> Result<Value> {
    let mut all = Vec::new();
    let mut add = |choices: Choices<'_, '_>, name: &str, value: Value| -> Result<()> {
        if choices.ratio(1, 3)? {
            all.push(json!({"name": name, "value": value}));
        }
        Ok(())
    };
    let rule = if choices.arbitrary()? { "retain" } else { "remove" };
    let set = json!({"set": list(choices, |choices| one_of(choices, CAPABILITIES))?});
    add(choices, &format!("os/linux/capabilities-{rule}-set"), set)?;
    let errno = choices.choose(&["", "EPERM", "ENOSYS"])?;
    let mut calls = list(choices, |choices| one_of(choices, CALLS))?;
    calls.push("openat2");
    let set = json!({"set": calls, "errno": errno});
    add(choices, &format!("os/linux/seccomp-{rule}-set"), set)?;
    let switch = choices.arbitrary::<bool>()?;
    add(choices, "os/linux/no-new-privileges", json!(switch))?;
    let score = choices.int_in_range(-1000..=1001)?;
    add(choices, "os/linux/oom-score-adj", json!(score))?;
    let shares = choices.int_in_range(2..=262_150)?;
    add(choices, "os/linux/cpu-shares", json!(shares))?;
    for name in ["resource/cpu", "resource/memory"] {
        let request = if choices.ratio(1, 32)? { one_of(choices, AMOUNTS)? } else { "1" };
        let limit = one_of(choices, AMOUNTS)?;
        add(choices, name, json!({"limit": limit, "request": request}))?;
    }
    let unknown = text(choices)?;
    add(choices, "example.com/unknown", json!(unknown))?;
    Ok(json!(all))
}

fn annotations(choices: Choices<'_, '_>) -> Result<Value> {
    let restart = choices.choose(&["no", "on-failure", "always"])?;
    let annotations = [
        json!({"name": "gantry/restart", "value": restart}),
        json!({"name": "gantry/stop-mode", "value": one_of(choices, STOP_MODES)?}),
        json!({"name": "gantry/stop-timeout", "value": choices.int_in_range(1..=86_500)?.to_string()}),
        json!({"name": "authors", "value": text(choices)?}),
    ];
    let from = choices.int_in_range(0..=4)?;
    Ok(json!(annotations[from..]))
}

fn exec(choices: Choices<'_, '_>) -> Result<Value> {
    let program = one_of(choices, PROGRAMS)?;
    let words = list(choices, text)?;
    Ok(std::iter::once(program.to_owned()).chain(words).collect())
}

fn name(choices: Choices<'_, '_>, is_0_8: bool) -> Result<String> {
    if !is_0_8 && choices.ratio(1, 4)? {
        return Ok((*choices.choose(OLD_NAMES)?).to_owned());
    }
    Ok(match choices.int_in_range(0..=15)? {
        0 if choices.ratio(1, 4)? => choices.arbitrary::<&str>()?.to_owned(),
        1 => "x".repeat(choices.int_in_range(190..=201)?),
        _ => one_of(choices, NAMES)?.to_owned(),
    })
}

fn path(choices: Choices<'_, '_>) -> Result<String> {
    Ok(match choices.ratio(1, 8)? {
        true => format!("/{}", choices.arbitrary::<&str>()?),
        false => one_of(choices, PATHS)?.to_owned(),
    })
}

/// Any text; few contain NUL.
fn text(choices: Choices<'_, '_>) -> Result<String> {
    Ok(match choices.ratio(1, 8)? {
        true => choices.arbitrary::<&str>()?.to_owned(),
        false => one_of(choices, (TEXTS, &["a\0b"]))?.to_owned(),
    })
}

/// Sometimes chooses an invalid value.
fn one_of(choices: Choices<'_, '_>, (good, bad): Kind) -> Result<&'static str> {
    let from = if choices.ratio(1, 128)? { bad } else { good };
    choices.choose(from).copied()
}

/// Chooses up to three.
fn list<'b, T>(
    choices: Choices<'_, 'b>,
    mut one: impl FnMut(Choices<'_, 'b>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..choices.int_in_range(0..=3)?).map(|_| one(choices)).collect()
}
