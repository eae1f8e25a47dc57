// SPDX-License-Identifier: Apache-2.0
//! File system trees for images, built in memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use cpio::newc::{self, ModeFileType};
use rootfs_build::deb::Deb;
use tar::{Builder, EntryType, Header};

use crate::packages;

/// The busybox applets in the test images.
const APPLETS: &[&str] = &[
    "sh", "cat", "cp", "cut", "date", "echo", "env", "false", "grep", "head", "hostname", "id", "kill", "ls",
    "mkdir", "nc", "nslookup", "ps", "pwd", "rm", "seq", "sleep", "sort", "stat", "sync", "test", "touch",
    "tr", "true", "wc",
];

/// The packages of the Debian tree that benchmarks unpack; everything they depend on is added.
const DEBIAN: &[&str] = &["bash", "coreutils", "git", "ncurses-term", "python3", "tzdata", "vim"];

/// The programs of a machine with systemd.
const SYSTEMD: [&str; 8] = [
    "usr/bin/busybox",
    "usr/bin/journalctl",
    "usr/bin/systemctl",
    "usr/bin/systemd-nspawn",
    "usr/lib/systemd/systemd",
    "usr/lib/systemd/systemd-executor",
    "usr/lib/systemd/systemd-journald",
    "usr/lib/systemd/systemd-shutdown",
];

/// An entry of a tree.
#[derive(Clone, Debug)]
pub enum Node {
    /// A directory of this mode.
    Directory(u32),
    /// A file of this mode.
    File(u32, Vec<u8>),
    /// A symbolic link.
    Link(PathBuf),
}

/// A tree: nodes and their owners, by path relative to the tree's root.
#[derive(Clone, Debug, Default)]
pub struct Rootfs(BTreeMap<PathBuf, (Node, u32)>);

impl Node {
    /// Returns a program for this machine that passes the kernel's checks before a start, but contains no code to run.
    pub fn program() -> Self {
        Self::File(0o755, Self::program_file())
    }

    /// Returns the content of such a program.
    pub fn program_file() -> Vec<u8> {
        let (_, machine) = pod::arch::Arch::current().machines[0];
        let machine = machine.to_le_bytes();
        let mut file = vec![0; 64 + 56];
        // The fields of elf(5): identification, type, machine, version; then position, size and number of the program
        // headers.
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16] = 2;
        file[18..20].copy_from_slice(&machine);
        (file[20], file[32], file[52], file[54], file[56]) = (1, 64, 64, 56, 1);
        // The only program header is of type PT_LOAD.
        file[64] = 1;
        file
    }
}

impl Rootfs {
    /// Puts a node into the tree, with the directories above it, replacing what was at the path.
    #[must_use]
    pub fn with(self, path: &str, node: Node) -> Self {
        self.owned(path, node, 0)
    }

    /// Puts a node into the tree like [`Rootfs::with`], with this owner and group.
    #[must_use]
    pub fn owned(mut self, path: &str, node: Node, owner: u32) -> Self {
        self.insert(Path::new(path), node, owner);
        self
    }

    /// Adds one more program of busybox's.
    #[must_use]
    pub fn with_applet(self, name: &str) -> Self {
        self.with(&format!("usr/bin/{name}"), Node::Link("busybox".into()))
    }

