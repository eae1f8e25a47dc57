// SPDX-License-Identifier: Apache-2.0
//! Choices → manifests of a pod and its images, which are valid more often than not.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

/// The pod's id.
pub(crate) const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
/// Texts with what somebody between a manifest and a program may give a meaning to.
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
    "a\0b",
    "-@/bin/sh",
    "..",
    "/../x",
];
const NAMES: &[&str] = &["a", "b-1", "halt", "gantry-exit", "default.target", "x.service", "A", "a b", "-"];
const USERS: &[&str] = &["0", "7", "65534", "65535", "4294967295", "root", "0day", "-1", "/bin/sh", "a:b"];
const PATHS: &[&str] = &["/", "/a", "/a b", "/%n/$x\\", "/a/../b", "/é\n", "a", "/proc/x"];
const AMOUNTS: &[&str] =
    &["1", "100m", "0", "1Gi", "1e9", "18446744073709551615", "9999999999999999999E", "-1", "0.5"];
const SETS: &[&str] =
    &["CAP_KILL", "CAP_SYS_ADMIN", "CAP_NONE", "read", "write", "execve", "@appc.io/all", "none"];
const ISOLATORS: &[&str] = &[
    "os/linux/capabilities-retain-set",
    "os/linux/capabilities-remove-set",
    "os/linux/seccomp-retain-set",
    "os/linux/seccomp-remove-set",
    "os/linux/no-new-privileges",
    "os/linux/oom-score-adj",
    "os/linux/cpu-shares",
    "resource/cpu",
    "resource/memory",
    "capabilities/bounding-set",
    "memory/limit",
    "cpu/shares",
    "example.com/unknown",
];

/// Manifests, and what else of an image matters to a plan.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) manifest: Value,
    /// Images' manifests by id.
    pub(crate) images: Vec<(String, Value)>,
    /// What every account file says.
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
            images.push((format!("sha256-{number:064x}"), image(choices)?));
        }
        let id = &images[images.len() - 1].0;
        let mut app = match is_0_8 {
            true => json!({"image": {"id": id}, "readOnlyRootFS": choices.arbitrary::<bool>()?}),
            false => json!({"imageID": id}),
        };
        app["name"] = match choices.ratio(3, 4)? {
            true => json!(format!("app{number}")),
            false => json!(name(choices)?),
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
    if is_0_8 && choices.ratio(1, 4)? {
        manifest["isolators"] = isolators(choices)?;
    }
    let accounts = match choices.ratio(1, 4)? {
        true => choices.arbitrary::<&[u8]>()?.to_vec(),
        false => b"root:x:0:0::/root:\n0day:x:7:8:::/bin/\x1b\n".to_vec(),
    };
    Ok(Chosen { manifest, images, accounts })
}

fn image(choices: Choices<'_, '_>) -> Result<Value> {
    let mut app = Map::new();
    app.insert("exec".into(), exec(choices)?);
    app.insert("user".into(), json!(choices.choose(USERS)?));
    app.insert("group".into(), json!(choices.choose(&USERS[..6])?));
    if choices.arbitrary()? {
        app.insert("workingDirectory".into(), json!(path(choices)?));
    }
    let groups: Vec<u32> = list(choices, |choices| Ok(choices.arbitrary::<u32>()? >> 8))?;
    app.insert("supplementaryGIDs".into(), json!(groups));
    let environment = list(choices, |choices| {
        let name = choices.choose(&["A", "a.b-c", "PATH", "HOME", "", "A=B"])?;
        Ok(json!({"name": name, "value": text(choices)?}))
    })?;
    app.insert("environment".into(), json!(environment));
    let mut handlers = Vec::new();
    for name in ["pre-start", "post-stop"] {
        if choices.arbitrary()? {
            handlers.push(json!({"name": name, "exec": exec(choices)?}));
        }
    }
    app.insert("eventHandlers".into(), json!(handlers));
    app.insert("isolators".into(), isolators(choices)?);
    if choices.arbitrary()? {
        app.insert("mountPoints".into(), json!([{"name": "v", "path": path(choices)?}]));
    }
    let ports = list(choices, |choices| {
        let (port, count) = (choices.arbitrary::<u16>()?, choices.int_in_range(0..=3)?);
        Ok(json!({"name": name(choices)?, "protocol": choices.choose(&["tcp", "udp"])?, "port": port,
            "count": count, "socketActivated": choices.arbitrary::<bool>()?}))
    })?;
    app.insert("ports".into(), json!(ports));
    Ok(json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a", "app": app,
        "annotations": annotations(choices)?}))
}

fn isolators(choices: Choices<'_, '_>) -> Result<Value> {
    let isolators = list(choices, |choices| {
        let set: Vec<&&str> = list(choices, |choices| choices.choose(SETS))?;
        let value = match choices.int_in_range(0..=4)? {
            0 => json!({"set": set, "errno": choices.choose(&["", "EPERM", "ENONE"])?}),
            1 => json!({"limit": choices.choose(AMOUNTS)?, "request": choices.choose(AMOUNTS)?}),
            2 => json!(choices.arbitrary::<i32>()? >> 16),
            3 => json!(choices.arbitrary::<bool>()?),
            _ => json!(choices.choose(AMOUNTS)?),
        };
        Ok(json!({"name": choices.choose(ISOLATORS)?, "value": value}))
    })?;
    Ok(json!(isolators))
}

fn annotations(choices: Choices<'_, '_>) -> Result<Value> {
    let restart = choices.choose(&["no", "on-failure", "always", "?"])?;
    let annotations = [
        json!({"name": "gantry/restart", "value": restart}),
        json!({"name": "gantry/stop-timeout", "value": choices.arbitrary::<u16>()?.to_string()}),
        json!({"name": "authors", "value": text(choices)?}),
    ];
    let from = choices.int_in_range(0..=3)?;
    Ok(json!(annotations[from..]))
}

fn exec(choices: Choices<'_, '_>) -> Result<Value> {
    let program = choices.choose(&["/bin/sh", "run", "/%n $x\\", "+/bin/sh", ""])?;
    let words = list(choices, text)?;
    Ok(std::iter::once((*program).to_owned()).chain(words).collect())
}

fn name(choices: Choices<'_, '_>) -> Result<String> {
    Ok(match choices.int_in_range(0..=7)? {
        0 => choices.arbitrary::<&str>()?.to_owned(),
        1 => "x".repeat(choices.int_in_range(190..=260)?),
        _ => (*choices.choose(NAMES)?).to_owned(),
    })
}

fn path(choices: Choices<'_, '_>) -> Result<String> {
    Ok(match choices.ratio(1, 4)? {
        true => format!("/{}", choices.arbitrary::<&str>()?),
        false => (*choices.choose(PATHS)?).to_owned(),
    })
}

fn text(choices: Choices<'_, '_>) -> Result<String> {
    Ok(match choices.ratio(1, 4)? {
        true => choices.arbitrary::<&str>()?.to_owned(),
        false => (*choices.choose(TEXTS)?).to_owned(),
    })
}

/// Up to three of them.
fn list<'b, T>(
    choices: Choices<'_, 'b>,
    mut one: impl FnMut(Choices<'_, 'b>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..choices.int_in_range(0..=3)?).map(|_| one(choices)).collect()
}
