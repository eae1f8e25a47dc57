// SPDX-License-Identifier: Apache-2.0
//! A virtual machine with a minimal host: a distribution's kernel in qemu, with an initial ramfs that holds busybox, the
//! installer, stage1 and what a test adds.
//!
//! It provides what the host of the tests may lack: a root that can't be pivoted away, cgroup v2 with every controller, and
//! other kernels. Its /var is a disk of its own, with ext4. Invariant: the machine reaches no other disk and no network,
//! and ends within ten minutes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::rootfs::{Node, Rootfs};
use crate::{newer, packages, program, stage1};

/// The time limit of a machine, in seconds. Booting takes a few, and so does each pod: with all of a suite, a minute where nothing
/// else runs.
const LIMIT: &str = "600";

/// The size of its disk, which takes as much on the host as is written to it.
const DISK: u64 = 1 << 30;
/// The modules that the machine loads, in this order, as far as they aren't built into its kernel.
const MODULES: [&str; 23] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "overlay",
    // For networks of pods' own.
    "crc32c_generic",
    "libcrc32c",
    "veth",
    "nfnetlink",
    "nf_tables",
    "nf_defrag_ipv4",
    "nf_defrag_ipv6",
    "nf_conntrack",
    "nf_nat",
    "nft_ct",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_fib",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
];

/// Whose kernel and stage1 a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The kernel of the host's distribution, and the stage1 under test.
    Hosts,
    /// Those of a newer release: [`newer`].
    Newer,
}

/// What follows a module's name where modules are compressed, which this machine's insmod can't read.
const COMPRESSED: &str = ".xz";

/// A machine, before it boots.
#[derive(Debug)]
pub struct Vm {
    kernel: Vec<u8>,
    root: Rootfs,
    steps: usize,
}

/// The result of one of the machine's steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The exit code.
    pub code: i32,
    /// The output to stdout and stderr, in order.
    pub output: String,
}

impl Vm {
    /// Makes a machine that has busybox and `installer` in its PATH, and `/stage1.tar.xz` with its digest beside it. /run,
    /// /tmp and /var are empty, and /var is on its disk.
    ///
    /// # Errors
    /// Fails if a package is unavailable, or a program was not built.
    pub fn new(system: System) -> Result<Self> {
        let stage1 = match system {
            System::Hosts => stage1(),
            System::Newer => newer::stage1()?,
        };
        let root = Rootfs::busybox()?
            .with("init", Node::File(0o755, include_bytes!("vm-init.sh").into()))
            .with("usr/bin/installer", Node::File(0o755, read(&program("installer"))?))
            .with("stage1.tar.xz.sha256", Node::File(0o644, read(&stage1.with_extension("xz.sha256"))?))
            .with("stage1.tar.xz", Node::File(0o644, read(&stage1)?))
            // Nobody answers there, and pods have no reason to warn.
            .with("etc/resolv.conf", Node::File(0o644, b"nameserver 192.0.2.53\n".into()));
        let mounts = ["proc", "sys", "dev", "run", "var"];
        let root = mounts.iter().fold(root, |root, path| root.with(path, Node::Directory(0o755)));
        let Kernel { image, modules } = fetch_kernel(system)?;
        let root = modules.into_iter().fold(root, |root, (order, content)| {
            root.with(&format!("modules/{order:02}.ko"), Node::File(0o644, content))
        });
        Ok(Self { kernel: image, root, steps: 0 })
    }

