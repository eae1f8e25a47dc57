// SPDX-License-Identifier: Apache-2.0
//! Names in pods: an image's own hosts file.

use gate::root_test;
use testing::image::script;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

/// What an image's authors may have written: neither the pod's name nor all of loopback's.
const OWN: &str = "127.0.0.1 localhost\n192.0.2.7 db # theirs";

#[root_test]
fn an_images_own_hosts_file_is_kept_and_the_pods_name_resolves() {
    let gantry = Gantry::new();
    let tree = Rootfs::busybox().unwrap().with("etc/hosts", Node::File(0o644, OWN.into()));
    let image = gantry.image("app", &tree, &script("app", "cat /etc/hosts; echo x >>/etc/hosts"));
    for layout in ["overlay", "copy"] {
        let pod = gantry.prepare(&[&image], &["--hostname", "web", "--layout", layout]);
        for _ in 0..2 {
            let (_, output) = gantry.start(&pod).wait();
            let hosts = text(&output.stdout);
            assert!(hosts.starts_with(&format!("{OWN}\n")), "{layout}: {hosts}");
            assert_says(&hosts, &[" web\n", " host.gantry.internal\n", "::1 ip6-localhost"]);
            assert_eq!(hosts.matches(" web\n").count(), 2, "once for each protocol: {hosts}");
        }
    }
    let pod = gantry.prepare(&[&image], &["--hosts", "none"]);
    assert_eq!(text(&gantry.start(&pod).wait().1.stdout), OWN, "as it is");
    let pod = gantry.prepare(&[&image], &["--hosts", "none"]);
    gantry.start(&pod).wait();
    assert_eq!(text(&gantry.start(&pod).wait().1.stdout), format!("{OWN}x\n"), "it is the app's to write");
}
