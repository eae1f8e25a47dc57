// SPDX-License-Identifier: Apache-2.0
//! An app makes system calls that its filter is about (crates/filter, docs/system-calls.md), in the ways of 64-bit and
//! of 32-bit programs.

use gate::root_test;
use serde_json::json;

use crate::subject::{
    Attacker, THROUGH, assert_said, attackers, in_pod, undefended, with_capabilities, with_hosts_users,
};

/// Calls that no app may make.
const REFUSED: [(&str, &str); 6] = [
    ("io_uring_setup", "ENOSYS"),
    ("join_keyring", "EPERM"),
    ("personality", "EPERM"),
    ("syslog", "EPERM"),
    ("i386-join_keyring", "EPERM"),
    ("i386-personality", "EPERM"),
];
/// Calls that programs need or protect themselves with, and that must reach the kernel.
const ALLOWED: [&str; 4] = ["i386-socketcall", "landlock", "mlockall", "pkey_alloc"];

fn all() -> Vec<&'static str> {
    REFUSED.iter().map(|(call, _)| *call).chain(ALLOWED).collect()
}

fn refused(call: &str) -> Option<String> {
    let (_, error) = REFUSED.iter().find(|(refused, _)| *refused == call)?;
    Some(format!("{call}: {error}"))
}

/// The control: what the kernel says to calls that no filter stops.
fn kernels(call: &str) -> String {
    match call {
        // The kernel has looked at the arguments.
        "io_uring_setup" => format!("{call}: EFAULT"),
        _ => THROUGH.into(),
    }
}

#[root_test]
fn the_filter_of_an_app_refuses_calls_and_lets_others_through() {
    let undefended = undefended(0, &all());
    let of_kernel = |call: &str| undefended[&("-".to_owned(), call.to_owned())].clone();
    assert_said(&in_pod(&attackers(), &all(), "overlay"), |_, call| {
        refused(call).unwrap_or_else(|| of_kernel(call))
    });
}

#[root_test]
fn capabilities_open_the_calls_that_need_them() {
    let attacker = with_capabilities("a", 0, "CAP_SYSLOG CAP_SYS_ADMIN");
    // With users of the pod's own, the kernel still refuses its log.
    assert_said(&with_hosts_users(&[attacker], &all(), "overlay"), |_, call| match call {
        "syslog" | "join_keyring" | "i386-join_keyring" => THROUGH.into(),
        other => {
            refused(other).unwrap_or_else(|| undefended(0, &[other])[&("-".into(), other.into())].clone())
        }
    });
}

/// Returns an attacker that asks for no filter.
fn unfiltered() -> Attacker {
    let set = json!({"name": "os/linux/seccomp-retain-set", "value": {"set": ["@appc.io/all"]}});
    Attacker { name: "a".into(), user: 0, isolators: vec![set], read_only: false }
}

/// The kernel decides then, and to it the app's root is nobody on the host.
#[root_test]
fn what_an_app_asks_for_takes_the_filters_place() {
    assert_said(&in_pod(&[unfiltered()], &all(), "overlay"), |_, call| match call {
        "syslog" => "syslog: EPERM".into(),
        "io_uring_setup" | "join_keyring" | "i386-join_keyring" | "personality" | "i386-personality" => {
            kernels(call)
        }
        other => undefended(0, &[other])[&("-".into(), other.into())].clone(),
    });
}

/// With the host's users, what reaches beyond the pod stays refused.
#[root_test]
fn what_an_app_with_the_hosts_users_asks_for_takes_the_filters_place_above_the_floor() {
    assert_said(&with_hosts_users(&[unfiltered()], &all(), "overlay"), |_, call| match call {
        "join_keyring" | "i386-join_keyring" | "syslog" => format!("{call}: EPERM"),
        "io_uring_setup" | "personality" | "i386-personality" => kernels(call),
        other => undefended(0, &[other])[&("-".into(), other.into())].clone(),
    });
}

#[root_test]
fn where_nothing_is_filtered_the_kernel_decides() {
    let calls: Vec<_> = REFUSED.iter().map(|(call, _)| *call).collect();
    assert_said(&undefended(0, &calls), |_, call| kernels(call));
}
