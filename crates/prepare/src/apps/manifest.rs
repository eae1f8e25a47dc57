// SPDX-License-Identifier: Apache-2.0
//! Writes the manifest of a pod that a command line describes: a PodManifest of appc 0.8.
//!
//! An app that is given another program, environment, user or limit is in the manifest as a whole: an app of a pod
//! manifest replaces the image's.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};
use pod::id::ImageId;
use pod::isolators::{CapabilitySet, Capacity};
use pod::manifest::annotations::{GROUPS, HOME, RESTART, STOP_SIGNAL, STOP_TIMEOUT, USERS};
use pod::manifest::{AcVersion, AppSpec, HOST_NAME, RuntimeVolume, Volume};
use pod::name::{AppName, Identifier};
use pod::network::Published;
use serde_json::{Map, Value, json};

use super::settings::{AppMount, AppOptions, Capabilities, MountSource, PodSettings};
use crate::volume_argument::VolumeArgument;

/// The isolators that `--cap-add` and `--cap-drop` replace.
const CAPABILITIES: [&str; 3] =
    ["os/linux/capabilities-retain-set", "os/linux/capabilities-remove-set", "capabilities/bounding-set"];
const CPU: &str = "resource/cpu";
const MEMORY: [&str; 2] = ["resource/memory", "memory/limit"];
const TASKS: &str = "resource/tasks";
const TMP: &str = "resource/tmp";
const SHM: &str = "resource/shm";

/// An app of the pod.
#[derive(Debug)]
pub(crate) struct Described<'a> {
    pub(crate) name: AppName,
    pub(crate) id: ImageId,
    pub(crate) image: Identifier,
    /// The app of its image, with the program and the arguments that it is to have.
    pub(crate) app: Option<Value>,
    pub(crate) options: &'a AppOptions,
    /// Whether it has a HOME in its environment, as in a pod of 0.1.
    pub(crate) has_home: bool,
}

/// Returns the manifest, as JSON with a newline at its end.
///
/// # Errors
/// If an app's options contradict each other, or are for an image without an app.
pub(crate) fn pod_manifest(
    apps: Vec<Described<'_>>,
    settings: &PodSettings,
    volumes: &[VolumeArgument],
) -> Result<Vec<u8>> {
    let apps = apps.into_iter().map(|app| {
        let about = format!("app {}", app.name);
        one(app).context(about)
    });
    let mut manifest = json!({
        "acKind": "PodManifest",
        "acVersion": AcVersion::current(),
        "apps": apps.collect::<Result<Vec<_>>>()?,
    });
    if !volumes.is_empty() {
        let volumes = volumes.iter().map(|volume| named(volume.name.as_str(), &volume.volume));
        manifest["volumes"] = volumes.collect::<Result<Vec<_>>>()?.into();
    }
    let users = settings.users.map(|users| (USERS, users.name().to_owned()));
    let annotations: Vec<_> = users
        .into_iter()
        .chain(settings.network.annotations())
        .chain(settings.metadata.annotation())
        .collect();
    if !annotations.is_empty() {
        let all = annotations.into_iter().map(|(name, value)| json!({"name": name, "value": value}));
        manifest["annotations"] = all.collect();
    }
    let shm = settings.shm.map(|shm| json!({"name": SHM, "value": capacity(shm)}));
    let tasks = settings.tasks.map(|tasks| json!({"name": TASKS, "value": {"limit": tasks}}));
    let isolators: Vec<_> = shm.into_iter().chain(tasks).collect();
    if !isolators.is_empty() {
        manifest["isolators"] = isolators.into();
    }
    if let Some(host_name) = &settings.host_name {
        manifest["userAnnotations"] = json!({HOST_NAME: host_name.as_str()});
    }
    if !settings.published.is_empty() {
        manifest["ports"] = settings.published.iter().map(port_of).collect();
    }
    if !settings.labels.is_empty() {
        manifest["userLabels"] = json!(settings.labels);
    }
    Ok((serde_json::to_string_pretty(&manifest)? + "\n").into_bytes())
}

