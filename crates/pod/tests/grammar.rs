// SPDX-License-Identifier: Apache-2.0
//! Ten thousand random image manifests, made from the specification's grammar (aci.md, types.md): what it calls valid is
//! accepted, what it forbids is refused. What differs on purpose is in docs/manifests.md ("Differences to the
//! specification").
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]
#![allow(clippy::print_stderr, reason = "the numbers are what is to be seen")]

use pod::manifest::ImageManifest;
use serde_json::{Map, Value, json};

const COUNT: u64 = 10_000;
const ARCHES: [&str; 4] = ["amd64", "i386", "aarch64", "armv7l"];

/// A generator of manifests of one version.
struct Generator {
    random: fastrand::Rng,
    is_of_0_1: bool,
}

impl Generator {
    fn choose<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.random.usize(..all.len())]
    }

    /// Letters and digits, with one of `between` between some.
    fn words(&mut self, between: &[char]) -> String {
        let mut text = String::new();
        for number in 0..self.random.usize(1..4) {
            if number > 0 {
                text.push(*self.choose(between));
            }
            text.extend(
                (0..self.random.usize(1..6))
                    .map(|_| *b"abcxyz0189".get(self.random.usize(..10)).unwrap() as char),
            );
        }
        text
    }

    fn identifier(&mut self) -> String {
        if self.is_of_0_1 { self.words(&['-', '.', '/']) } else { self.words(&['-', '.', '_', '~', '/']) }
    }

    fn name(&mut self) -> String {
        self.words(&['-'])
    }

    fn path(&mut self) -> String {
        format!("/{}", self.words(&['/', '.', '_', ' ']))
    }

    fn text(&mut self) -> String {
        (0..self.random.usize(..12))
            .map(|_| *self.choose(&['a', ' ', '"', '\n', 'é', '$', '%', '\\', '\t']))
            .collect()
    }

    /// Distinct names with values, as the version writes them.
    fn pairs(
        &mut self,
        name: impl Fn(&mut Self) -> String,
        value: impl Fn(&mut Self) -> String,
        is_map: bool,
    ) -> Value {
        let mut all = Map::new();
        for _ in 0..self.random.usize(..4) {
            let name = name(self);
            let value = value(self);
            all.insert(name, value.into());
        }
        let field = if self.is_of_0_1 { "val" } else { "value" };
        if is_map && self.is_of_0_1 {
            return all.into();
        }
        all.into_iter().map(|(name, value)| json!({"name": name, field: value})).collect()
    }

    fn list(&mut self, mut one: impl FnMut(&mut Self, usize) -> Value) -> Value {
        (0..self.random.usize(..3)).map(|number| one(self, number)).collect()
    }

    fn exec(&mut self) -> Value {
        let program = if self.random.bool() { self.path() } else { self.name() };
        [program]
            .into_iter()
            .chain((0..self.random.usize(..3)).map(|_| self.text()).collect::<Vec<_>>())
            .collect()
    }

    fn user(&mut self) -> Value {
        match self.random.usize(..3) {
            0 => self.random.u16(..).saturating_sub(1).to_string().into(),
            1 => self.name().into(),
            _ => self.path().into(),
        }
    }

    fn app(&mut self) -> Value {
        let mut app = json!({"exec": self.exec(), "user": self.user(), "group": self.user()});
        if self.random.bool() {
            app["workingDirectory"] = self.path().into();
        }
        if self.random.bool() {
            let name = |of: &mut Self| {
                format!("{}{}", of.choose(&["A", "_", "x"]), of.choose(&["", "B", "1", ".c", "-d"]))
            };
            app["environment"] = self.pairs(name, Self::text, true);
        }
        if self.random.bool() {
            let events =
                *self.choose(&[&["pre-start"][..], &["post-stop"], &["pre-start", "post-stop"], &[]]);
            app["eventHandlers"] =
                events.iter().map(|name| json!({"name": name, "exec": self.exec()})).collect();
        }
        if self.random.bool() {
            app["mountPoints"] = self.list(|of, number| {
                json!({"name": format!("m{number}-{}", of.name()), "path": of.path(), "readOnly": of.random.bool()})
            });
        }
        if self.random.bool() {
            app["ports"] = self.list(|of, number| {
                let (port, count) = (of.random.u16(1..60_000), of.random.u16(1..100));
                let name = format!("p{number}-{}", of.name());
                json!({"name": name, "protocol": of.choose(&["tcp", "udp"]), "port": port, "count": count,
                       "socketActivated": of.random.bool()})
            });
        }
        if self.random.bool() && !self.is_of_0_1 {
            app["supplementaryGIDs"] = self.list(|of, _| of.random.u16(..1000).into());
        }
        if self.random.bool() && !self.is_of_0_1 {
            app["isolators"] = json!([{"name": "os/linux/no-new-privileges", "value": self.random.bool()},
                                      {"name": format!("example.com/{}", self.name()), "value": {"any": [1, "x"]}}]);
        }
        app
    }

    fn manifest(&mut self) -> Value {
        let version =
            if self.is_of_0_1 { "0.1.1" } else { *self.choose(&["0.8.11", "0.7.4", "0.8.0-rc1+x"]) };
        let mut manifest =
            json!({"acKind": "ImageManifest", "acVersion": version, "name": self.identifier()});
        if self.random.bool() {
            let mut labels = self.pairs(|of| format!("l{}", of.identifier()), Self::text, false);
            let field = if self.is_of_0_1 { "val" } else { "value" };
            if self.random.bool() {
                labels.as_array_mut().unwrap().push(json!({"name": "os", field: "linux"}));
            }
            if self.random.bool() {
                let arch = *self.choose(&ARCHES);
                labels.as_array_mut().unwrap().push(json!({"name": "arch", field: arch}));
            }
            manifest["labels"] = labels;
        }
        if self.random.bool() {
            manifest["app"] = self.app();
        }
        if self.random.bool() {
            let name = |of: &mut Self| format!("a{}", of.identifier());
            let mut annotations = self.pairs(name, Self::text, true);
            let own = [
                ("created", "2014-10-27T19:32:27.67021798Z"),
                ("homepage", "https://example.com/a"),
                ("authors", "a <b@c>"),
            ];
            let (name, value) = *self.choose(&own);
            match &mut annotations {
                Value::Object(map) => drop(map.insert(name.into(), value.into())),
                other => other.as_array_mut().unwrap().push(json!({"name": name, "value": value})),
            }
            manifest["annotations"] = annotations;
        }
        if self.random.bool() {
            manifest[format!("unknown-{}", self.name())] = json!({"is": ["ignored"]});
        }
        manifest
    }

    /// Changes one thing so that the specification forbids it, and says which.
    fn spoil(&mut self, manifest: &mut Value) -> &'static str {
        if manifest["app"].is_null() {
            manifest["app"] = self.app();
        }
        let value = if self.is_of_0_1 { "val" } else { "value" };
        let label = |name: &str| json!([{"name": name, value: "x"}]);
        let choices: [(&str, &[&str], Value); 30] = [
            ("another kind", &["acKind"], "PodManifest".into()),
            ("no kind", &["acKind"], Value::Null),
            ("no version", &["acVersion"], Value::Null),
            ("no SemVer", &["acVersion"], "0.8".into()),
            ("version 0.0.0", &["acVersion"], "0.0.0".into()),
            ("no name", &["name"], Value::Null),
            ("an empty name", &["name"], "".into()),
            ("a name with capital letters", &["name"], "example.com/A".into()),
            ("a name with a blank", &["name"], "a b".into()),
            ("a label called name", &["labels"], label("name")),
            ("a label with capital letters", &["labels"], label("Version")),
            ("a label twice", &["labels"], json!([{"name": "a", value: "1"}, {"name": "a", value: "1"}])),
            ("a label without a value", &["labels"], json!([{"name": "a"}])),
            ("an annotation with capital letters", &["annotations"], label("Created")),
            ("a date that is none", &["annotations"], label("created")),
            ("a homepage that is no URL", &["annotations"], label("homepage")),
            ("documentation that is no URL", &["annotations"], label("documentation")),
            ("exec that is no list", &["app", "exec"], "/bin/sh".into()),
            ("no user", &["app", "user"], Value::Null),
            ("an empty user", &["app", "user"], "".into()),
            ("no group", &["app", "group"], Value::Null),
            ("a working directory that isn't absolute", &["app", "workingDirectory"], "srv".into()),
            (
                "a variable twice",
                &["app", "environment"],
                json!([{"name": "A", "value": ""}, {"name": "A", "value": ""}]),
            ),
            ("a variable with a blank", &["app", "environment"], json!([{"name": "A B", "value": ""}])),
            ("an unknown event", &["app", "eventHandlers"], json!([{"name": "start", "exec": ["/a"]}])),
            (
                "an event twice",
                &["app", "eventHandlers"],
                json!([{"name": "pre-start", "exec": ["/a"]}, {"name": "pre-start", "exec": ["/a"]}]),
            ),
            ("a mount point without a path", &["app", "mountPoints"], json!([{"name": "a"}])),
            ("a mount point with a bad name", &["app", "mountPoints"], json!([{"name": "A", "path": "/a"}])),
            (
                "a port above 65535",
                &["app", "ports"],
                json!([{"name": "a", "protocol": "tcp", "port": 65_536}]),
            ),
            (
                "ports above 65535",
                &["app", "ports"],
                json!([{"name": "a", "protocol": "tcp", "port": 65_535, "count": 2}]),
            ),
        ];
        let (what, path, spoilt) = self.choose(&choices);
        let place = path.iter().fold(manifest, |value, field| &mut value[*field]);
        *place = spoilt.clone();
        what
    }
}

#[test]
fn what_the_specification_allows_is_accepted_and_what_it_forbids_is_refused() {
    let seed = std::env::var("GANTRY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(16);
    let (mut accepted, mut refused) = ([0, 0], [0, 0]);
    for number in 0..COUNT {
        let version = usize::from(number % 2 == 1);
        let mut generator =
            Generator { random: fastrand::Rng::with_seed(seed + number), is_of_0_1: version == 1 };
        let mut manifest = generator.manifest();
        let parse = |manifest: &Value| ImageManifest::parse(manifest.to_string().as_bytes());
        if let Err(error) = parse(&manifest) {
            panic!("seed {seed}, {number}: {error}: {manifest:#}");
        }
        accepted[version] += 1;
        let what = generator.spoil(&mut manifest);
        assert!(parse(&manifest).is_err(), "seed {seed}, {number}: {what}: {manifest:#}");
        refused[version] += 1;
    }
    eprintln!(
        "0.8: {} accepted, {} refused; 0.1: {} accepted, {} refused",
        accepted[0], refused[0], accepted[1], refused[1]
    );
}
