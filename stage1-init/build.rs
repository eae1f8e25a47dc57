// SPDX-License-Identifier: Apache-2.0
//! Keeps `/init` small when it is linked, since it counts in every stage1: relocations in the packed form (DT_RELR,
//! which musl 1.2.4 and binutils 2.38 know), 40 kB less; and code and constants in one segment, without the padding of
//! a page between them, up to 8 kB less.

fn main() {
    for option in ["pack-relative-relocs", "noseparate-code"] {
        println!("cargo:rustc-link-arg-bin=init=-Wl,-z,{option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
