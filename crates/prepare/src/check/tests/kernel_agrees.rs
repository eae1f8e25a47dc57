// SPDX-License-Identifier: Apache-2.0
//! Compares the permission checks with the kernel's: in random trees, processes of other users enter directories and
//! execute files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use fastrand::Rng;
use rustix::fs::{XattrFlags, setxattr};
use serde_json::json;

use super::super::acl;
use super::{Case, elf};

const TREES: usize = 100;
const IDS: [u32; 3] = [0, 4242, 4243];

/// Makes a tree of two directories and a program, with random permissions.
fn tree(rng: &mut Rng) -> Case {
    let case = Case::new().file("a/b/run", 0o755, &elf(None));
    for path in ["a/b/run", "a/b", "a"] {
        let any = |rng: &mut Rng| Some(IDS[rng.usize(..IDS.len())]);
        chown(case.path(path), any(rng), any(rng)).unwrap();
        // Mostly permissive, so that some trees are accessible all the way.
        let mode = rng.u32(..0o1000) | if rng.bool() { 0o111 } else { 0 };
        fs::set_permissions(case.path(path), fs::Permissions::from_mode(mode)).unwrap();
        if rng.u8(..3) == 0 {
            let mut bits = || rng.u16(..8) | 1 & rng.u16(..3);
            let entries = [
                (0x01, bits(), u32::MAX),
                (0x02, bits(), 4242),
                (0x04, bits(), u32::MAX),
                (0x08, bits(), 4243),
                (0x10, bits(), u32::MAX),
                (0x20, bits(), u32::MAX),
            ];
            setxattr(case.path(path), acl::ATTRIBUTE, &acl::tests::value(&entries), XattrFlags::empty())
                .unwrap();
        }
    }
    case
}

#[gate::root_test]
fn the_kernel_agrees() {
    let seed = std::env::var("GANTRY_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("GANTRY_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut started, mut denied) = (0, 0);
    for _ in 0..TREES {
        let case = tree(&mut rng);
        fs::set_permissions(case.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (uid, gid) in [(0, 0), (4242, 4242), (4242, 4243), (5, 4243), (5, 5)] {
            let mut command = Command::new(case.path("a/b/run"));
            command.uid(uid).gid(gid).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let app = |directory: &str| {
                let mut app = case.app.clone();
                for (field, value) in [("exec", json!(["/a/b/run"])), ("workingDirectory", json!(directory))]
                {
                    app[field] = value;
                }
                (app["user"], app["group"]) = (json!(uid.to_string()), json!(gid.to_string()));
                app
            };
            for (directory, entered) in [("/", ""), ("/a/b", "a/b")] {
                command.current_dir(case.path(entered));
                let kernels = match command.spawn() {
                    Ok(mut child) => child.wait().map(|_| true).unwrap(),
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
                    Err(error) => panic!("{error}"),
                };
                let ours = case.check_app(&app(directory));
                assert_eq!(ours.is_ok(), kernels, "seed {seed}: {uid}:{gid} in {directory}: {ours:?}");
                if kernels { started += 1 } else { denied += 1 }
            }
        }
    }
    assert!(started > TREES && denied > TREES, "{started} started, {denied} denied");
}
