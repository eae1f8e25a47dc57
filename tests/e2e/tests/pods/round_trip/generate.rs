// SPDX-License-Identifier: Apache-2.0
//! Random pods: a pod manifest, image manifests, and what they mean.

mod isolators;

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use pod::id::{ImageId, PodId, TreeId};
use serde_json::{Map, Value, json};

/// A pod's manifest and what it means.
#[derive(Debug)]
pub(crate) struct Meant {
    pub(crate) id: PodId,
    pub(crate) manifest: Value,
    pub(crate) images: BTreeMap<ImageId, Value>,
    pub(crate) apps: Vec<App>,
}

/// What one app is meant to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) exec: Vec<String>,
    pub(crate) pre_start: Option<Vec<String>>,
    pub(crate) post_stop: Option<Vec<String>>,
    pub(crate) directory: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) capabilities: BTreeSet<&'static str>,
    pub(crate) seccomp: Option<(bool, BTreeSet<u32>, Option<u16>)>,
    pub(crate) oom_score_adjust: Option<i16>,
    /// Microseconds of CPU time in a second.
    pub(crate) quota: Option<u64>,
    pub(crate) weight: Option<u64>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) memory_request: Option<u64>,
    pub(crate) stop_seconds: u64,
    pub(crate) restart: &'static str,
}

/// The names of a batch's apps: all units of a batch are read at once.
#[derive(Default)]
pub(crate) struct Names(BTreeSet<String>);

/// Pieces of text that have a meaning to something between a manifest and a program.
const PIECES: [&str; 24] = [
    "%n",
    "%%",
    "$HOME",
    "${X}",
    "$$",
    "\\",
    "\"",
    "'",
    ";",
    " ",
    "\n",
    "\r",
    "\t",
    "é",
    "\u{85}",
    "\u{1b}[2J",
    "=",
    ":",
    "-",
    "@/bin/sh",
    "\rExecStartPre=/bin/sh",
    "\n[Service]\nUser=0",
    "x",
    "#",
];
const NAMES: [&str; 8] =
    ["halt", "default", "exit", "a.service", "init", "gantry-pod.target", "x-1.2_3", "0"];

fn text(rng: &mut Rng) -> String {
    (0..rng.usize(..6)).map(|_| rng.choice(PIECES).unwrap()).collect()
}

fn words(rng: &mut Rng) -> Vec<String> {
    let program = ["/bin/run", "run", "/a b", "/%n", "+run"][rng.usize(..5)];
    let arguments: Vec<_> = (0..rng.usize(..5)).map(|_| text(rng)).collect();
    std::iter::once(program.to_owned()).chain(arguments).collect()
}

fn id(rng: &mut Rng) -> u32 {
    match rng.u32(..4) {
        0 => 0,
        1 => rng.u32(1..65535),
        _ => rng.u32(65536..u32::MAX),
    }
}

impl Names {
    fn app(&mut self, rng: &mut Rng) -> String {
        loop {
            let name = match rng.u32(..3) {
                0 => rng.choice(NAMES).unwrap().to_owned(),
                1 => (0..200).map(|_| rng.lowercase()).collect(),
                _ => {
                    let parts: Vec<String> = (0..rng.usize(1..4))
                        .map(|_| (0..rng.usize(1..6)).map(|_| rng.lowercase()).collect())
                        .collect();
                    parts.join(["-", ".", "_"][rng.usize(..3)])
                }
            };
            if self.0.insert(name.clone()) {
                return name;
            }
            if NAMES.contains(&name.as_str()) {
                let name = format!("{name}-{}", rng.u64(..));
                self.0.insert(name.clone());
                return name;
            }
        }
    }
}

impl Meant {
    /// Tells whether an app of the pod has limits.
    pub(crate) fn is_limited(&self) -> bool {
        let limits = |app: &App| [app.quota, app.weight, app.memory_limit, app.memory_request];
        self.apps.iter().flat_map(limits).any(|limit| limit.is_some())
    }
}

