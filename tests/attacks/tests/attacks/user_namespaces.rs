// SPDX-License-Identifier: Apache-2.0
//! An app that is root in a user namespace of its own mounts what is masked, and writes the host's sysctls.

use gate::root_test;
use serde_json::json;
use testing::launcher::Pods;

use crate::subject::{
    Attacker, THROUGH, assert_said, attackers, in_pod, launched, undefended, with_capabilities,
    with_hosts_users,
};

/// Attacks that need a user namespace, made by unshare(2) in the program itself, or a mount namespace.
const MOUNTS: [&str; 5] = ["fresh-proc", "sysctl", "fresh-sysfs", "beneath-as-own-root", "beneath"];
/// Attacks that make a user namespace, one by each kind of call.
#[cfg(target_arch = "x86_64")]
const CALLS: [&str; 6] = ["clone", "clone3", "unshare", "i386-clone", "i386-clone3", "i386-unshare"];
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [&str; 0] = [];

/// Returns the outcome of an attack whose user namespace is refused.
fn refused(attack: &str) -> String {
    match attack {
        call if call.ends_with("clone3") => format!("{call}: ENOSYS"),
        call if CALLS.contains(&call) => format!("{call}: EPERM"),
        _ => "unshare: EPERM".into(),
    }
}

#[root_test]
fn no_app_makes_a_user_namespace_without_the_capability() {
    let attacks: Vec<_> = MOUNTS.into_iter().chain(CALLS).collect();
    for layout in ["overlay", "copy"] {
        assert_said(&in_pod(&attackers(), &attacks, layout), |_, attack| refused(attack));
    }
}

/// An app whose own filter is set in place of the default one.
fn with_own_filter(name: &str, set: &[&str]) -> Attacker {
    let set = json!({"name": "os/linux/seccomp-remove-set", "value": {"set": set, "errno": "EACCES"}});
    Attacker { name: name.into(), user: 0, isolators: vec![set], read_only: false }
}

/// Returns the outcome of an attack in a user namespace that the app may make: the kernel finds nothing unmasked.
fn in_own_namespace(attack: &str) -> &'static str {
    match attack {
        "fresh-proc" | "sysctl" => "mount proc: EPERM",
        "fresh-sysfs" => "mount sysfs: EPERM",
        // The mounts are locked together.
        "beneath-as-own-root" | "beneath" => "nothing is beneath",
        _ => THROUGH,
    }
}

/// A filter that an app asks for may let it make user namespaces. They give it nothing.
#[root_test]
fn an_app_with_a_filter_of_its_own_mounts_nothing_that_is_not_masked() {
    let attackers = [with_own_filter("another", &["acct"]), with_own_filter("same", &["clone3"])];
    let attacks: Vec<_> = MOUNTS.into_iter().chain(CALLS).collect();
    for layout in ["overlay", "copy"] {
        assert_said(&in_pod(&attackers, &attacks, layout), |app, attack| match attack {
            "clone3" if app == "same" => "clone3: EACCES".into(),
            // An app's filter has the numbers of this architecture, and denies all other architectures.
            call if call.starts_with("i386") => format!("{call}: EACCES"),
            "beneath" => "unshare: EPERM".into(),
            other => in_own_namespace(other).into(),
        });
    }
}

/// With the host's users, user namespaces stay refused below the app's own filter. If both stop a call, the app's decides
/// about the error.
#[root_test]
fn user_namespaces_are_refused_beside_the_filter_of_an_app_with_the_hosts_users() {
    let attackers = [with_own_filter("another", &["acct"]), with_own_filter("same", &["clone3"])];
    let attacks: Vec<_> = MOUNTS.into_iter().chain(CALLS).collect();
    assert_said(&with_hosts_users(&attackers, &attacks, "overlay"), |app, attack| match attack {
        "clone3" if app == "same" => "clone3: EACCES".into(),
        call if call.starts_with("i386") => format!("{call}: EACCES"),
        other => refused(other),
    });
}

/// Tests the launcher without its filter and with it, with the pod's root where old and where new versions of nspawn
/// have it.
#[root_test]
fn the_launcher_defends_twice() {
    for pods in [Pods::Over, Pods::InPlace] {
        let attacks: Vec<_> = ["fresh-sysfs"].into_iter().chain(CALLS).collect();
        assert_said(&launched(pods, &json!({"capabilities": [21]}), &attacks), |_, attack| match attack {
            "fresh-sysfs" => "mount sysfs: EPERM".into(),
            _ => THROUGH.into(),
        });
        assert_said(&launched(pods, &json!({}), &attacks), |_, attack| refused(attack));
    }
}

/// With CAP_SYS_ADMIN an app may make user namespaces. What such a namespace may mount depends on what is in the app's
/// mount namespace, and nothing there is unmasked.
#[root_test]
fn no_mount_namespace_of_an_app_has_what_is_not_masked() {
    let capabilities = "CAP_SYS_ADMIN CAP_SYS_CHROOT";
    let attackers = [0, 1000].map(|user| with_capabilities(&format!("u{user}"), user, capabilities));
    let attacks: Vec<_> = MOUNTS.into_iter().chain(CALLS).collect();
    for layout in ["overlay", "copy"] {
        assert_said(&in_pod(&attackers, &attacks, layout), |app, attack| {
            match attack {
                "beneath" if app == "u1000" => "unshare: EPERM",
                _ => in_own_namespace(attack),
            }
            .into()
        });
    }
}

#[root_test]
fn where_nothing_is_defended_user_namespaces_mount_what_is_masked() {
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
