// SPDX-License-Identifier: Apache-2.0
//! The README's tour, command by command, as a person who follows it types it.

use std::fs;
use std::process::Command;

use gate::root_test;
use testing::image::manifest;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;
use testing::{program, repository, stage1};

/// The tour's heading, and the next one.
const FROM: &str = "## Ten minutes";
const TO: &str = "\n## ";

/// Returns the commands of the tour, and what each is to print: `# …` after a command.
fn tour() -> String {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, tour) = readme.split_once(FROM).expect("the README has a tour");
    let tour = tour.split_once(TO).map_or(tour, |(tour, _)| tour);
    let blocks = tour.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

#[root_test]
fn the_tour_works() {
    let gantry = Gantry::new();
    let place = gantry.beside("tour");
    fs::create_dir(&place).unwrap();
    let bin = gantry.beside("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program("installer"), bin.join("gantry")).unwrap();
    // What the tour takes from the host.
    let image = gantry.image("busybox", &Rootfs::busybox().unwrap(), &manifest("busybox", &["/bin/sh"]));
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(image).args(["--strip-components=3", "rootfs/usr/bin/busybox"]).current_dir(&place);
    assert!(tar.status().unwrap().success());
    let commands = tour().replace("$(command -v busybox)", "./busybox");
    let mut shell = Command::new("/bin/bash");
    shell.args(["-euxo", "pipefail", "-c", &commands]).current_dir(&place).env_clear();
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    shell.env("GANTRY_DIR", gantry.dir()).env("GANTRY_STAGE1", stage1());
    let output = shell.output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}\n{out}");
    for expected in commands.lines().filter_map(|line| line.split_once("   # ")).map(|(_, says)| says) {
        assert!(out.contains(expected), "{expected:?} is not in {out}\n{error}");
    }
    assert!(gantry.pods().is_empty(), "it leaves nothing");
}