    /// Puts a file into the machine's root.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self { root: self.root.with(path, Node::File(mode, content.into())), ..self }
    }

    /// Puts an image at `/NAME.aci`.
    ///
    /// # Errors
    /// Fails if it can't be written.
    pub fn image(self, name: &str, rootfs: &Rootfs, manifest: &Value) -> Result<Self> {
        let mut image = Vec::new();
        rootfs.write_image(manifest.to_string().as_bytes(), &mut image)?;
        Ok(self.file(&format!("{name}.aci"), 0o644, image))
    }

    /// Adds a shell script that the machine runs after those added before.
    #[must_use]
    pub fn step(mut self, name: &str, script: &str) -> Self {
        self.steps += 1;
        // The machine runs the steps in the order of their names.
        let path = format!("steps/{:03}-{name}", self.steps);
        self.file(&path, 0o644, script)
    }

    /// Boots the machine and returns its steps by name once it is off.
    ///
    /// # Errors
    /// Fails if qemu or the kernel is unavailable, or if the machine ends before its last step. The error contains
    /// everything the machine wrote.
    pub fn boot(&self) -> Result<BTreeMap<String, Step>> {
        let directory = tempfile::tempdir()?;
        let (kernel, initrd) = (directory.path().join("kernel"), directory.path().join("initrd"));
        fs::write(&kernel, &self.kernel)?;
        let disk = directory.path().join("disk");
        fs::File::create(&disk)?.set_len(DISK)?;
        let made =
            Command::new("mkfs.ext4").arg("-q").arg(&disk).status().context("cannot execute mkfs.ext4")?;
        ensure!(made.success(), "mkfs.ext4, {made}");
        self.root.write_initramfs(fs::File::create(&initrd)?)?;
        // timeout(1) ends qemu even if the test itself is gone.
        let output = Command::new("timeout")
            .args(["--foreground", "--signal=KILL", LIMIT, "qemu-system-x86_64"])
            .args(["-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio", "-append", "console=ttyS0 quiet panic=-1"])
            .arg("-drive")
            .arg(format!("if=virtio,format=raw,file={}", disk.display()))
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initrd)
            .stdin(Stdio::null())
            .output()
            .context("cannot execute timeout")?;
        let console = String::from_utf8_lossy(&output.stdout);
        let steps = parse(&console);
        if steps.len() != self.steps || !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("qemu, {}, after {} of {} steps: {said}{console}", output.status, steps.len(), self.steps);
        }
        Ok(steps)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns the steps that have ended, from the output of `vm-init.sh`.
fn parse(console: &str) -> BTreeMap<String, Step> {
    let sections = console.split("vm: step ").skip(1);
    let ended = sections.filter_map(|section| {
        let (name, rest) = section.split_once('\n')?;
        let (output, rest) = rest.rsplit_once("\nvm: exit ")?;
        let (_, name) = name.split_once('-')?;
        let code = rest.lines().next()?.parse().ok()?;
        Some((name.to_owned(), Step { code, output: output.to_owned() }))
    });
    ended.collect()
}

/// A kernel, and its modules by their order in [`MODULES`].
struct Kernel {
    image: Vec<u8>,
    modules: BTreeMap<usize, Vec<u8>>,
}

/// Returns the distribution's kernel for virtual machines.
fn fetch_kernel(system: System) -> Result<Kernel> {
    let name = if packages::is_ubuntu()? { "linux-image-virtual" } else { "linux-image-cloud-amd64" };
    let packages = match system {
        System::Hosts => packages::fetch(name)?,
        System::Newer => packages::fetch_of(newer::codename()?, name)?,
    };
    let is_kernel = |path: &Path| {
        path.parent() == Some(Path::new("boot"))
            && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz-"))
    };
    let order = |path: &Path| {
        let file = path.file_name()?.to_str()?;
        let file = file.strip_suffix(COMPRESSED).unwrap_or(file).strip_suffix(".ko")?;
        MODULES.iter().position(|module| *module == file.replace('-', "_"))
    };
    for package in packages.iter().filter(|package| package.name.starts_with("linux-image-")) {
        let (mut image, mut modules) = (None, BTreeMap::new());
        package.visit(
            |path, _| is_kernel(path) || order(path).is_some(),
            |entry| match order(&entry.path) {
                Some(order) => drop(modules.insert(order, (entry.path, entry.contents))),
                None => image = Some(entry.contents),
            },
        )?;
        if let Some(image) = image {
            let modules = modules.into_iter().map(|(order, (path, content))| {
                let is_plain = path.extension().is_some_and(|extension| extension == "ko");
                Ok((order, if is_plain { content } else { decompress(&content)? }))
            });
            return Ok(Kernel { image, modules: modules.collect::<Result<_>>()? });
        }
    }
    bail!("package {name} and those it depends on have no boot/vmlinuz-*")
}

fn decompress(module: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    xz2::read::XzDecoder::new(module).read_to_end(&mut plain).context("cannot decompress a module")?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_have_ended() {
        let console = "[ 0.1] x\nvm: step 001-a\nb\nc\n\nvm: exit 7\nvm: step 002-d\n\nvm: exit 0\n\
                       vm: step 003-e\nKernel panic";
        let steps = parse(console);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps["a"], Step { code: 7, output: "b\nc\n".into() });
        assert_eq!(steps["d"], Step { code: 0, output: String::new() });
    }
}
