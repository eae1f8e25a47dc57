// SPDX-License-Identifier: Apache-2.0
//! What a build for an architecture needs beyond [`pod::arch`]: the distribution's name for it, xz's filter, and the machine
//! that the stand-in's code is for.

use anyhow::{Context as _, Result};
use pod::arch::Arch;

/// xz's branch filter, which makes calls to the same function look alike (xz file format, section 5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branches {
    /// x86, 32 and 64 bits.
    X86,
    /// aarch64.
    Arm64,
}

/// The machine that the stand-in's code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// x86, 64 bits.
    X86_64,
    /// aarch64.
    Aarch64,
}

/// The architecture that a stage1 is built for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The architecture's paths inside stage1.
    pub(crate) arch: &'static Arch,
    /// The name that `dpkg --print-architecture` prints.
    pub(crate) deb: &'static str,
    /// The branch filter for the tarball.
    pub(crate) branches: Branches,
    /// The machine that the stand-in's code is for.
    pub(crate) machine: Machine,
}

const TARGETS: &[(&str, &str, Branches, Machine)] = &[
    ("x86_64", "amd64", Branches::X86, Machine::X86_64),
    ("aarch64", "arm64", Branches::Arm64, Machine::Aarch64),
];

impl Target {
    /// Returns the architecture that this program runs on.
    pub(crate) fn host() -> Result<Self> {
        let arch = Arch::current();
        let &(_, deb, branches, machine) = TARGETS
            .iter()
            .find(|(name, ..)| *name == arch.name)
            .with_context(|| format!("no stage1 is built for {}", arch.name))?;
        Ok(Self { arch, deb, branches, machine })
    }
}
