// SPDX-License-Identifier: Apache-2.0
//! nspawn's command line: the bundled dynamic linker runs the bundled systemd-nspawn with the bundled libraries.
//!
//! Every path is a path in the private root, so no word of this command line comes from outside. systemd-nspawn(1)
//! explains the options. `--keep-unit` is there because `--register=no` alone fails without a system bus,
//! `--console=pipe` because it keeps nspawn from putting a terminal between the apps and the caller.

use pod::Pod;
use pod::arch::Arch;
use pod::isolators::CapabilitySet;
use pod::network::Mode;

use super::options::{Manager, Options};
use crate::load::ids::Ids;
use crate::names::{BOOT_PATH, POD, TIMED};

/// The index of nspawn's own path in the command line; the words before it are the loader's.
pub(crate) const NSPAWN: usize = 5;

/// Builds nspawn's command line, beginning with the loader's path.
///
/// `ids` are those of the pod's users, and `capabilities` those that apps may have beyond nspawn's default.
pub(crate) fn words(
    arch: &Arch,
    pod: &Pod,
    ids: Option<Ids>,
    capabilities: CapabilitySet,
    options: &Options,
) -> Vec<String> {
    let debug = options.debug;
    let libraries = format!("{POD}/{}", arch.libraries);
    let mut words = vec![
        format!("{POD}/{}", arch.loader),
        "--library-path".into(),
        format!("{libraries}:{libraries}/systemd:{POD}/usr/lib/systemd"),
        "--argv0".into(),
        "systemd-nspawn".into(),
        format!("{POD}/usr/bin/systemd-nspawn"),
        // What --boot would set. The boot program becomes systemd.
        "--kill-signal=SIGRTMIN+3".into(),
        "--register=no".into(),
        "--keep-unit".into(),
        "--settings=false".into(),
        // systemd's messages need a console. Without them nspawn must not put a terminal anywhere.
        format!("--console={}", if debug { "read-only" } else { "pipe" }),
        "--resolv-conf=off".into(),
        "--timezone=off".into(),
        "--link-journal=no".into(),
        format!("--uuid={}", pod.id),
        format!("--machine={}", pod.id.host_name()),
        format!("--directory={POD}"),
    ];
    words.extend(pod.host_name.as_ref().map(|name| format!("--hostname={name}")));
    if let Some(ids) = ids {
        // The ids were taken, and what is mounted belongs to them.
        words.push(format!("--private-users={}:{}", ids.first(), ids.count()));
        words.push("--private-users-ownership=off".into());
    }
    // Over nspawn's own, which takes a part of the host's memory.
    let (bytes, inodes) = (pod.shm.bytes(), pod.shm.inodes());
    words.push(format!("--tmpfs=/dev/shm:mode=1777,nosuid,size={bytes},nr_inodes={inodes}"));
    if pod.network.mode != Mode::Host {
        words.push("--private-network".into());
    }
    let names: Vec<_> = capabilities.iter().map(|one| one.to_string()).collect();
    words.extend((!names.is_empty()).then(|| format!("--capability={}", names.join(","))));
    words.extend((!debug).then(|| "--quiet".into()));
    words.extend((options.manager == Manager::Waits).then(|| "--notify-ready=yes".into()));
    words.extend(["--", BOOT_PATH].map(str::to_owned));
    words.extend(options.timing.then(|| TIMED.into()));
    words.push("--default-standard-output=null".into());
    let logging: &[&str] = if debug {
        &["--log-target=console", "--log-level=debug", "--show-status=0"]
    } else {
        &["--log-target=null", "--show-status=0"]
    };
    words.extend(logging.iter().map(|word| (*word).to_owned()));
    words
}