/// Generates a pod of either version.
pub(crate) fn pod(rng: &mut Rng, names: &mut Names) -> Meant {
    let id: PodId = "6733c088-a507-4694-aabf-ae0bc1ccaaff".parse().unwrap();
    let is_0_8 = rng.bool();
    let (mut apps, mut entries, mut images) = (Vec::new(), Vec::new(), BTreeMap::new());
    for number in 0..rng.u8(1..4) {
        let image = TreeId::of_tar([number; 32].into()).as_image();
        let (app, spec) = app(rng, names, is_0_8);
        let annotations = annotations(&app, is_0_8);
        images.insert(
            image,
            json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "a/b", "app": spec}),
        );
        entries.push(match is_0_8 {
            true => json!({"name": app.name, "image": {"id": image}, "annotations": annotations}),
            false => json!({"name": app.name, "imageID": image, "annotations": annotations}),
        });
        apps.push(app);
    }
    let manifest = match is_0_8 {
        true => json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": entries}),
        false => {
            json!({"acKind": "ContainerRuntimeManifest", "acVersion": "0.1.1", "uuid": id, "apps": entries})
        }
    };
    Meant { id, manifest, images, apps }
}

/// Returns annotations, as a list in 0.8 and as a map in 0.1.
fn annotations(app: &App, is_0_8: bool) -> Value {
    let seconds = app.stop_seconds.to_string();
    match is_0_8 {
        true => {
            json!([{"name": "gantry/stop-timeout", "value": seconds}, {"name": "gantry/restart", "value": app.restart}])
        }
        false => json!({"gantry/stop-timeout": seconds, "gantry/restart": app.restart}),
    }
}

fn app(rng: &mut Rng, names: &mut Names, is_0_8: bool) -> (App, Value) {
    let mut app = App {
        name: names.app(rng),
        uid: id(rng),
        gid: id(rng),
        groups: (0..rng.usize(..4)).map(|_| id(rng)).collect(),
        exec: words(rng),
        pre_start: rng.bool().then(|| words(rng)),
        post_stop: rng.bool().then(|| words(rng)),
        directory: format!("/{}", text(rng).replace('/', "|")),
        stop_seconds: rng.u64(1..=86_400),
        restart: ["no", "on-failure", "always"][rng.usize(..3)],
        ..App::default()
    };
    // A trailing slash of a path means nothing, nor does a single dot.
    if app.directory == "/." {
        app.directory = "/".into();
    }
    let mut spec = Map::new();
    spec.insert("exec".into(), json!(app.exec));
    spec.insert("user".into(), json!(app.uid.to_string()));
    spec.insert("group".into(), json!(app.gid.to_string()));
    spec.insert("supplementaryGIDs".into(), json!(app.groups));
    spec.insert("workingDirectory".into(), json!(app.directory));
    let handler = |name: &str, exec: &Option<Vec<String>>| {
        exec.as_ref().map(|exec| json!({"name": name, "exec": exec}))
    };
    let handlers = [handler("pre-start", &app.pre_start), handler("post-stop", &app.post_stop)];
    spec.insert("eventHandlers".into(), handlers.into_iter().flatten().collect());
    spec.insert("environment".into(), environment(rng, &mut app, is_0_8));
    spec.insert("isolators".into(), isolators::random(rng, &mut app));
    (app, Value::Object(spec))
}

fn environment(rng: &mut Rng, app: &mut App, is_0_8: bool) -> Value {
    let uid = app.uid.to_string();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut all = vec![("PATH", path), ("AC_APP_NAME", app.name.as_str()), ("container", "gantry")];
    if !is_0_8 {
        all.extend([("USER", uid.as_str()), ("LOGNAME", &uid), ("HOME", "/"), ("SHELL", "/bin/sh")]);
    }
    let mut all: BTreeMap<String, String> =
        all.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let own: BTreeMap<String, String> = (0..rng.usize(..5))
        .map(|n| {
            (["A", "_b", "c.d-e", "HOME", "PATH"][rng.usize(..5)].to_owned() + &"x".repeat(n % 2), text(rng))
        })
        .collect();
    all.extend(own.clone());
    app.environment = all;
    match is_0_8 {
        true => own.iter().map(|(name, value)| json!({"name": name, "value": value})).collect(),
        false => json!(own),
    }
}