fn capacity(capacity: Capacity) -> Value {
    json!({"limit": capacity.bytes().to_string(), "inodes": capacity.inodes()})
}

/// Returns a published port as a manifest has it, with the port in the pod, so that no app needs to have one of its name.
fn port_of(published: &Published) -> Value {
    let (host, pod) = published.pairs().next().expect("a range of ports has a first one");
    let name = format!("published-{}-{host}", published.protocol());
    let port = json!({
        "name": name,
        "protocol": published.protocol(),
        "port": pod,
        "count": published.count(),
        "socketActivated": false,
    });
    let mut entry = json!({"name": name, "hostPort": host, "podPort": port});
    if let Some(address) = published.address() {
        // Several addresses may have the same port.
        entry["name"] = format!("{name}-{}", hex(&address)).into();
        entry["hostIP"] = address.to_string().into();
    }
    entry
}

/// Returns an address's bytes as hex digits, which a name may have.
fn hex(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:08x}", address.to_bits()),
        IpAddr::V6(address) => format!("{:032x}", address.to_bits()),
    }
}

fn one(Described { name, id, image, app, options, has_home }: Described<'_>) -> Result<Value> {
    let mut entry = json!({
        "name": name.in_manifest(),
        "image": {"id": id.to_string(), "name": image.as_str()},
    });
    if changes_app(options) {
        entry["app"] = changed(app.context("its image has no app: expected --exec")?, options)?;
    }
    let mounts = (1..).zip(&options.mounts).map(|(number, mount)| mount_of(number, mount));
    let mounts = mounts.collect::<Result<Vec<_>>>()?;
    if !mounts.is_empty() {
        entry["mounts"] = mounts.into();
    }
    if options.read_only {
        entry["readOnlyRootFS"] = true.into();
    }
    let said = [
        (HOME, has_home.then(|| "of-user".to_owned())),
        (RESTART, options.restart.map(|restart| restart.name().to_owned())),
        (STOP_TIMEOUT, options.stop_timeout.map(|seconds| seconds.to_string())),
        (STOP_SIGNAL, options.stop_signal.map(|signal| signal.to_string())),
    ];
    let said = said.into_iter().filter_map(|(name, value)| Some(json!({"name": name, "value": value?})));
    let annotations: Vec<_> = said.collect();
    if !annotations.is_empty() {
        entry["annotations"] = annotations.into();
    }
    Ok(entry)
}

/// Tells whether an option is about what the image's app says.
fn changes_app(options: &AppOptions) -> bool {
    let AppOptions { program, arguments, environment, user, directory, .. } = options;
    let AppOptions { memory, cpu, tasks, tmp, add, drop, .. } = options;
    let capabilities = [add, drop].into_iter().any(|set| *set != Capabilities::default());
    let programs = program.is_some() || arguments.is_some();
    let limits = memory.is_some() || cpu.is_some() || tasks.is_some() || tmp.is_some() || capabilities;
    programs || limits || !environment.is_empty() || user.is_some() || directory.is_some()
}

