// SPDX-License-Identifier: Apache-2.0
//! What the start and the end of a pod take, as numbers that are the same on every machine: a change that costs time shows
//! here, also where no time can be measured. Fewer is better; whoever changes a number writes it into the table.

use std::process::Command;

use gate::root_test;
use syscall_faults::trace::{self, Counts};
use testing::image::manifest;
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

/// What `/init` and all that it starts are known to take, with a version of systemd.
struct Known {
    systemd: u32,
    /// A pod of one `true`, with users and a network of its own.
    one: Counts,
    /// What each further app adds.
    further: Counts,
}

/// From 254 on, systemd makes processes in their cgroups (clone3(2), CLONE_INTO_CGROUP).
const KNOWN: [Known; 2] = [
    Known {
        systemd: 252,
        one: Counts { processes: 10, threads: 0, mounts: 108, unmounts: 4, migrations: 11, inotify: 10 },
        further: Counts { processes: 4, threads: 0, mounts: 28, unmounts: 1, migrations: 4, inotify: 1 },
    },
    Known {
        systemd: 257,
        one: Counts { processes: 10, threads: 0, mounts: 121, unmounts: 7, migrations: 8, inotify: 10 },
        further: Counts { processes: 4, threads: 0, mounts: 28, unmounts: 1, migrations: 2, inotify: 1 },
    },
];

#[root_test]
fn a_start_takes_what_it_is_known_to_take_and_each_app_the_same() {
    let (known, one) = counts(1);
    assert_eq!(one, known.one, "one app, systemd {}", known.systemd);
    // Two more, so that what grows faster than the number of apps shows.
    let Counts { processes, threads, mounts, unmounts, migrations, inotify } = known.further;
    let expected = Counts {
        processes: one.processes + 2 * processes,
        threads: one.threads + 2 * threads,
        mounts: one.mounts + 2 * mounts,
        unmounts: one.unmounts + 2 * unmounts,
        migrations: one.migrations + 2 * migrations,
        inotify: one.inotify + 2 * inotify,
    };
    assert_eq!(counts(3).1, expected, "three apps, systemd {}", known.systemd);
}

/// Runs a pod of so many apps. Returns what it took, and what is known of its systemd.
fn counts(apps: usize) -> (&'static Known, Counts) {
    let gantry = Gantry::new();
    let image = |number| {
        let name = format!("app{number}");
        gantry.image(&name, &Rootfs::busybox().unwrap(), &manifest(&name, &["/bin/true"]))
    };
    let images: Vec<_> = (0..apps).map(image).collect();
    let images: Vec<_> = images.iter().map(|image| image.as_path()).collect();
    let pod = gantry.prepare(&images, &[]);
    let mut init = Command::new("./stage1/init");
    let run = trace::run(init.current_dir(&pod), |_| None).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    gantry.wait_all();
    (known(&gantry), run.counts)
}

fn known(gantry: &Gantry) -> &'static Known {
    let mut find = Command::new("find");
    let found = find.arg(gantry.dir()).args(["-name", "libsystemd-core-*.so"]).output().unwrap();
    let found = text(&found.stdout);
    let known = KNOWN.iter().find(|known| found.contains(&format!("libsystemd-core-{}.so", known.systemd)));
    known.unwrap_or_else(|| panic!("nothing is known of the systemd with {found}"))
}
