// SPDX-License-Identifier: Apache-2.0
//! What options become in the pod's manifest.

use pod::manifest::Manifest;

use super::super::group::{Said, group};
use super::super::settings::{Setting, VolumeOption};
use super::*;

const ID: &str = "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn image_app() -> Value {
    json!({
        "exec": ["/bin/server"], "user": "app", "group": "app",
        "environment": {"A": "image", "B": "image"},
        "isolators": [{"name": "os/linux/capabilities-remove-set", "value": {"set": ["CAP_CHOWN"]}},
                      {"name": "memory/limit", "val": "1G"}],
        "annotations": [{"name": "gantry/groups", "value": "of-user"}, {"name": "x", "value": "y"}],
    })
}

/// Returns the only app's entry in the manifest, which has to be a valid one.
fn entry(settings: Vec<Setting>) -> Result<Value> {
    let mut options = AppOptions::default();
    settings.into_iter().for_each(|setting| options.add(setting));
    let described = Described {
        has_home: true,
        name: AppName::of_manifest("web").unwrap(),
        id: ID.parse().unwrap(),
        image: "example.com/web".parse().unwrap(),
        app: Some(image_app()),
        options: &options,
    };
    let bytes = pod_manifest(vec![described], &PodSettings::default(), &[])?;
    Manifest::parse(&bytes).unwrap();
    Ok(serde_json::from_slice::<Value>(&bytes)?["apps"][0].take())
}

/// Returns a field of the app that has this setting.
fn app(field: &str, settings: Vec<Setting>) -> Value {
    entry(settings).unwrap()["app"][field].take()
}

