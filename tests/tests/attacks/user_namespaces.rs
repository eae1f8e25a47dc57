// SPDX-License-Identifier: Apache-2.0
//! An app that is root in a user namespace of its own mounts what is masked, and writes the host's sysctls.

use tests::host::can_run;

use crate::subject::{THROUGH, assert_said, in_pod, undefended, with_capabilities};

/// What takes a user namespace, made by unshare(2) in the program itself.
const MOUNTS: [&str; 5] = ["fresh-proc", "sysctl", "fresh-sysfs", "beneath-as-own-root", "beneath"];
/// What makes one by a call of each kind.
#[cfg(target_arch = "x86_64")]
const CALLS: [&str; 6] = ["clone", "clone3", "unshare", "i386-clone", "i386-clone3", "i386-unshare"];
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [&str; 0] = [];

/// With CAP_SYS_ADMIN an app may make user namespaces. What such a namespace may mount depends on what is in the app's
/// mount namespace, and nothing unmasked is.
#[test]
fn no_mount_namespace_of_an_app_has_what_is_not_masked() {
    if !can_run("no_mount_namespace_of_an_app_has_what_is_not_masked") {
        return;
    }
    let capabilities = "CAP_SYS_ADMIN CAP_SYS_CHROOT";
    let attackers = [0, 1000].map(|user| with_capabilities(&format!("u{user}"), user, capabilities));
    let attacks: Vec<_> = MOUNTS.into_iter().chain(CALLS).collect();
    for layout in ["overlay", "copy"] {
        assert_said(&in_pod(&attackers, &attacks, layout), |app, attack| {
            match attack {
                "fresh-proc" | "sysctl" => "mount proc: EPERM",
                "fresh-sysfs" => "mount sysfs: EPERM",
                // What is mounted is locked together.
                "beneath-as-own-root" => "nothing is beneath",
                "beneath" if app == "u1000" => "unshare: EPERM",
                "beneath" => "nothing is beneath",
                _ => THROUGH,
            }
            .into()
        });
    }
}

#[test]
fn where_nothing_is_defended_user_namespaces_mount_what_is_masked() {
    if !can_run("where_nothing_is_defended_user_namespaces_mount_what_is_masked") {
        return;
    }
    let attacks: Vec<_> = MOUNTS.into_iter().chain(CALLS).collect();
    for user in [0, 1000] {
        assert_said(&undefended(user, &attacks), |_, attack| {
            match attack {
                "sysctl" if user != 0 => "open core_pattern: EACCES",
                "beneath-as-own-root" => "nothing is beneath",
                "beneath" if user != 0 => "unshare: EPERM",
                _ => THROUGH,
            }
            .into()
        });
    }
}
