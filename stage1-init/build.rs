// SPDX-License-Identifier: Apache-2.0
//! Relocations in the packed form (DT_RELR, which musl 1.2.4 and binutils 2.38 know): 40 kB less in every stage1.

fn main() {
    println!("cargo:rustc-link-arg-bin=init=-Wl,-z,pack-relative-relocs");
    println!("cargo:rerun-if-changed=build.rs");
}
