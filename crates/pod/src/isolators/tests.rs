// SPDX-License-Identifier: Apache-2.0
//! Tests of how isolators are read, and which are refused.

use serde_json::json;

use super::*;

fn isolators(list: &Value) -> Result<Isolators> {
    serde_json::from_value(list.clone()).map_err(|error| Error::new(error.to_string()))
}

#[test]
fn what_is_known_is_read() {
    let all = isolators(&json!([
        {"name": "os/linux/capabilities-remove-set", "value": {"set": ["CAP_MKNOD", "CAP_SYS_ADMIN"]}},
        {"name": "os/linux/no-new-privileges", "value": true},
        {"name": "os/linux/seccomp-remove-set", "value": {"set": ["mount"], "errno": "ENOTSUP"}},
        {"name": "os/linux/oom-score-adj", "value": -999},
        {"name": "os/linux/cpu-shares", "value": 512},
        {"name": "resource/cpu", "value": {"request": "250m", "limit": "0.5"}},
        {"name": "resource/memory", "value": {"limit": "1Gi"}},
        {"name": "resource/tasks", "value": {"limit": 20}},
        {"name": "resource/tmp", "value": {"limit": "1Mi", "inodes": 9}},
        {"name": "resource/shm", "value": {"limit": 4096}},
        {"name": "resource/block-iops", "value": {"default": true, "limit": "10"}},
        {"name": "resource/block-bandwidth", "value": {"default": true, "limit": "2M"}},
        {"name": "resource/network-bandwidth", "value": {"default": true, "limit": "1G"}},
        {"name": "os/unix/sysctl", "value": {"net.ipv4.tcp_mtu_probing": "1"}},
        {"name": "os/linux/apparmor-profile", "value": {"profile": "rkt-default"}},
        {"name": "example.com/other", "value": 1},
    ]))
    .unwrap();
    assert_eq!(all.capabilities.unwrap().iter().count(), 13);
    assert_eq!(all.no_new_privileges, Some(true));
    assert_eq!(all.seccomp.unwrap().errno.unwrap().number(), 95);
    assert_eq!((all.oom_score_adjust, all.cpu_shares), (Some(-999), Some(512)));
    assert_eq!(all.cpu.limit.unwrap().thousandths(), 500);
    assert_eq!(all.memory.limit.unwrap().units(), 1 << 30);
    let (tmp, shm) = (all.tmp.unwrap(), all.shm.unwrap());
    assert_eq!((all.tasks, tmp.bytes(), tmp.inodes(), shm.bytes()), (Some(20), 1 << 20, 9, 4096));
    let units = |quantity: Option<Quantity>| quantity.unwrap().units();
    assert_eq!((units(all.block.operations), units(all.block.bandwidth)), (10, 2_000_000));
    assert_eq!((units(all.network_bandwidth), all.sysctls.len()), (1_000_000_000, 1));
    assert_eq!(all.label, Some("os/linux/apparmor-profile".parse().unwrap()));
    assert_eq!(all.unknown, ["example.com/other".parse().unwrap()]);
}

#[test]
fn those_of_0_1_are_text() {
    let all = isolators(&json!([
        {"name": "cpu/shares", "val": "20"},
        {"name": "memory/limit", "val": "1G"},
        {"name": "capabilities/bounding-set", "val": "CAP_NET_BIND_SERVICE CAP_SYS_ADMIN"},
        {"name": "private-network", "val": "true"},
    ]))
    .unwrap();
    assert_eq!(all.cpu_shares, Some(20));
    assert_eq!(all.memory.limit.unwrap().units(), 1_000_000_000);
    assert_eq!(all.capabilities.unwrap().to_string(), "CAP_NET_BIND_SERVICE CAP_SYS_ADMIN");
    assert_eq!(all.unknown.len(), 1);
}

#[test]
fn the_closer_ones_win() {
    let near = isolators(&json!([{"name": "cpu/shares", "val": "20"}, {"name": "a", "val": ""}])).unwrap();
    let far = isolators(&json!([
        {"name": "cpu/shares", "val": "30"}, {"name": "memory/limit", "val": "1"}, {"name": "a", "val": ""}
    ]));
    let both = near.over(&far.unwrap());
    assert_eq!((both.cpu_shares, both.memory.limit.unwrap().units(), both.unknown.len()), (Some(20), 1, 1));
}

