// SPDX-License-Identifier: Apache-2.0
//! Keeps the program small when it is linked, as stage1-init's build.rs does: relocations in the packed form (DT_RELR, which
//! musl 1.2.4 and binutils 2.38 know), and code and constants in one segment.

fn main() {
    for option in ["pack-relative-relocs", "noseparate-code"] {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,{option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
