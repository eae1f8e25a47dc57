// SPDX-License-Identifier: Apache-2.0
//! Isolators, annotations and ports: whose count, and what becomes of them.

use pod::Result;
use pod::manifest::Restart;
use pod::user::Person;
use serde_json::{Value, json};

use super::{app, assemble, digest, image, one_app, pod_manifest, refused, runtime};

#[test]
fn the_closest_annotation_counts() {
    let mut image = image(&app());
    image["annotations"] = json!([{"name": "gantry/restart", "value": "always"},
                                  {"name": "gantry/stop-timeout", "value": "1"}]);
    image["app"]["annotations"] = json!([{"name": "gantry/stop-timeout", "value": "2"}]);
    let own = json!({"name": "a", "image": {"id": digest(1)},
                     "annotations": [{"name": "gantry/stop-timeout", "value": "4"}]});
    let with = |mut manifest: Value, more: &Value| {
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        manifest
    };
    let stop = |manifest: &Value| {
        let app = assemble(manifest, &image).unwrap().apps.remove(0);
        (app.stop_timeout.unwrap(), app.restart)
    };
    let of_pod = json!({"annotations": [{"name": "gantry/stop-timeout", "value": "3"}]});
    let plain = runtime(&one_app(), &json!([]));
    assert_eq!(stop(&plain), (2, Restart::Always));
    assert_eq!(stop(&with(plain.clone(), &of_pod)), (3, Restart::Always));
    assert_eq!(stop(&with(plain.clone(), &json!({"annotations": {"gantry/stop-timeout": "5"}}))).0, 5);
    let mut closer = with(plain.clone(), &of_pod);
    closer["apps"][0]["annotations"] = json!({"gantry/stop-timeout": "4"});
    assert_eq!(stop(&closer).0, 4);
    let unknown = json!({"annotations": {"gantry/restrat": "no"}});
    refused(&with(plain, &unknown), &image, "unknown annotation \"gantry/restrat\"");
    assert_eq!(stop(&pod_manifest(&json!({"name": "a", "image": {"id": digest(1)}}), &of_pod)).0, 3);
    assert_eq!(stop(&pod_manifest(&own, &of_pod)).0, 4);
}

#[test]
fn limits_of_the_pod_are_the_pods() {
    let app_entry = json!({"name": "a", "image": {"id": digest(1)}, "readOnlyRootFS": true});
    let limits = json!({"isolators": [
        {"name": "resource/memory", "value": {"limit": "1G"}},
        {"name": "os/linux/no-new-privileges", "value": true},
        {"name": "example.com/other", "value": {}},
    ]});
    let pod = assemble(&pod_manifest(&app_entry, &limits), &image(&app())).unwrap();
    assert_eq!(pod.memory.limit.unwrap().units(), 1_000_000_000);
    assert!(pod.apps[0].read_only_root);
    assert_eq!(pod.apps[0].isolators.no_new_privileges, None);
    assert_eq!(pod.warnings.len(), 2, "{:?}", pod.warnings);

    let mut old = runtime(&one_app(), &json!([]));
    old["isolators"] = json!([
        {"name": "memory/limit", "val": "1G"},
        {"name": "resource/cpu", "value": {"limit": "500m"}},
        {"name": "cpu/shares", "val": "512"},
        {"name": "example.com/other", "val": ""},
    ]);
    let pod = assemble(&old, &image(&app())).unwrap();
    assert_eq!(pod.memory.limit.unwrap().units(), 1_000_000_000);
    assert_eq!(pod.cpu.limit.unwrap().thousandths(), 500);
    assert_eq!(
        pod.warnings,
        [
            "isolator example.com/other of the pod is not known for pods, and not enforced",
            "isolator os/linux/cpu-shares of the pod is not known for pods, and not enforced"
        ]
    );
    old["isolators"] = json!([{"name": "memory/limit", "val": "a lot"}]);
    refused(&old, &image(&app()), "isolator memory/limit: ");
}

