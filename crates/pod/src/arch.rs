// SPDX-License-Identifier: Apache-2.0
//! The machine table: the only place that knows architectures.

/// A machine architecture that Gantry knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arch {
    /// Its name in Rust and in `uname -m`; also in the stage1 tarball's name.
    pub name: &'static str,
    /// The dynamic linker inside stage1, relative to its root.
    pub loader: &'static str,
    /// The directory of libraries inside stage1, relative to its root (Debian's multiarch triplet).
    pub libraries: &'static str,
    /// The `arch` labels of images that run on it (appc spec, image manifest, labels).
    pub labels: &'static [&'static str],
    /// The ELF files it executes: bits and `e_machine` (elf(5)). A kernel may be built without support for the 32-bit
    /// ones.
    pub machines: &'static [(u8, u16)],
}

const ARCHES: &[Arch] = &[
    Arch {
        name: "x86_64",
        loader: "usr/lib64/ld-linux-x86-64.so.2",
        libraries: "usr/lib/x86_64-linux-gnu",
        labels: &["amd64", "i386"],
        machines: &[(64, 62), (32, 3), (32, 6)],
    },
    Arch {
        name: "aarch64",
        loader: "usr/lib/ld-linux-aarch64.so.1",
        libraries: "usr/lib/aarch64-linux-gnu",
        labels: &["aarch64"],
        machines: &[(64, 183), (32, 40)],
    },
];

impl Arch {
    /// Returns the architecture that this program was built for.
    pub fn current() -> &'static Self {
        ARCHES
            .iter()
            .find(|arch| arch.name == std::env::consts::ARCH)
            .expect("Gantry is only built for architectures in its table")
    }
}
