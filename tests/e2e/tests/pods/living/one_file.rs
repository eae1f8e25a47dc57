// SPDX-License-Identifier: Apache-2.0
//! The program as one file: with stage1 built in, and nothing beside it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use gate::root_test;
use testing::image::script;
use testing::pods::Gantry;
use testing::repository;
use testing::rootfs::Rootfs;

use super::text;

/// Copies the program alone into a directory of its own.
fn alone(gantry: &Gantry) -> PathBuf {
    let program = gantry.beside("alone/gantry");
    fs::create_dir(program.parent().unwrap()).unwrap();
    fs::copy(repository().join("dist/gantry"), &program).expect("make one has built dist/gantry");
    program
}

fn call(gantry: &Gantry, program: &PathBuf, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.env_clear().arg("--dir").arg(gantry.dir()).args(words);
    let output = command.output().unwrap();
    gantry.wait_all();
    output
}

#[root_test]
fn one_file_runs_a_pod() {
    let gantry = Gantry::new();
    let program = alone(&gantry);
    let image = gantry.image("hello", &Rootfs::busybox().unwrap(), &script("hello", "echo hello"));
    let image = image.to_str().unwrap();
    let ran = call(&gantry, &program, &["run", image]);
    assert_eq!((text(&ran.stdout).as_str(), text(&ran.stderr).as_str()), ("hello\n", ""));
    // Another stage1 is read from its file, and has to have its digest.
    let bad = gantry.beside("stage1.tar.xz");
    fs::write(&bad, "no tarball").unwrap();
    let refused = call(&gantry, &program, &["run", image, "--stage1", bad.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(254));
    assert!(text(&refused.stderr).contains("stage1.tar.xz.sha256"), "{refused:?}");
}

#[root_test]
fn a_pod_may_have_another_init() {
    let gantry = Gantry::new();
    let image = gantry.image("hello", &Rootfs::busybox().unwrap(), &script("hello", "echo hello"));
    let init = gantry.beside("init");
    fs::copy(repository().join("dist/init"), &init).unwrap();
    let init = init.to_str().unwrap();
    for layout in ["overlay", "copy"] {
        let pod = gantry.prepare(&[&image], &["--stage1-init", init, "--layout", layout]);
        let [own, given] =
            [pod.join("stage1/init"), init.into()].map(|path: PathBuf| fs::read(path).unwrap());
        assert!(own == given, "{layout}");
        let ran = gantry.installer().arg("run").arg(&pod).output().unwrap();
        assert_eq!(text(&ran.stdout), "hello\n", "{layout}: {ran:?}");
        gantry.wait_all();
    }
    let verified = gantry.installer().arg("verify").output().unwrap();
    assert!(verified.status.success(), "it is no damage: {verified:?}");
    let none = gantry.installer().args(["prepare", "--stage1-init", "/none"]).arg(&image).output().unwrap();
    assert!(text(&none.stderr).starts_with("error: /init of stage1: "), "{none:?}");
}