#[test]
fn a_request_is_the_limit_where_nothing_else_is_said() {
    let all = isolators(&json!([
        {"name": "resource/cpu", "value": {"limit": "0.5", "request": null}},
        {"name": "resource/memory", "value": {"request": "1G"}},
    ]))
    .unwrap();
    assert_eq!((all.cpu.request, all.memory.limit), (all.cpu.limit, None));
    let of_0_1 = isolators(&json!([{"name": "memory/limit", "val": "1G"}])).unwrap();
    assert_eq!(of_0_1.memory.request, None, "0.1 has no requests");
}

#[test]
fn a_resource_is_taken_as_a_whole() {
    let memory = |value: Value| isolators(&json!([{"name": "resource/memory", "value": value}])).unwrap();
    let image = memory(json!({"request": "2G", "limit": "3G"}));
    let limit = isolators(&json!([{"name": "memory/limit", "val": "1G"}])).unwrap().over(&image).memory;
    assert_eq!((limit.request, limit.limit.unwrap().units()), (None, 1_000_000_000));
    let request = memory(json!({"request": "5G"})).over(&image).memory;
    assert_eq!((request.request.unwrap().units(), request.limit), (5_000_000_000, None));
}

#[test]
fn two_that_say_the_same_are_refused() {
    let set = |name: &str, member: &str| json!({"name": name, "value": {"set": [member]}});
    let bounding = json!({"name": "capabilities/bounding-set", "val": "CAP_KILL"});
    let retain = set("os/linux/capabilities-retain-set", "CAP_KILL");
    let remove = set("os/linux/capabilities-remove-set", "CAP_KILL");
    for (one, other) in [
        (&retain, &remove),
        (&bounding, &retain),
        (&remove, &bounding),
        (&set("os/linux/seccomp-retain-set", "read"), &set("os/linux/seccomp-remove-set", "mount")),
        (&json!({"name": "os/linux/cpu-shares", "value": 2}), &json!({"name": "cpu/shares", "val": "2"})),
        (
            &json!({"name": "memory/limit", "val": "1G"}),
            &json!({"name": "resource/memory", "value": {"limit": "1G"}}),
        ),
    ] {
        let error = isolators(&json!([one, other])).expect_err("two of a kind").to_string();
        assert!(error.contains("expected one of them"), "{error}");
        for isolator in [one, other] {
            assert!(error.contains(isolator["name"].as_str().unwrap()), "{error}");
        }
    }
}

#[test]
fn what_can_not_be_meant_is_refused() {
    let set = |name: &str| json!({"name": name, "value": {"set": ["CAP_KILL"]}});
    for bad in [
        json!([set("os/linux/capabilities-retain-set"), set("os/linux/capabilities-retain-set")]),
        json!([{"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_FLY"]}}]),
        json!([{"name": "os/linux/capabilities-retain-set", "value": ["CAP_KILL"]}]),
        json!([{"name": "os/linux/no-new-privileges", "value": "yes"}]),
        json!([{"name": "os/linux/oom-score-adj", "value": 1001}]),
        json!([{"name": "os/linux/cpu-shares", "value": 1}]),
        json!([{"name": "resource/cpu", "value": {"limit": "0"}}]),
        json!([{"name": "resource/cpu", "value": {}}]),
        json!([{"name": "resource/memory", "value": {"request": "2G", "limit": "1G"}}]),
        json!([{"name": "memory/limit", "val": "much"}]),
        json!([{"name": "resource/tasks", "value": {"limit": 0}}]),
        json!([{"name": "resource/tasks", "value": {"limit": 4_194_305}}]),
        json!([{"name": "resource/tasks", "value": 5}]),
        json!([{"name": "resource/tmp", "value": {"inodes": 5}}]),
        json!([{"name": "resource/tmp", "value": {"limit": "0"}}]),
        json!([{"name": "resource/shm", "value": {"limit": "1M", "inodes": 0}}]),
        json!([{"name": "resource/shm", "value": "1M"}]),
        json!([{"name": "memory/limit", "val": "16Ei"}]),
        json!([{"name": "resource/memory", "value": {"limit": 9_223_372_036_854_775_808_u64}}]),
        json!([{"name": "resource/cpu", "value": {"limit": "300000"}}]),
        json!([{"name": "resource/cpu", "value": {"request": "1E"}}]),
        json!([{"name": "Not A Name", "value": 1}]),
    ] {
        assert!(isolators(&bad).is_err(), "{bad}");
    }
}
