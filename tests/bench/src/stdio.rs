// SPDX-License-Identifier: Apache-2.0
//! The cost of apps' stdio: a gigabyte through `cat` in a pod, and through the same `cat` without one.
//!
//! Before the measurement, the pod's output is compared with its input byte for byte, and its stderr is checked
//! separately.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use testing::image::manifest;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;

use crate::compare::{Contender, Row, Turns, compare, in_shell};
use crate::work::Work;

/// The rows.
pub(crate) const PLAIN: usize = 0;
pub(crate) const IN_POD: usize = 1;
pub(crate) const NOTHING: usize = 2;

/// The pod's own program, from the unpacked small image, so that the pod is the only difference.
const BUSYBOX: &str = "trees/busybox/rootfs/bin/busybox";

/// Measures bytes through a pod, from a file to a pipe.
pub(crate) fn measure(work: &Work, (bytes, turns): (u64, Turns)) -> Result<Vec<Row>> {
    eprintln!("stdio");
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox()?;
    let copy = "echo aside >&2; exec cat";
    let image = gantry.image("cat", &busybox, &manifest("cat", &["/bin/sh", "-c", copy]));
    let (input, output) = (work.join("input"), gantry.beside("output"));
    let mut random = File::open("/dev/urandom")?.take(bytes);
    io::copy(&mut random, &mut File::create(&input)?).context("cannot write the input")?;

    let mut run = gantry.with_images("run", &[&image], &["--net=none"]);
    let ran = run.stdin(File::open(&input)?).stdout(File::create(&output)?).stderr(Stdio::piped()).spawn()?;
    let ran = ran.wait_with_output()?;
    ensure!(ran.status.success() && ran.stderr == b"aside\n", "the pod failed: {ran:?}");
    ensure!(same(&input, &output)?, "the output differs from the input");
    gantry.wait_all();

    let pod = gantry.pod();
    std::os::unix::fs::symlink(&pod, work.join("pod")).context("link to the pod")?;
    let init = "(cd pod && exec ./stage1/init 2>/dev/null)";
    let contenders = vec![
        Contender::new("cat", in_shell(&format!("{BUSYBOX} cat <input | cat >/dev/null"))),
        Contender::new("cat in a pod", in_shell(&format!("{init} <input | cat >/dev/null"))),
        Contender::new("a pod that copies nothing", in_shell(&format!("{init} </dev/null"))),
    ];
    let rows = compare(work, contenders, turns, ":")?;
    gantry.wait_all();
    work.shell("rm -f input pod")?;
    Ok(rows)
}

fn same(one: &Path, other: &Path) -> Result<bool> {
    Ok(Command::new("cmp").arg(one).arg(other).status().context("cmp")?.success())
}