#[test]
fn rates_are_the_pods_or_those_of_its_only_app() {
    let rate = |name: &str, limit: &str| json!({"name": name, "value": {"default": true, "limit": limit}});
    let mut spec = app();
    spec["isolators"] = json!([
        rate("resource/block-iops", "100"),
        rate("resource/block-bandwidth", "2M"),
        rate("resource/network-bandwidth", "1M"),
    ]);
    let of_pod =
        json!({"isolators": [rate("resource/block-iops", "50"), rate("resource/network-bandwidth", "3M")]});
    let entry = |name: &str| json!({"name": name, "image": {"id": digest(1)}});
    let pod = assemble(&pod_manifest(&entry("a"), &of_pod), &image(&spec)).unwrap();
    let units = |quantity: Option<pod::isolators::Quantity>| quantity.map(|quantity| quantity.units());
    assert_eq!((units(pod.block.operations), units(pod.block.bandwidth)), (Some(50), Some(2_000_000)));
    assert_eq!((units(pod.network_bandwidth), pod.warnings.len()), (Some(1_000_000), 0));
    let mut two = pod_manifest(&entry("a"), &of_pod);
    two["apps"].as_array_mut().unwrap().push(entry("b"));
    let pod = assemble(&two, &image(&spec)).unwrap();
    assert_eq!((units(pod.block.operations), units(pod.block.bandwidth)), (Some(50), None));
    assert_eq!(pod.warnings.len(), 6, "{:?}", pod.warnings);
    assert!(
        pod.warnings[0].contains("resource/block-bandwidth of app a is not enforced: expected it of the pod")
    );
    let mut hosts = pod_manifest(&entry("a"), &of_pod);
    hosts["annotations"] = json!([{"name": "gantry/net", "value": "host"}]);
    let pod = assemble(&hosts, &image(&spec)).unwrap();
    assert!(pod.warnings.iter().any(|line| line.contains("resource/network-bandwidth is not enforced")));
}

