// SPDX-License-Identifier: Apache-2.0
//! Apps that say themselves when they are up, as images of services say that they do. What a service manager then sees is in
//! `service_manager`.

use std::fs;

use gate::root_test;
use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

use super::{annotate, roots, run};

/// Without a service manager that waits. An app that ends before it has said so has ended as any other.
#[root_test]
fn an_app_that_says_when_it_is_up_reaches_its_own_systemd_alone() {
    let notify = |mut image: Value| {
        image["annotations"] = json!([{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]);
        image
    };
    let look = "echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && echo socket; rm $NOTIFY_SOCKET 2>/dev/null || echo stays; exit 3";
    for users in ["own", "shared", "host"] {
        let gantry = Gantry::new();
        let output = run(&gantry, &notify(roots(look)), &["--userns", users]);
        let said = text(&output.stdout);
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(3), "/dev/notify\nsocket\nstays\n"),
            "{users}"
        );
    }
    let gantry = Gantry::new();
    // The caller's is not the app's, and one of the image's own counts.
    let others = roots("echo ${NOTIFY_SOCKET-none}; ls /dev/notify 2>/dev/null");
    let output = run(&gantry, &others, &["-e", "NOTIFY_SOCKET=/own"]);
    assert_eq!(text(&output.stdout), "/own\n");
    let tree = Rootfs::busybox().unwrap();
    let tree = tree.with("notifies", Node::File(0o755, fs::read(testing::program("notifies")).unwrap()));
    for word in ["READY=1", "MAINPID=1\nREADY=1", "STOPPING=1", "nonsense\n\n="] {
        let gantry = Gantry::new();
        let image = notify(manifest("field", &["/notifies", "/notifies", word]));
        let image = gantry.image("field", &tree, &image);
        let pod = gantry.prepare(&[&image], &[]);
        let mut running = gantry.start(&pod);
        running.wait_for("said");
        running.signal(SIGTERM);
        let (code, _) = running.wait();
        assert_eq!(code, 0, "{word:?}");
    }
    let bad = run(
        &gantry,
        &{
            let mut image = roots("true");
            annotate(&mut image, "appc.io/executor/supports-systemd-notify", "yes");
            image
        },
        &[],
    );
    assert_eq!(bad.status.code(), Some(254));
    assert_says(&text(&bad.stderr), &["supports-systemd-notify", "expected true or false"]);
}