#[test]
fn what_is_about_the_pod_alone_leaves_the_images_app_away() {
    let found =
        entry(vec![Setting::ReadOnly(true), Setting::restart("always").unwrap(), Setting::StopTimeout(7)]);
    let expected = json!({
        "name": "web", "image": {"id": ID, "name": "example.com/web"}, "readOnlyRootFS": true,
        "annotations": [{"name": "gantry/home", "value": "of-user"}, {"name": "gantry/restart", "value": "always"},
                        {"name": "gantry/stop-timeout", "value": "7"}],
    });
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn the_environment_is_the_images_and_then_the_given() {
    let set = |text: &str| Setting::environment(text, |_| None).unwrap();
    let pair = |name: &str, value: &str| json!({"name": name, "value": value});
    assert_eq!(
        app("environment", vec![set("C=1"), set("A=2"), set("C=3"), set("GONE")]),
        json!([pair("B", "image"), pair("A", "2"), pair("C", "3")])
    );
}

#[test]
fn a_user_without_a_group_has_those_of_the_image() {
    let user = |text: &str| entry(vec![Setting::user(text).unwrap()]).unwrap()["app"].take();
    let alone = user("7");
    let names = |app: &Value| {
        app["annotations"].as_array().unwrap().iter().map(|a| a["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (alone["user"].clone(), names(&alone)),
        (json!("7"), vec![json!("x"), json!("gantry/groups")])
    );
    let both = user("7:8");
    assert_eq!((both["group"].clone(), names(&both)), (json!("8"), vec![json!("x")]));
}

#[test]
fn limits_replace_those_of_the_image() {
    let of = |settings: Vec<Setting>| app("isolators", settings);
    let remove = json!({"name": "os/linux/capabilities-remove-set", "value": {"set": ["CAP_CHOWN"]}});
    assert_eq!(
        of(vec![Setting::memory("64m").unwrap(), Setting::cpus("1.5").unwrap()]),
        json!([remove, {"name": "resource/memory", "value": {"limit": "67108864"}},
               {"name": "resource/cpu", "value": {"limit": "1500m"}}])
    );
    let retained = |settings: Vec<Setting>| {
        let isolators = of(settings);
        assert_eq!(isolators[1]["name"], "os/linux/capabilities-retain-set");
        serde_json::from_value::<Vec<String>>(isolators[1]["value"]["set"].clone()).unwrap()
    };
    let drop = |text: &str| Setting::drop(text).unwrap();
    let add = |text: &str| Setting::add(text).unwrap();
    assert_eq!(retained(vec![drop("all"), add("kill"), add("CHOWN")]), ["CAP_CHOWN", "CAP_KILL"]);
    let more = retained(vec![add("SYS_TIME"), drop("KILL")]);
    assert!(more.contains(&"CAP_SYS_TIME".into()) && !more.contains(&"CAP_KILL".into()));
    assert!(!more.contains(&"CAP_CHOWN".into()), "what the image gives up stays given up");
    assert_eq!(retained(vec![add("ALL"), drop("KILL")]).len(), 40);
    for (settings, why) in [
        (vec![add("KILL"), drop("KILL")], "both name CAP_KILL"),
        (vec![add("ALL"), drop("ALL")], "expected one of them"),
    ] {
        assert!(format!("{:#}", entry(settings).unwrap_err()).contains(why));
    }
}

#[test]
fn mounts_are_the_apps_own_or_the_pods() {
    let volumes = ["/a:/b:ro", "data:/c", "/d"].map(|text| Said::Volume(VolumeOption::parse(text).unwrap()));
    let image = Said::Image(image::ImageArgument::parse("a".as_ref()).unwrap());
    let grouped = group([image].into_iter().chain(volumes).collect(), None).unwrap();
    let options = &grouped.apps[0];
    let mounts: Vec<_> =
        (1..).zip(&options.mounts).map(|(number, mount)| mount_of(number, mount).unwrap()).collect();
    assert_eq!(
        json!(mounts),
        json!([
            {"volume": "mount-1", "path": "/b", "appVolume":
                {"name": "mount-1", "kind": "host", "source": "/a", "readOnly": true}},
            {"volume": "data", "path": "/c"},
            {"volume": "mount-3", "path": "/d", "appVolume":
                {"name": "mount-3", "kind": "empty", "readOnly": false, "mode": "0755", "uid": 0, "gid": 0}},
        ])
    );
}

#[test]
fn an_image_without_an_app_needs_a_program() {
    let options = AppOptions { directory: Some("/".parse().unwrap()), ..AppOptions::default() };
    let described = Described {
        has_home: true,
        name: AppName::of_manifest("web").unwrap(),
        id: ID.parse().unwrap(),
        image: "example.com/web".parse().unwrap(),
        app: None,
        options: &options,
    };
    let error = pod_manifest(vec![described], &PodSettings::default(), &[]).unwrap_err();
    assert_eq!(format!("{error:#}"), "app web: its image has no app: expected --exec");
}

#[test]
fn the_pod_has_labels_a_host_name_and_volumes() {
    let settings = PodSettings {
        host_name: Some("web1".parse().unwrap()),
        users: Some(pod::manifest::Users::Host),
        labels: [("tier".to_owned(), "front".to_owned())].into(),
        ..PodSettings::default()
    };
    let volumes = [VolumeArgument::parse("data,kind=empty,mode=1777").unwrap()];
    let manifest: Value =
        serde_json::from_slice(&pod_manifest(vec![], &settings, &volumes).unwrap()).unwrap();
    assert_eq!(manifest["userLabels"], json!({"tier": "front"}));
    assert_eq!(manifest["userAnnotations"], json!({"gantry/hostname": "web1"}));
    assert_eq!(manifest["volumes"][0]["name"], "data");
    assert_eq!(manifest["annotations"], json!([{"name": "gantry/users", "value": "host"}]));
}

#[test]
fn networks_and_published_ports_are_in_the_manifest() {
    let mut network = pod::network::Settings::default();
    network.read("gantry/net", "none").unwrap();
    let published = ["8080-8081:80-81", "[::1]:53:53/udp"].map(|text| text.parse().unwrap()).to_vec();
    let users = Some(pod::manifest::Users::Shared);
    let settings = PodSettings { users, network, published, ..PodSettings::default() };
    let manifest: Value = serde_json::from_slice(&pod_manifest(Vec::new(), &settings, &[]).unwrap()).unwrap();
    assert_eq!(
        manifest["annotations"],
        json!([{"name": "gantry/users", "value": "shared"}, {"name": "gantry/net", "value": "none"}])
    );
    let ports = manifest["ports"].as_array().unwrap();
    assert_eq!(ports[0]["hostPort"], 8080);
    assert_eq!(ports[0]["podPort"]["count"], 2);
    assert_eq!((&ports[1]["hostIP"], &ports[1]["podPort"]["protocol"]), (&json!("::1"), &json!("udp")));
    for port in ports {
        serde_json::from_value::<pod::manifest::PodPort>(port.clone()).unwrap();
    }
}

#[test]
fn what_all_apps_share_is_limited_by_isolators_of_the_pod() {
    let shm = Some(crate::size("1m,inodes=9").unwrap());
    let settings = PodSettings { shm, tasks: Some(30), ..PodSettings::default() };
    let bytes = pod_manifest(vec![], &settings, &[]).unwrap();
    Manifest::parse(&bytes).unwrap();
    let found: Value = serde_json::from_slice(&bytes).unwrap();
    let expected = json!([
        {"name": "resource/shm", "value": {"limit": "1048576", "inodes": 9}},
        {"name": "resource/tasks", "value": {"limit": 30}},
    ]);
    assert_eq!(found["isolators"], expected);
}

#[test]
fn processes_and_tmp_of_an_app_are_isolators_of_it() {
    let found = app("isolators", vec![Setting::tasks("20").unwrap(), Setting::tmp("1k").unwrap()]);
    let has = |expected: Value| assert!(found.as_array().unwrap().contains(&expected), "{found}");
    has(json!({"name": "resource/tasks", "value": {"limit": 20}}));
    has(json!({"name": "resource/tmp", "value": {"limit": "1024", "inodes": 1024}}));
}