/// Returns the app with what the options say.
fn changed(mut app: Value, options: &AppOptions) -> Result<Value> {
    let spec: AppSpec = serde_json::from_value(app.clone())?;
    if !options.environment.is_empty() {
        app["environment"] = environment(&spec, options);
    }
    if let Some((user, group)) = &options.user {
        app["user"] = String::from(user.clone()).into();
        let mut annotations = pairs(app["annotations"].take());
        annotations.retain(|(name, _)| name != GROUPS);
        match group {
            Some(group) => app["group"] = String::from(group.clone()).into(),
            None => annotations.push((GROUPS.to_owned(), "of-user".into())),
        }
        app["annotations"] =
            annotations.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    }
    if let Some(directory) = &options.directory {
        app["workingDirectory"] = directory.as_str().into();
    }
    let mut isolators: Vec<Value> = app["isolators"].as_array().cloned().unwrap_or_default();
    let mut replace = |names: &[&str], value: Value| {
        isolators.retain(|isolator| !names.iter().any(|name| isolator["name"] == *name));
        isolators.push(json!({"name": names[0], "value": value}));
    };
    if let Some(memory) = options.memory {
        replace(&MEMORY, json!({"limit": memory.units().to_string()}));
    }
    if let Some(cpu) = options.cpu {
        replace(&[CPU], json!({"limit": format!("{}m", cpu.thousandths())}));
    }
    if let Some(tasks) = options.tasks {
        replace(&[TASKS], json!({"limit": tasks}));
    }
    if let Some(tmp) = options.tmp {
        replace(&[TMP], capacity(tmp));
    }
    let before = spec.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT);
    if let Some(capabilities) = capabilities(before, options.add, options.drop)? {
        let names: Vec<_> = capabilities.iter().map(|one| one.to_string()).collect();
        replace(&CAPABILITIES, json!({"set": names}));
    }
    if !isolators.is_empty() {
        app["isolators"] = isolators.into();
    }
    Ok(without_null(app))
}

/// Returns the image's variables, then those that were given. Each name is there once.
fn environment(spec: &AppSpec, options: &AppOptions) -> Value {
    let mut all: Vec<(&str, &str)> = Vec::new();
    for (name, value) in spec.environment.iter().chain(&options.environment) {
        all.retain(|(other, _)| *other != name.as_str());
        all.push((name.as_str(), value.as_str()));
    }
    all.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// Returns the capabilities of an app that has those of `before`; `None` if nothing is said about them.
fn capabilities(
    before: CapabilitySet,
    add: Capabilities,
    drop: Capabilities,
) -> Result<Option<CapabilitySet>> {
    if (add, drop) == Default::default() {
        return Ok(None);
    }
    if add.all && drop.all {
        bail!("--cap-add ALL and --cap-drop ALL: expected one of them");
    }
    let both = add.named.iter().find(|one| drop.named.contains(*one));
    if let Some(both) = both {
        bail!("--cap-add and --cap-drop both name {both}: expected one of them");
    }
    let before = match (add.all, drop.all) {
        (true, _) => CapabilitySet::from_bits(u64::MAX),
        (_, true) => CapabilitySet::default(),
        _ => before,
    };
    Ok(Some(before.union(add.named).without(drop.named)))
}

fn mount_of(number: usize, AppMount { target, source }: &AppMount) -> Result<Value> {
    Ok(match source {
        MountSource::OfPod(name) => json!({"volume": name.as_str(), "path": target.as_str()}),
        MountSource::Own(volume) => {
            let name = format!("mount-{number}");
            json!({"volume": name, "path": target.as_str(), "appVolume": named(&name, volume)?})
        }
    })
}

/// Returns a volume as a manifest of 0.8 has it.
fn named(name: &str, volume: &Volume) -> Result<Value> {
    let volume = RuntimeVolume { volume: volume.clone(), fulfills: Vec::new() };
    let mut value = serde_json::to_value(volume)?;
    let fields = value.as_object_mut().context("a volume is an object")?;
    fields.remove("fulfills");
    ensure!(fields.insert("name".into(), name.into()).is_none(), "a volume of 0.1 has no name");
    Ok(value)
}

/// Returns names and values, which 0.1 writes as a map and 0.8 as a list.
fn pairs(value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(map) => map.into_iter().collect(),
        Value::Array(list) => list
            .into_iter()
            .filter_map(|pair| {
                let value = pair.get("value").or(pair.get("val"))?.clone();
                Some((pair.get("name")?.as_str()?.to_owned(), value))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Removes the fields that are null: the same as absent.
fn without_null(app: Value) -> Value {
    match app {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
