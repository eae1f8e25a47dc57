// SPDX-License-Identifier: Apache-2.0
//! Named cases of configurations, and the apps that they are.

use super::*;

fn config(run: &Value) -> Config {
    let config = json!({"os": "linux", "architecture": "amd64", "config": run, "rootfs": {"type": "layers", "diff_ids": []}});
    Config::parse("config", config.to_string().as_bytes()).unwrap()
}

fn id() -> BlobDigest {
    BlobDigest::sha256(b"")
}

/// The app in the manifest of an image with this configuration.
fn app_of(run: &Value) -> Value {
    let bytes = image_manifest(&config(run), id(), &[]).unwrap_or_else(|error| panic!("{run}: {error}"));
    serde_json::from_slice::<Value>(&bytes).unwrap()["app"].clone()
}

fn with(field: &str, value: Value) -> Value {
    let mut run = json!({"Cmd": ["/bin/x"]});
    run[field] = value;
    run
}

fn annotation<'a>(app: &'a Value, name: &str) -> Option<&'a str> {
    let all = app["annotations"].as_array().unwrap();
    all.iter()
        .find(|annotation| annotation["name"] == name)
        .and_then(|annotation| annotation["value"].as_str())
}

#[test]
fn programs() {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let image = RunConfig {
        entrypoint: words(&["/e", "1"]).unwrap(),
        cmd: words(&["c"]).unwrap(),
        working_dir: "/w".into(),
        ..RunConfig::default()
    };
    for (case, arguments, program, expected) in [
        ("as the image says", None, None, words(&["/e", "1", "c"])),
        ("arguments replace Cmd", words(&["a"]), None, words(&["/e", "1", "a"])),
        ("no arguments replace Cmd, too", words(&[]), None, words(&["/e", "1"])),
        ("a program drops both", None, words(&["/p"]), words(&["/p"])),
        ("a program with arguments", words(&["a"]), words(&["/p", "2"]), words(&["/p", "2", "a"])),
        ("a program from the working directory", None, words(&["./p"]), words(&["/w/./p"])),
        ("a program that is looked up", None, words(&["p"]), words(&["p"])),
    ] {
        assert_eq!(exec(&image, &Overrides { arguments, program }), expected, "{case}");
    }
    let none = Overrides { arguments: Some(Vec::new()), program: None };
    assert_eq!(app("config", &RunConfig::default(), &none).unwrap(), None);
    assert_eq!(exec(&RunConfig::default(), &Overrides { arguments: words(&["/a"]), ..none }), words(&["/a"]));
}

#[test]
fn an_image_without_a_program_has_no_app() {
    for run in [json!(null), json!({"Env": ["A=1"]}), json!({"Entrypoint": [], "Cmd": null})] {
        assert_eq!(app_of(&run), Value::Null, "{run}");
    }
}

#[test]
fn users() {
    for (text, user, group, of_user) in [
        ("", "0", "0", true),
        ("u", "u", "0", true),
        ("1000", "1000", "0", true),
        ("u:", "u", "0", true),
        ("u:g", "u", "g", false),
        ("1000:100", "1000", "100", false),
        ("1000:g", "1000", "g", false),
        ("u:100", "u", "100", false),
        (":g", "0", "g", false),
    ] {
        let app = app_of(&with("User", json!(text)));
        assert_eq!((app["user"].as_str(), app["group"].as_str()), (Some(user), Some(group)), "{text}");
        assert_eq!(annotation(&app, GROUPS), of_user.then_some("of-user"), "{text}");
    }
}

