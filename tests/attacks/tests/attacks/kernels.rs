// SPDX-License-Identifier: Apache-2.0
//! The same attacks on other kernels, with cgroup v2 alone: that of the host's distribution with the stage1 under test, and that of
//! a newer release with its systemd.

use std::collections::BTreeMap;
use std::thread;

use gate::vm_test;
use pod::digest::Digest;
use sha2::{Digest as _, Sha256};
use testing::image::manifest;
use testing::vm::{Step, System, Vm};

use crate::kinds;
use crate::matrix::without_terminal;
use crate::subject::{THROUGH, parse, rootfs};

/// Runs a pod until all its apps have made their attacks, and ends it. Prints what they said.
const ATTACK: &str = r#"
pod=$(installer --dir /var/gantry prepare --stage1 /stage1.tar.xz \
    --stage1-sha256 $(cut -d' ' -f1 /stage1.tar.xz.sha256) --layout "$1" \
    --image /attack.aci --pod-manifest /pod.json 2>/tmp/prepare) || { cat /tmp/prepare; exit 1; }
mkfifo /tmp/said-$1
cd "$pod"
./stage1/init >/tmp/said-$1 &
exec 3</tmp/said-$1
stay=0
while [ $stay -lt $2 ] && read -r line <&3; do
    case $line in
        *" stays") stay=$((stay + 1)) ;;
        *) echo "$line" ;;
    esac
done
kill -TERM $!
wait $!
"#;

fn boot(system: System) -> anyhow::Result<BTreeMap<String, Step>> {
    let (mut image, text) = (Vec::new(), manifest("attack", &["/attack"]));
    rootfs().write_image(text.to_string().as_bytes(), &mut image)?;
    let id = Digest::Sha256(Sha256::digest(image).into()).to_string();
    let (apps, victim) = (kinds::all(), kinds::victims());
    let pod = kinds::pod("vm", "/var/host", &id, Some(&victim), &apps, &without_terminal());
    let step = |layout: &str| format!("mkdir -p /var/host\nset -- {layout} {}\n{ATTACK}", apps.len() + 1);
    Vm::new(system)?
        .image("attack", &rootfs(), &text)?
        .file("pod.json", 0o644, pod.to_string())
        .step("overlay", &step("overlay"))
        .step("copy", &step("copy"))
        .boot()
}

#[vm_test]
fn no_attack_gets_through_on_other_kernels() {
    thread::scope(|scope| {
        for system in [System::Hosts, System::Newer] {
            scope.spawn(move || {
                for (layout, step) in boot(system).unwrap() {
                    assert_eq!(step.code, 0, "{system:?}, {layout}: {}", step.output);
                    let is_outcome = |line: &&str| !line.starts_with("warning: ");
                    let said: Vec<_> = step.output.lines().filter(is_outcome).collect();
                    let said = parse(&said.join("\n"));
                    assert_eq!(said.len(), kinds::all().len() * without_terminal().len(), "{said:#?}");
                    let through: Vec<_> = said.iter().filter(|(_, outcome)| *outcome == THROUGH).collect();
                    assert!(through.is_empty(), "{system:?}, {layout}: {through:#?}");
                }
            });
        }
    });
}
