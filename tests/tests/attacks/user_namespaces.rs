// SPDX-License-Identifier: Apache-2.0
//! An app that is root in a user namespace of its own mounts what is masked, and writes the host's sysctls.

use tests::host::can_run;

use crate::subject::{THROUGH, assert_said, undefended};

/// What takes a user namespace, made by unshare(2) in the program itself.
const MOUNTS: [&str; 5] = ["fresh-proc", "sysctl", "fresh-sysfs", "beneath-as-own-root", "beneath"];
/// What makes one by a call of each kind.
#[cfg(target_arch = "x86_64")]
const CALLS: [&str; 6] = ["clone", "clone3", "unshare", "i386-clone", "i386-clone3", "i386-unshare"];
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [&str; 0] = [];

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