    /// Takes a node out of the tree.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.0.remove(Path::new(path));
        self
    }

    fn insert(&mut self, path: &Path, node: Node, owner: u32) {
        for parent in path.ancestors().skip(1).filter(|parent| *parent != Path::new("")) {
            self.0.entry(parent.to_owned()).or_insert((Node::Directory(0o755), 0));
        }
        self.0.insert(path.to_owned(), (node, owner));
    }

    /// Returns the tree of Debian's busybox-static, with the users root and app (1000).
    ///
    /// # Errors
    /// Fails if the package is unavailable.
    pub fn busybox() -> Result<Self> {
        let mut tree = Self::of_packages("busybox-static", |package| package == "busybox-static")?;
        for applet in APPLETS {
            tree.insert(&Path::new("usr/bin").join(applet), Node::Link("busybox".into()), 0);
        }
        Ok(tree.with_accounts("app", 1000).with("tmp", Node::Directory(0o1777)))
    }

    /// Returns the tree of Debian's redis-server and the libraries it needs, with its user.
    ///
    /// # Errors
    /// Fails if the packages are unavailable.
    pub fn redis() -> Result<Self> {
        let needed = |package: &str| ["lib", "redis", "lua"].iter().any(|prefix| package.starts_with(prefix));
        let tree = Self::of_packages("redis-server", needed)?.with_accounts("redis", 101);
        Ok(tree.owned("var/lib/redis", Node::Directory(0o750), 101).with("tmp", Node::Directory(0o1777)))
    }

    /// Returns the tree of Debian's iptables and the libraries it needs.
    ///
    /// # Errors
    /// Fails if the packages are unavailable.
    pub fn iptables() -> Result<Self> {
        let tree = Self::of_packages("iptables", |name| name.starts_with("lib") || name == "iptables")?;
        // It has a lock there.
        Ok(tree.with("run", Node::Directory(0o755)))
    }

    /// Returns the tree of Debian's nginx and the libraries it needs, with its user.
    ///
    /// # Errors
    /// Fails if the packages are unavailable.
    pub fn nginx() -> Result<Self> {
        let needed =
            |package: &str| ["lib", "nginx", "zlib1g"].iter().any(|prefix| package.starts_with(prefix));
        let tree = Self::of_packages("nginx-light", needed)?.with_accounts("www-data", 33);
        Ok(tree.with("tmp", Node::Directory(0o1777)).with("var/log/nginx", Node::Directory(0o755)))
    }

    /// Returns the tree of Debian's postgresql, server and client, with its user, and of busybox.
    ///
    /// # Errors
    /// Fails if the packages are unavailable.
    pub fn postgres() -> Result<Self> {
        // Code is compiled at run time by a library that is larger than all the rest.
        let needed = |package: &str| {
            let prefixes = ["lib", "postgresql", "zlib1g", "tzdata", "busybox"];
            let is_needed = prefixes.iter().any(|prefix| package.starts_with(prefix));
            is_needed && !["libllvm", "libperl", "libpython"].iter().any(|large| package.starts_with(large))
        };
        let mut tree = Self::of_all_packages(&["busybox-static", "postgresql"], needed)?;
        for applet in APPLETS {
            tree.insert(&Path::new("usr/bin").join(applet), Node::Link("busybox".into()), 0);
        }
        let tree = tree.with_accounts("postgres", 105).with("tmp", Node::Directory(0o1777));
        Ok(tree.owned("var/lib/postgresql", Node::Directory(0o750), 105))
    }

    /// Returns the tree of Debian's python3 and the libraries it needs.
    ///
    /// # Errors
    /// Fails if the packages are unavailable.
    pub fn python() -> Result<Self> {
        let needed = |package: &str| {
            ["lib", "python3", "zlib1g", "media-types"].iter().any(|prefix| package.starts_with(prefix))
        };
        let tree = Self::of_packages("python3", needed)?;
        Ok(tree.with("tmp", Node::Directory(0o1777)))
    }

    /// Returns the tree of Debian's systemd, of its journal and systemd-nspawn, with the libraries they need, and of busybox.
    ///
    /// # Errors
    /// Fails if the packages are unavailable.
    pub fn systemd() -> Result<Self> {
        let mut tree = Self::usr_merged();
        let is_library = |path: &Path| path.to_string_lossy().contains(".so");
        let wanted = |path: &Path| {
            let is_in = |directory: &str| path.starts_with(directory);
            let is_program = path.to_str().is_some_and(|path| SYSTEMD.contains(&path));
            is_program
                || is_in("usr/lib/systemd/system")
                || is_library(path) && (is_in("usr/lib") || is_in("usr/lib64"))
        };
        for package in packages::fetch_all(&["busybox-static", "systemd", "systemd-container"])? {
            tree.unpack(&package, wanted)?;
        }
        for applet in APPLETS.iter().chain(&["mount", "sed", "tail"]) {
            tree.insert(&Path::new("usr/bin").join(applet), Node::Link("busybox".into()), 0);
        }
        let release = Node::File(0o644, "ID=machine\n".into());
        Ok(tree
            .with_accounts("app", 1000)
            .with("tmp", Node::Directory(0o1777))
            .with("usr/lib/os-release", release))
    }

    /// Returns a Debian tree of some 250 MB and 12,000 files, documentation included, with the users root and app
    /// (1000).
    ///
    /// # Errors
    /// Fails if the packages are unavailable.
    pub fn debian() -> Result<Self> {
        let mut tree = Self::usr_merged();
        for package in packages::fetch_all(DEBIAN)? {
            tree.unpack(&package, |_| true)?;
        }
        Ok(tree.with_accounts("app", 1000).with("tmp", Node::Directory(0o1777)))
    }

    #[must_use]
    fn with_accounts(self, user: &str, id: u32) -> Self {
        let passwd = format!("root:x:0:0:root:/root:/bin/sh\n{user}:x:{id}:{id}::/:/bin/sh\n");
        let group = format!("root:x:0:\n{user}:x:{id}:\n");
        self.with("etc/passwd", Node::File(0o644, passwd.into()))
            .with("etc/group", Node::File(0o644, group.into()))
    }

    fn usr_merged() -> Self {
        let mut tree = Self::default();
        for link in ["bin", "sbin", "lib", "lib64"] {
            tree.insert(Path::new(link), Node::Link(Path::new("usr").join(link)), 0);
        }
        tree
    }

    /// Returns the files of a package and its dependencies, as far as these packages are `wanted`, without
    /// documentation.
    fn of_packages(name: &str, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        Self::of_all_packages(&[name], wanted)
    }

    /// Returns the files of these packages and their dependencies likewise.
    fn of_all_packages(names: &[&str], wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let mut tree = Self::usr_merged();
        let documentation = ["usr/share/doc", "usr/share/man"];
        for package in packages::fetch_all(names)?.iter().filter(|package| wanted(&package.name)) {
            tree.unpack(package, |path| !documentation.iter().any(|top| path.starts_with(top)))?;
        }
        Ok(tree)
    }

    /// Puts the `wanted` files of a package into the tree. A hard link becomes a file of its own.
    fn unpack(&mut self, package: &Deb, wanted: impl Fn(&Path) -> bool) -> Result<()> {
        for entry in package.entries()? {
            let path = merged(&entry.path);
            if path == Path::new("") || !wanted(&path) {
                continue;
            }
            let node = match entry.header.entry_type() {
                EntryType::Directory => continue,
                EntryType::Symlink => Node::Link(entry.link.unwrap_or_default()),
                EntryType::Link => {
                    let target = clean(&entry.link.unwrap_or_default());
                    let (node, _) = self.0.get(&target).with_context(|| {
                        format!("{}: {} links to nothing before it", package.name, path.display())
                    })?;
                    node.clone()
                }
                _ => Node::File(entry.header.mode()? & 0o7777, entry.contents),
            };
            self.insert(&path, node, 0);
        }
        Ok(())
    }

    /// Splits it into the entries for which this holds and all others, such as the layers of an image. Both have the
    /// directories above their entries.
    pub fn split(&self, belongs: impl Fn(&Path) -> bool) -> (Self, Self) {
        let (mut one, mut other) = (Self::default(), Self::default());
        for (path, (node, owner)) in &self.0 {
            let tree = if belongs(path) { &mut one } else { &mut other };
            tree.insert(path, node.clone(), *owner);
        }
        (one, other)
    }

    /// Returns the number of entries in the tree.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether the tree is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes an image of this tree and its manifest.
    ///
    /// # Errors
    /// Returns the writer's error.
    pub fn write_image(&self, manifest: &[u8], out: impl Write) -> io::Result<()> {
        let mut tar = Builder::new(out);
        append(&mut tar, Path::new("manifest"), &Node::File(0o644, manifest.to_vec()), 0)?;
        append(&mut tar, Path::new("rootfs"), &Node::Directory(0o755), 0)?;
        for (path, (node, owner)) in &self.0 {
            append(&mut tar, &Path::new("rootfs").join(path), node, *owner)?;
        }
        tar.into_inner()?.flush()
    }

    /// Writes this tree into a directory, which is empty.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn write_directory(&self, directory: &Path) -> io::Result<()> {
        tar::Archive::new(self.layer().as_slice()).unpack(directory)
    }

    /// Returns the tree as a layer of an OCI image: a tar without what an image has around its tree.
    ///
    /// # Panics
    /// Panics if it can't be written.
    pub fn layer(&self) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (path, (node, owner)) in &self.0 {
            append(&mut tar, path, node, *owner).expect("memory takes any layer");
        }
        tar.into_inner().expect("memory takes any layer")
    }

    /// Writes an initial ramfs of this tree: a cpio archive in the kernel's "newc" format (its
    /// driver-api/early-userspace/buffer-format).
    ///
    /// # Errors
    /// Returns the writer's error.
    pub fn write_initramfs(&self, mut out: impl Write) -> io::Result<()> {
        for (path, (node, owner)) in &self.0 {
            let (kind, mode, content) = match node {
                Node::Directory(mode) => (ModeFileType::Directory, *mode, [].as_slice()),
                Node::File(mode, content) => (ModeFileType::Regular, *mode, content.as_slice()),
                Node::Link(target) => (ModeFileType::Symlink, 0o777, target.as_os_str().as_bytes()),
            };
            let path = path.to_str().expect("a test's paths are text");
            let entry = newc::Builder::new(path).mode(mode).uid(*owner).gid(*owner).set_mode_file_type(kind);
            let size = content.len().try_into().expect("a test's files are small");
            let mut entry = entry.write(&mut out, size);
            entry.write_all(content)?;
            entry.finish()?;
        }
        newc::trailer(out)?.flush()
    }
}

/// Returns a file's path in a tree whose /bin, /sbin and /lib are links into /usr.
fn merged(path: &Path) -> PathBuf {
    if ["bin", "sbin", "lib", "lib64"].iter().any(|top| path.starts_with(top)) {
        Path::new("usr").join(path)
    } else {
        path.to_owned()
    }
}

/// Returns the path in that tree of a hard link's target, such as `./usr/bin/x`.
fn clean(target: &Path) -> PathBuf {
    let target: PathBuf = target.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    merged(&target)
}

fn append(tar: &mut Builder<impl Write>, path: &Path, node: &Node, owner: u32) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_uid(owner.into());
    header.set_gid(owner.into());
    header.set_mtime(1_600_000_000);
    header.set_size(0);
    match node {
        Node::Directory(mode) => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(*mode);
            tar.append_data(&mut header, path, io::empty())
        }
        Node::File(mode, content) => {
            header.set_mode(*mode);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_slice())
        }
        Node::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, path, target)
        }
    }
}