#[test]
fn what_would_be_the_hosts_or_no_bound_at_all_is_refused() {
    let entry = json!({"name": "a", "image": {"id": digest(1)}});
    let with = |name: &str, value: Value, net: &str| {
        let mut pod = pod_manifest(&entry, &json!({"isolators": [{"name": name, "value": value}]}));
        pod["annotations"] = json!([{"name": "gantry/net", "value": net}]);
        pod
    };
    let sysctl = |name: &str, net: &str| with("os/unix/sysctl", json!({name: "1"}), net);
    assert_eq!(assemble(&sysctl("net.core.somaxconn", "private"), &image(&app())).unwrap().sysctls.len(), 1);
    assemble(&sysctl("kernel.shmmni", "host"), &image(&app())).unwrap();
    refused(&sysctl("net.core.somaxconn", "host"), &image(&app()), "net.core.somaxconn is the host's");
    refused(&sysctl("kernel.panic", "private"), &image(&app()), "\"kernel.panic\": is the host's");
    for (name, value) in [
        ("os/linux/apparmor-profile", json!({"profile": "rkt-default"})),
        ("os/linux/selinux-context", json!({"user": "u", "role": "r", "type": "t", "level": "s0"})),
    ] {
        refused(
            &with(name, value.clone(), "private"),
            &image(&app()),
            &format!("isolator {name} of the pod"),
        );
        let mut spec = app();
        spec["isolators"] = json!([{"name": name, "value": value}]);
        refused(&pod_manifest(&entry, &json!({})), &image(&spec), &format!("isolator {name} of app a"));
    }
    let mut spec = app();
    spec["isolators"] = json!([{"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "1"}}]);
    let pod = assemble(&pod_manifest(&entry, &json!({})), &image(&spec)).unwrap();
    assert!(pod.sysctls.is_empty() && pod.warnings[0].contains("os/unix/sysctl of app a is not enforced"));
    for value in [json!({"limit": "1"}), json!({"default": false, "limit": "1"}), json!({"default": true})] {
        refused(
            &with("resource/block-iops", value, "private"),
            &image(&app()),
            "isolator resource/block-iops: expected",
        );
    }
}

#[test]
fn a_pod_can_lift_an_images_filter() {
    let retain = |set: &[&str]| json!([{"name": "os/linux/seccomp-retain-set", "value": {"set": set}}]);
    let mut spec = app();
    spec["isolators"] = retain(&["read"]);
    let seccomp = |isolators: Value, image: &Value| {
        let mut manifest = runtime(&one_app(), &json!([]));
        manifest["apps"][0]["isolators"] = isolators;
        let own = assemble(&manifest, image).map(|mut pod| pod.apps.remove(0).isolators.seccomp);
        own.map(|own| own.filter(pod::isolators::Seccomp::filters))
    };
    assert!(seccomp(json!([]), &image(&spec)).unwrap().is_some());
    assert_eq!(seccomp(retain(&["@appc.io/all"]), &image(&spec)), Ok(None));
    spec["isolators"] = retain(&["@appc.io/all"]);
    assert_eq!(seccomp(json!([]), &image(&spec)), Ok(None));
    assert!(seccomp(retain(&["read"]), &image(&spec)).unwrap().is_some());
    // Of another machine's calls nothing is known, whoever asks for a filter.
    let mut foreign = image(&spec);
    foreign["labels"] = json!([{"name": "arch", "value": "i386"}]);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(seccomp(json!([]), &foreign), Ok(None));
        assert!(seccomp(retain(&["read"]), &foreign).unwrap_err().to_string().contains("i386"));
    }
}

#[test]
fn sockets_are_for_the_ports_that_ask_for_them() {
    let mut spec = app();
    spec["ports"] = json!([
        {"name": "web", "protocol": "tcp", "port": 80, "count": 2, "socketActivated": true},
        {"name": "dns", "protocol": "udp", "port": 53, "socketActivated": true},
        {"name": "own", "protocol": "tcp", "port": 99},
    ]);
    let image = image(&spec);
    let sockets = |manifest: &Value| -> Result<(Vec<String>, Vec<String>)> {
        let pod = assemble(manifest, &image)?;
        let ports = pod.apps[0].sockets.iter();
        Ok((ports.map(|s| format!("{} {} {}", s.name, s.protocol, s.port)).collect::<Vec<_>>(), pod.warnings))
    };
    let (own, warnings) = sockets(&runtime(&one_app(), &json!([]))).unwrap();
    assert_eq!(
        (own, warnings.len()),
        (vec!["web tcp 80".into(), "web tcp 81".into(), "dns udp 53".into()], 0)
    );
    let entry = json!({"name": "a", "image": {"id": digest(1)}});
    let ports = json!({"ports": [{"name": "web", "hostPort": 8080}, {"name": "own", "hostPort": 98}]});
    let (moved, warnings) = sockets(&pod_manifest(&entry, &ports)).unwrap();
    for every in [json!(null), json!("0.0.0.0"), json!("[::]")] {
        let port = json!({"name": "web", "hostPort": 8080, "hostIP": every});
        assert!(sockets(&pod_manifest(&entry, &json!({"ports": [port]}))).is_ok(), "{every}");
    }
    assert_eq!(moved[..2], ["web tcp 8080", "web tcp 8081"]);
    assert_eq!(warnings, Vec::<String>::new());
    let of_host = json!({"ports": ports["ports"], "annotations": [{"name": "gantry/net", "value": "host"}]});
    let (_, warnings) = sockets(&pod_manifest(&entry, &of_host)).unwrap();
    assert!(warnings[0].contains("hostPort 98 of port own is not enforced"), "{warnings:?}");
    for (ports, why) in [
        (json!([{"name": "none", "hostPort": 1}]), "expected an app with a port of this name"),
        (json!([{"name": "web", "hostPort": 65_535}]), "above 65535"),
        (json!([{"name": "web", "hostPort": 0}]), "invalid port number 0"),
        (json!([{"name": "web", "hostPort": 1, "hostIP": "127.0.0.1"}]), "hostIP 127.0.0.1: expected none"),
        (json!([{"name": "web", "hostPort": 1}, {"name": "web", "hostPort": 2}]), "two ports web"),
    ] {
        refused(&pod_manifest(&entry, &json!({"ports": ports})), &image, why);
    }
    let both = json!([{"name": "a", "imageID": digest(1)}, {"name": "b", "imageID": digest(1)}]);
    refused(&runtime(&both, &json!([])), &image, "as one of app a");
}

#[test]
fn ports_are_published_if_the_pod_has_a_network_of_its_own() {
    let mut spec = app();
    spec["ports"] = json!([{"name": "web", "protocol": "tcp", "port": 80, "count": 2}]);
    let entry = json!({"name": "a", "image": {"id": digest(1)}});
    let published = |ports: Value, net: &str| {
        let more = json!({"ports": ports, "annotations": [{"name": "gantry/net", "value": net}]});
        let pod = assemble(&pod_manifest(&entry, &more), &image(&spec))?;
        let texts = pod.published.iter().map(ToString::to_string).collect::<Vec<_>>();
        Ok::<_, pod::Error>((texts, pod.warnings))
    };
    let port = json!({"name": "dns", "protocol": "udp", "port": 53});
    let all = json!([{"name": "web", "hostPort": 8080, "hostIP": "127.0.0.1"},
                     {"name": "more", "hostPort": 5353, "podPort": port}]);
    let expected = ["5353:53/udp", "127.0.0.1:8080-8081:80-81/tcp"];
    assert_eq!(published(all.clone(), "private").unwrap(), (expected.map(str::to_owned).to_vec(), vec![]));
    let (none, warnings) = published(all.clone(), "none").unwrap();
    assert_eq!((none.len(), warnings.len()), (0, 2));
    assert!(warnings[0].contains("the pod has no network"), "{warnings:?}");
    assert_eq!(published(all, "host").unwrap().1.len(), 2);
    let same = json!([{"name": "web", "hostPort": 80}]);
    assert_eq!(published(same, "host").unwrap(), (vec![], vec![]));
    for (ports, why) in [
        (json!([{"name": "web", "hostPort": 1, "hostIP": "here"}]), "hostIP \"here\": expected an address"),
        (json!([{"name": "web", "hostPort": 65_535}]), "the last port is 65536"),
        (
            json!([{"name": "web", "hostPort": 53}, {"name": "x", "hostPort": 54, "podPort": {"name": "x", "protocol": "tcp", "port": 1}}]),
            "in common",
        ),
    ] {
        assert!(published(ports, "private").unwrap_err().to_string().contains(why), "{why}");
    }
}

/// What OCI images ask for works for every image.
#[test]
fn what_oci_images_ask_for() {
    let said = json!([{"name": "gantry/stop-signal", "value": "SIGINT"}, {"name": "gantry/home", "value": "of-user"},
                      {"name": "gantry/groups", "value": "of-user"}]);
    let mut spec = app();
    spec["annotations"] = said;
    let person = Person { name: "u".into(), home: "/home/u".into(), shell: "/bin/sh".into() };
    let pod =
        assemble(&pod_manifest(&json!({"name": "a", "image": {"id": digest(1)}}), &json!({})), &image(&spec))
            .unwrap();
    let app = &pod.apps[0];
    assert_eq!(app.stop_signal, Some("2".parse().unwrap()));
    assert!(app.has_users_groups && app.has_home && !app.names_user);
    let environment = app.full_environment(Some(&person));
    assert_eq!(environment.get("HOME").map(AsRef::as_ref), Some("/home/u"));
    assert!(!environment.contains_key("USER") && !environment.contains_key("SHELL"));
}

#[test]
fn mount_points_may_be_left_without_volumes_if_the_image_says_so() {
    let mut spec = app();
    spec["mountPoints"] = json!([{"name": "data", "path": "/data"}, {"name": "more", "path": "/more"}]);
    let warned = assemble(&runtime(&one_app(), &json!([])), &image(&spec)).unwrap();
    assert_eq!((warned.apps[0].mounts.len(), warned.warnings.len()), (2, 2));
    spec["annotations"] = json!([{"name": "gantry/mount-points", "value": "anonymous"}]);
    let pod = assemble(&runtime(&one_app(), &json!([])), &image(&spec)).unwrap();
    assert_eq!(pod.apps[0].mounts, []);
    let volumes = json!([{"kind": "host", "source": "/srv", "fulfills": ["more"]}]);
    let pod = assemble(&runtime(&one_app(), &volumes), &image(&spec)).unwrap();
    assert_eq!(pod.apps[0].mounts.len(), 1);
    assert_eq!(pod.apps[0].mounts[0].target.as_str(), "/more");
}
