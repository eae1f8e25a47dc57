// SPDX-License-Identifier: Apache-2.0
//! The properties hold for every seed, and they are not trivial, since seeds are accepted.

use std::panic::catch_unwind;

fn check(target: &str, input: &[u8]) -> bool {
    match target {
        "archive" => fuzz::archive::check(input),
        "manifests" => fuzz::manifests::check(input),
        "units" => fuzz::units::check(input),
        other => panic!("no target {other}"),
    }
}

#[test]
fn seeds_and_parts_of_them() {
    for (target, seeds) in fuzz::seeds::all() {
        let mut accepted = 0;
        for (number, seed) in seeds.iter().enumerate() {
            for length in [seed.len(), seed.len() * 3 / 4, seed.len() / 2, 1, 0] {
                let held = catch_unwind(|| check(target, &seed[..length]));
                let held =
                    held.unwrap_or_else(|_| panic!("seed {number} of {target}, its first {length} bytes"));
                accepted += usize::from(held && length == seed.len());
            }
        }
        assert!(accepted * 4 >= seeds.len(), "{accepted} of {} seeds of {target} are accepted", seeds.len());
    }
}