#[test]
fn what_is_refused() {
    for (field, value, why) in [
        ("User", json!("/etc"), "expected a name or a number"),
        ("User", json!("4294967295"), "up to 4294967294"),
        ("User", json!("a:b:c"), "invalid user or group"),
        ("User", json!("a\n"), "invalid user or group"),
        ("Env", json!(["1=2"]), "environment variable name"),
        ("Env", json!(["A=\u{0}"]), "NUL"),
        ("Volumes", json!({"/": {}}), "below the root"),
        ("Volumes", json!({"/a/../b": {}}), "\"..\""),
        ("WorkingDir", json!("/a/../b"), "\"..\""),
        ("ExposedPorts", json!({"0/tcp": {}}), "invalid port"),
        ("ExposedPorts", json!({"70000/tcp": {}}), "invalid port"),
        ("ExposedPorts", json!({"9-8/tcp": {}}), "invalid port"),
        ("ExposedPorts", json!({"80/x": {}}), "invalid port"),
        ("StopSignal", json!("SIGNONE"), "invalid signal"),
        ("Cmd", json!([""]), "expected a program"),
    ] {
        let error =
            image_manifest(&config(&with(field, value.clone())), id(), &[]).expect_err(field).to_string();
        assert!(error.contains(why) && error.starts_with("config sha256:"), "{field} {value}: {error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
}

#[test]
fn the_rest() {
    let app = app_of(&json!({
        "Entrypoint": ["/e"], "Env": ["PATH=/bin", "A=b=c", "A=2", "UNSET", "E="],
        "Volumes": {"/var/lib/data": {}, "/var/lib/data/sub": {}, "/var-lib/data": {}, "rel": {}},
        "ExposedPorts": {"80": {}, "53/udp": {}, "8000-8002/TCP": {}, "9/sctp": {}},
        "WorkingDir": "w", "StopSignal": "int"
    }));
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    assert_eq!(
        app["environment"],
        json!([variable("PATH", "/bin"), variable("A", "2"), variable("E", "")]),
        "of two with one name, the last one counts"
    );
    assert_eq!(
        app["mountPoints"],
        json!([{"name": "rel", "path": "/rel"}, {"name": "var-lib-data", "path": "/var-lib/data"},
               {"name": "var-lib-data-2", "path": "/var/lib/data"}])
    );
    let ports: Vec<_> =
        app["ports"].as_array().unwrap().iter().map(|port| port["name"].as_str().unwrap()).collect();
    assert_eq!(ports, ["53-udp", "80-tcp", "8000-8002-tcp"]);
    assert_eq!(app["ports"][2]["count"], 3);
    assert_eq!(app["workingDirectory"], "/w");
    for (name, value) in [(HOME, "of-user"), (MOUNT_POINTS, "anonymous"), (STOP_SIGNAL, "SIGINT")] {
        assert_eq!(annotation(&app, name), Some(value), "{name}");
    }
    let plain = app_of(&json!({"Cmd": ["/x"]}));
    assert_eq!(plain["annotations"].as_array().unwrap().len(), 2, "groups and HOME");
}

#[test]
fn names_of_images() {
    let named = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        image_name(&names, id()).as_str().to_owned()
    };
    assert_eq!(named(&["docker.io/library/redis:7"]), "docker.io/library/redis");
    assert_eq!(named(&["redis:7"]), "docker.io/library/redis");
    assert_eq!(named(&["localhost:5000/a__b/c--d"]), "localhost-5000/a_b/c-d");
    assert_eq!(named(&["[::1]:5000/a"]), "1-5000/a");
    assert_eq!(named(&["latest", "quay.io/x"]), "quay.io/x");
    for none in [&[][..], &["latest"], &["Not A Name"]] {
        assert_eq!(named(none), "image-e3b0c44298fc");
    }
}

#[test]
fn platforms_have_the_words_of_appc() {
    for (architecture, variant, label) in [
        ("amd64", None, "amd64"),
        ("386", None, "i386"),
        ("arm64", Some("v8"), "aarch64"),
        ("arm", Some("v6"), "armv6l"),
        ("arm", None, "armv7l"),
        ("riscv64", None, "riscv64"),
    ] {
        assert_eq!(parts::arch_label(architecture, variant), label);
    }
}
