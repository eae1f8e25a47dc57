// SPDX-License-Identifier: Apache-2.0
//! Firewalls that the host has had before nf_tables.

use gate::root_test;
use testing::image::{manifest, script};
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

/// Runs iptables-legacy on this test's host, as its administrator would.
fn iptables(gantry: &Gantry, words: &[&str]) {
    let exec: Vec<_> = ["/usr/sbin/xtables-legacy-multi", "iptables"].iter().chain(words).copied().collect();
    let image = gantry.image("iptables", &Rootfs::iptables().unwrap(), &manifest("iptables", &exec));
    let options = ["--net", "host", "--userns", "host", "--cap-add", "NET_ADMIN,NET_RAW"];
    let (code, output) = gantry.start(&gantry.prepare(&[&image], &options)).wait();
    assert_eq!(code, 0, "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// Returns the warnings of a pod.
fn warnings(gantry: &Gantry) -> Vec<String> {
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", "exit 0"));
    let (code, output) = gantry.start(&gantry.prepare(&[&image], &[])).wait();
    assert_eq!(code, 0);
    text(&output.stderr).lines().map(str::to_owned).collect()
}

#[root_test]
fn tables_of_iptables_legacy_that_drop_are_named_with_the_rules_that_help() {
    let gantry = Gantry::new();
    assert_eq!(warnings(&gantry), [""; 0]);
    iptables(&gantry, &["-P", "FORWARD", "DROP"]);
    let expected = "warning: the chain FORWARD of iptables-legacy drops what is forwarded to and from the pod: expected \
                    rules as by iptables -I FORWARD -i gantry+ -j ACCEPT and iptables -I FORWARD -o gantry+ -j ACCEPT";
    assert_eq!(warnings(&gantry), [expected]);
    for direction in ["-i", "-o"] {
        iptables(&gantry, &["-I", "FORWARD", direction, "gantry+", "-j", "ACCEPT"]);
    }
    assert_eq!(warnings(&gantry), [""; 0], "with the rules, there is nothing to say");
}
