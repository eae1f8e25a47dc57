// SPDX-License-Identifier: Apache-2.0
//! Makes the stage1 rootfs tarball from the distribution's packages.
//!
//! Packages come from the distribution's own archive through apt ([`apt`]) or from a directory. Their files are read
//! into an index ([`deb`], `index`). The few programs that stage1 needs, and everything they load, are found in the
//! index (`elf`, `closure`), without those libraries that are never called (`stand_in`), laid out as a tree (`stage1`, [`tree`]) and packed ([`pack`]).
//!
//! Invariant: the tarball is a function of the packages, `/init` and the units alone. Paths, clocks, umask and locale
//! of the build machine don't affect it.

pub mod apt;
mod cli;
mod closure;
pub mod deb;
mod elf;
mod index;
mod interrupt;
mod licenses;
pub mod pack;
mod packages;
mod progress;
mod publish;
pub mod stage1;
mod stand_in;
mod target;
pub mod tree;

pub use cli::run;
